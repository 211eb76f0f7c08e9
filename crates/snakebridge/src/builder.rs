//! Settings of a bridge.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use snakebridge_worker::OLDEST_PYTHON;
use snakebridge_worker::interpreter::{Candidate, PYTHON, Surroundings, Wanted, search};

use crate::bridge::Bridge;
use crate::engine::output::Output;
use crate::engine::{Config, Engine};
use crate::error::{Error, ErrorKind, Result};
use crate::options::CallOptions;

/// Settings of a [`Bridge`], which [`build`](Self::build) checks as a whole.
///
/// # Which Python
///
/// Where [`python`](Self::python) says nothing, these places are tried in order, and the first
/// Python from 3.9 on that starts is used:
///
/// 1. the environment variable `SNAKEBRIDGE_PYTHON`: a path, a command or a version; and then
///    nothing else;
/// 2. the active virtual environment (`VIRTUAL_ENV`), then the active conda environment
///    (`CONDA_PREFIX`);
/// 3. `.venv` in the current folder, or in the nearest folder above that has one;
/// 4. `python3`, then `python` on `PATH`;
/// 5. `python3.14` down to `python3.9` on `PATH`;
/// 6. the interpreters that pyenv and uv have installed, newest first.
///
/// ```
/// use snakebridge::Bridge;
///
/// let py = Bridge::builder().workers(2).env("PYTHONHASHSEED", "0").build()?;
/// let found: String = py.call("os", "getenv", ("PYTHONHASHSEED",)).wait()?;
/// assert_eq!(found, "0");
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a bridge does not start until `build` is called"]
pub struct BridgeBuilder {
    python: Option<String>,
    workers: usize,
    module_path: Vec<PathBuf>,
    env: Vec<(OsString, Option<OsString>)>,
    current_dir: Option<PathBuf>,
    output: Output,
    defaults: CallOptions,
}

/// More processes than any machine of today can use; a larger number is a mistake.
const MOST_WORKERS: usize = 1024;

impl BridgeBuilder {
    pub(crate) fn new() -> Self {
        Self {
            python: None,
            workers: 1,
            module_path: Vec::new(),
            env: Vec::new(),
            current_dir: None,
            output: Output::default(),
            defaults: CallOptions::default(),
        }
    }

    /// Which Python to use: a path (with a `/` in it), a command (`python3.12`), or a version
    /// (`3.12`, `3.12.1`). Default: the first of the list above that works.
    pub fn python(mut self, python: impl Into<String>) -> Self {
        self.python = Some(python.into());
        self
    }

    /// How many worker processes to run, 1 to 1024. Default: 1, so that all calls see the same
    /// modules with the same state.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// Adds a folder in which Python looks for modules, before all others. Can be called several
    /// times; the first folder is the first to be looked at. Relative to the current folder.
    pub fn module_path(mut self, folder: impl AsRef<Path>) -> Self {
        self.module_path.push(folder.as_ref().to_owned());
        self
    }

