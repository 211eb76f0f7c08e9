//! The tools that make environments: uv, or else `venv` and pip.

mod command;
mod pip;
mod uv;

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

pub(crate) use command::Run;
pub(crate) use uv::Uv;

use crate::error::{EnvError, EnvErrorKind};
use crate::interpreter::Interpreter;
use crate::progress::{Progress, ProgressEvent};
use crate::requirements::Index;

/// Environment variable that names the file of uv.
pub const UV_VARIABLE: &str = "SNAKEBRIDGE_UV";

/// What makes environments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Installer {
    /// uv where it is found or can be fetched, else pip.
    #[default]
    Auto,
    /// uv, or nothing.
    Uv,
    /// `venv` and pip.
    Pip,
}

/// All that a tool needs to know.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) python: &'a Interpreter,
    pub(crate) index: &'a Index,
    pub(crate) offline: bool,
    /// Inherited by the tools, so that it is held as long as one of them runs.
    pub(crate) lock: Option<&'a File>,
    pub(crate) until: Instant,
    pub(crate) progress: &'a Progress,
    /// The folder for tools that are fetched.
    pub(crate) tools: &'a Path,
    /// A folder to run in, which is no project's.
    pub(crate) folder: &'a Path,
}

/// The tool that was chosen.
#[derive(Debug)]
pub(crate) enum Tool {
    Uv(Uv),
    Pip,
}

impl Tool {
    pub(crate) fn choose(wanted: Installer, job: &Job<'_>) -> Result<Self, EnvError> {
        match wanted {
            Installer::Pip => Ok(Self::Pip),
            Installer::Uv => Uv::find_or_fetch(job).map(Self::Uv),
            Installer::Auto => match Uv::find_or_fetch(job) {
                Ok(uv) => Ok(Self::Uv(uv)),
                Err(error) => {
                    job.step(&format!("using pip: {error}"));
                    Ok(Self::Pip)
                }
            },
        }
    }

    /// Makes an empty environment.
    pub(crate) fn create(&self, job: &Job<'_>, folder: &Path) -> Result<(), EnvError> {
        match self {
            Self::Uv(uv) => uv.create(job, folder),
            Self::Pip => pip::create(job, folder),
        }
    }

    /// Finds exact versions for what is asked for, with hashes. `old` are those of before, which are kept where
    /// they will do. Tells whether they are for any platform.
    pub(crate) fn resolve(
        &self,
        job: &Job<'_>,
        packages: &[String],
        old: Option<&str>,
    ) -> Result<(String, bool), EnvError> {
        match self {
            Self::Uv(uv) => uv.resolve(job, packages, old).map(|text| (text, true)),
            Self::Pip => pip::resolve(job, packages).map(|text| (text, false)),
        }
    }

    /// Installs what a file of requirements asks for.
    pub(crate) fn install(
        &self,
        job: &Job<'_>,
        python: &Path,
        requirements: &Path,
        hashes: bool,
    ) -> Result<(), EnvError> {
        match self {
            Self::Uv(uv) => uv.install(job, python, requirements, hashes),
            Self::Pip => pip::install(job, python, requirements, hashes),
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uv(_) => "uv",
            Self::Pip => "pip",
        })
    }
}

impl Job<'_> {
    pub(crate) fn step(&self, text: &str) {
        self.progress.tell(&ProgressEvent::Step(text));
    }

    /// Runs a command to its end, in surroundings in which it means this environment and no other.
    pub(crate) fn run(&self, what: &str, command: &mut Command) -> Result<Vec<String>, EnvError> {
        for name in MISLEADING {
            command.env_remove(name);
        }
        for (name, value) in OVERRULING {
            command.env(name, value);
        }
        fs::create_dir_all(self.folder)
            .map_err(|error| EnvError::io("make", self.folder, &error))?;
        command.current_dir(self.folder);
        let run = Run { what, lock: self.lock, until: self.until, progress: self.progress };
        run.run(command).map_err(|error| match error.kind() {
            EnvErrorKind::NoSuchPackage | EnvErrorKind::Network if self.offline => {
                error.with_hint(OFFLINE)
            }
            _ => error,
        })
    }
}

const OFFLINE: &str = "no network is used, since `environment.offline` or `--offline` says so: make it once with \
                       network, or have the packages in a folder that `index.find-links` names";

/// Variables that make Python, pip or uv install somewhere else, or run with other modules.
const MISLEADING: [&str; 13] = [
    "CONDA_PREFIX",
    "PIP_PREFIX",
    "PIP_PYTHON",
    "PIP_ROOT",
    "PIP_TARGET",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "UV_PROJECT",
    "UV_PROJECT_ENVIRONMENT",
    "UV_PYTHON",
    "UV_WORKING_DIRECTORY",
    "VIRTUAL_ENV",
];

/// The same where a file of pip says so: a variable counts more.
const OVERRULING: [(&str, &str); 2] = [("PIP_REQUIRE_VIRTUALENV", "0"), ("PIP_USER", "0")];

/// Options as uv and pip have them, but for the indexes themselves.
fn index_options(index: &Index) -> Vec<OsString> {
    let mut out: Vec<OsString> = Vec::new();
    index.find_links.iter().for_each(|link| out.extend(["--find-links".into(), link.into()]));
    if index.none {
        out.push("--no-index".into());
    }
    out
}

/// Names an index and further ones by variables: what is passed as an argument can be seen by all users
/// of the machine, and addresses may have passwords in them.
fn set_indexes(
    command: &mut Command,
    [url_name, extra_name]: [&str; 2],
    url: Option<&str>,
    extra: &[String],
) {
    if let Some(url) = url {
        command.env(url_name, url);
    }
    if !extra.is_empty() {
        command.env(extra_name, extra.join(" "));
    }
}

fn not_found(message: impl Into<String>) -> EnvError {
    EnvError::new(EnvErrorKind::Other, message)
        .with_hint("install uv and have it on PATH, or set SNAKEBRIDGE_UV to its file")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn addresses_of_indexes_are_no_arguments() {
        let (url, extra) = ("https://me:secret@example.org/simple", "https://secret@example.org/a");
        let mut index = Index { url: Some(url.to_owned()), ..Index::default() };
        index.extra = vec![extra.to_owned(), "https://example.org/b".to_owned()];
        index.find_links.push("/wheels".to_owned());
        let job = Job {
            python: &Interpreter::made_up("3.12.1"),
            index: &index,
            offline: false,
            lock: None,
            until: Instant::now() + Duration::from_secs(1),
            progress: &Progress::default(),
            tools: Path::new("/nowhere"),
            folder: Path::new("/nowhere"),
        };
        let uv =
            Uv::made_up().index_command(&job, &["pip", "install"], Path::new("/nowhere/python"));
        let pip = pip::pip(&job, Path::new("/nowhere/python"), "install");
        for (command, names) in [
            (uv, ["UV_DEFAULT_INDEX", "UV_INDEX"]),
            (pip, ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"]),
        ] {
            let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
            assert!(!args.iter().any(|arg| arg.contains("example.org")), "{args:?}");
            assert!(args.windows(2).any(|pair| pair == ["--find-links", "/wheels"]), "{args:?}");
            let set = names.map(|name| {
                let mut set = command.get_envs().filter(|(other, _)| *other == name);
                set.next().and_then(|(_, value)| value?.to_str()).unwrap_or_default().to_owned()
            });
            assert_eq!(set, [url.to_owned(), format!("{extra} https://example.org/b")]);
        }
    }
}