    /// Sets an environment variable of the workers. Default: they have those of the program.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Takes an environment variable away from the workers.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// The current folder of the workers. Default: that of the program.
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.current_dir = Some(folder.as_ref().to_owned());
        self
    }

    /// What becomes of what Python prints. Default: [`Output::Forward`].
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Defaults for the options of calls. Default: a timeout of two minutes, [`Affinity::Hint`],
    /// the automatic session.
    ///
    /// [`Affinity::Hint`]: crate::Affinity::Hint
    pub fn defaults(mut self, options: CallOptions) -> Self {
        self.defaults = options;
        self
    }

    /// Checks the settings and starts the bridge. Workers start in the background: calls wait for
    /// them, and [`Bridge::ready`] does nothing else.
    ///
    /// # Errors
    /// A setting cannot be used, no Python is found, or the worker's source cannot be written.
    pub fn build(self) -> Result<Bridge> {
        let config = self.check()?;
        Ok(Bridge::start(Engine::start(config)?, self.defaults))
    }

    fn check(&self) -> Result<Config> {
        if !(1..=MOST_WORKERS).contains(&self.workers) {
            let message = format!("{} workers, expected 1 to {MOST_WORKERS}", self.workers);
            return Err(config_error(message));
        }
        for (name, value) in &self.env {
            check_variable(name, value.as_deref())?;
        }
        let current_dir = self.current_dir.as_deref().map(folder).transpose()?;
        let module_path: Result<_> = self
            .module_path
            .iter()
            .map(|path| module_folder(path))
            .collect();
        let wanted: Option<Wanted> = self.python.as_deref().map(|python| match python.parse() {
            Ok(wanted) => wanted,
        });
        let candidates = find(wanted.as_ref())?;
        let package = snakebridge_worker::cache::install().map_err(|error| {
            Error::new(ErrorKind::Config, error.to_string()).with_hint(format!(
                "set {} to a folder that can be written",
                snakebridge_worker::cache::CACHE_DIR
            ))
        })?;
        Ok(Config {
            wanted,
            candidates,
            package,
            workers: self.workers as u32,
            module_path: module_path?,
            env: self.env.clone(),
            current_dir,
            output: self.output.clone(),
        })
    }
}

/// The interpreters to try; an error if there is none at all.
fn find(wanted: Option<&Wanted>) -> Result<Vec<Candidate>> {
    let candidates = search(wanted, &Surroundings::of_process());
    let (major, minor) = OLDEST_PYTHON;
    let hint = format!(
        "install Python {major}.{minor} or newer, or say where it is: \
         `Bridge::builder().python(..)` or the environment variable {PYTHON}"
    );
    if candidates.is_empty() {
        let message = match (wanted, std::env::var(PYTHON)) {
            (Some(wanted @ Wanted::Version(_)), _) => format!(
                "found no Python: {wanted} is not on PATH, and not installed by pyenv or uv"
            ),
            (Some(wanted), _) => format!("found no Python: {wanted} is not on PATH"),
            (None, Ok(value)) => format!("found no Python for {PYTHON}={value}"),
            (None, Err(_)) => "found no Python: not in an active environment, not in `.venv`, \
                 not on PATH, not installed by pyenv or uv"
                .to_owned(),
        };
        return Err(Error::new(ErrorKind::Spawn, message).with_hint(hint));
    }
    if let ([only], Some(Wanted::Path(_))) = (&candidates[..], wanted)
        && !only.path.exists()
    {
        let message = format!("there is no Python at `{}`", only.path.display());
        return Err(Error::new(ErrorKind::Spawn, message).with_hint(hint));
    }
    Ok(candidates)
}

fn folder(path: &Path) -> Result<PathBuf> {
    match path.is_dir() {
        true => Ok(path.to_owned()),
        false => Err(config_error(format!("`{}` is no folder", path.display()))),
    }
}

/// A folder as Python's module path has it: absolute, and text.
fn module_folder(path: &Path) -> Result<String> {
    let absolute = std::path::absolute(folder(path)?)
        .map_err(|error| config_error(format!("`{}`: {error}", path.display())))?;
    match absolute.into_os_string().into_string() {
        Ok(text) => Ok(text),
        Err(name) => Err(config_error(format!(
            "the folder {} has a name that is not UTF-8",
            Path::new(&name).display()
        ))),
    }
}

/// What the system would refuse, or take for something else.
fn check_variable(name: &OsStr, value: Option<&OsStr>) -> Result<()> {
    let bytes = name.as_encoded_bytes();
    let bad_value = value.is_some_and(|value| value.as_encoded_bytes().contains(&0));
    match bytes.is_empty() || bytes.contains(&b'=') || bytes.contains(&0) || bad_value {
        true => Err(config_error(format!(
            "environment variable `{}` has a name or a value that cannot be set",
            name.to_string_lossy()
        ))),
        false => Ok(()),
    }
}

fn config_error(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
}
