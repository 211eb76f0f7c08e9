//! Environments: found, or made.
//!
//! Each has a folder in the cache that is named by what it was made for, so that all programs which
//! want the same share it. It is made in that folder, since environments cannot be moved, by one
//! process at a time, and its marker is written last: a folder without is what somebody has left who
//! was killed, and is made anew.

pub(crate) mod lock;
mod marker;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use snakebridge_worker::interpreter::{Surroundings, Wanted};

use crate::error::{EnvError, EnvErrorKind};
use crate::installer::{Installer, Job, Tool};
use crate::interpreter::{self, Interpreter};
use crate::progress::{Progress, ProgressEvent};
use crate::requirements::Requirements;
use marker::{Found, Marker};

/// An environment that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Environment {
    /// Its interpreter.
    pub python: PathBuf,
    /// Its folder.
    pub folder: PathBuf,
    /// The version of its interpreter.
    pub version: String,
    /// What made it: `uv` or `pip`.
    pub installer: String,
    /// The packages in it, with their versions.
    pub packages: Vec<(String, String)>,
}

/// Whether there is an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It is complete.
    Ready(Environment),
    /// There is none yet. It would be in this folder.
    Missing(PathBuf),
    /// It cannot be used, and would be made anew.
    Damaged {
        /// Its folder.
        folder: PathBuf,
        /// What is wrong with it.
        damage: String,
    },
}

/// How environments are made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// With what.
    pub installer: Installer,
    /// Without network.
    pub offline: bool,
    /// How long it may take, waiting for others included.
    pub timeout: Duration,
    /// Who is told what happens.
    pub progress: Progress,
    /// Where environments are kept. None: in the cache folder of the user.
    pub cache_dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            installer: Installer::Auto,
            offline: false,
            timeout: Duration::from_secs(600),
            progress: Progress::default(),
            cache_dir: None,
        }
    }
}

impl Options {
    /// uv where it can be had, with network, within ten minutes, and nobody is told.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With what environments are made. Default: [`Installer::Auto`].
    #[must_use]
    pub fn installer(mut self, installer: Installer) -> Self {
        self.installer = installer;
        self
    }

    /// Makes environments without network, from what uv and pip have kept, and from local folders.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// How long the making may take, waiting for others included. Default: ten minutes.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Who is told what happens. Default: nobody.
    #[must_use]
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Where environments are kept. Default: the cache folder of the user, or that which
    /// `SNAKEBRIDGE_CACHE_DIR` names.
    #[must_use]
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(folder.into());
        self
    }
}

/// The environments of a cache folder.
#[derive(Clone, Debug)]
pub struct Environments {
    root: PathBuf,
    around: Surroundings,
    options: Options,
}

impl Environments {
    /// Those of the folder that the options name, or else of this user.
    ///
    /// # Errors
    /// There is no folder for them.
    pub fn new(options: Options) -> Result<Self, EnvError> {
        let root = match &options.cache_dir {
            Some(folder) => {
                std::path::absolute(folder).map_err(|error| EnvError::io("use", folder, &error))?
            }
            None => snakebridge_worker::cache::root().map_err(|error| {
                EnvError::new(EnvErrorKind::Denied, error.to_string())
                    .with_hint(EnvErrorKind::Denied.hint())
            })?,
        };
        Ok(Self { root, around: Surroundings::of_process(), options })
    }

    /// The folder that they and what they need are in.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether there is an environment with these requirements. Makes none.
    ///
    /// # Errors
    /// A requirement cannot be used, or no interpreter is the one that is wanted.
    pub fn state(&self, requirements: &Requirements) -> Result<State, EnvError> {
        let plan = self.plan(requirements)?;
        Ok(match marker::look(&plan.folder, &plan.key) {
            Found::Complete(marker) => State::Ready(plan.environment(&marker)),
            Found::Missing => State::Missing(plan.folder),
            Found::Damaged(damage) => State::Damaged { folder: plan.folder, damage },
        })
    }

    /// The environment with these requirements, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn get(&self, requirements: &Requirements) -> Result<Environment, EnvError> {
        let plan = self.plan(requirements)?;
        match marker::look(&plan.folder, &plan.key) {
            Found::Complete(marker) => Ok(plan.environment(&marker)),
            Found::Missing | Found::Damaged(_) => self.make(&plan, requirements),
        }
    }

    /// Makes the environment with these requirements anew, even if it is there: with the newest
    /// packages that will do. Programs that run on it may fail.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn renew(&self, requirements: &Requirements) -> Result<Environment, EnvError> {
        let plan = self.plan(requirements)?;
        let until = self.until();
        let lock = self.lock(&plan, until)?;
        remove(&plan.folder)?;
        self.make_locked(&plan, requirements, None, &lock, until)
    }

    fn plan(&self, requirements: &Requirements) -> Result<Plan, EnvError> {
        requirements.check()?;
        let wanted = requirements.python.as_deref().map(str::parse::<Wanted>).transpose();
        let wanted =
            wanted.map_err(|error| EnvError::new(EnvErrorKind::Requirement, error.to_string()))?;
        let answers = self.root.join("interpreters");
        let python = interpreter::choose(wanted.as_ref(), &self.around, &answers)?;
        let key = requirements.key(&python, None);
        let (major, minor) = python.feature_version();
        let number = snakebridge_worker::fingerprint(key.as_bytes());
        let folder =
            self.root.join("environments").join(format!("py{major}.{minor}-{number:016x}"));
        Ok(Plan { python, key, folder })
    }

    fn make(&self, plan: &Plan, requirements: &Requirements) -> Result<Environment, EnvError> {
        let until = self.until();
        let lock = self.lock(plan, until)?;
        // Somebody else may have made it in the meantime.
        let damage = match marker::look(&plan.folder, &plan.key) {
            Found::Complete(marker) => return Ok(plan.environment(&marker)),
            Found::Missing => None,
            Found::Damaged(damage) => Some(damage),
        };
        remove(&plan.folder)?;
        self.make_locked(plan, requirements, damage.as_deref(), &lock, until)
    }

    fn make_locked(
        &self,
        plan: &Plan,
        requirements: &Requirements,
        instead_of: Option<&str>,
        lock: &fs::File,
        until: Instant,
    ) -> Result<Environment, EnvError> {
        let (begin, folder) = (Instant::now(), plan.folder.as_path());
        let (progress, packages) = (&self.options.progress, &requirements.packages[..]);
        progress.tell(&ProgressEvent::Making { folder, packages, instead_of });
        let made = self.fill(plan, requirements, lock, until);
        let marker = made.inspect_err(|_| {
            // What is half there would be removed by the next one; what matters is the error.
            let _ = remove(folder);
        })?;
        progress.tell(&ProgressEvent::Made { folder, time: begin.elapsed() });
        Ok(plan.environment(&marker))
    }

    fn fill(
        &self,
        plan: &Plan,
        requirements: &Requirements,
        lock: &fs::File,
        until: Instant,
    ) -> Result<Marker, EnvError> {
        let (tools, parent) = (self.root.join("tools"), self.root.join("environments"));
        let job = Job {
            python: &plan.python,
            index: &requirements.index,
            offline: self.options.offline,
            lock,
            until,
            progress: &self.options.progress,
            tools: &tools,
            folder: &parent,
        };
        let tool = Tool::choose(self.options.installer, &job)?;
        tool.create(&job, &plan.folder)?;
        let wanted = plan.folder.join("requirements.txt");
        let text = requirements.packages.join("\n") + "\n";
        fs::write(&wanted, text).map_err(|error| EnvError::io("write", &wanted, &error))?;
        job.step(&format!("resolving and installing with {tool}"));
        tool.install(&job, &marker::python(&plan.folder), &wanted, false)?;
        Marker::write(&plan.folder, &plan.key, &plan.python.version, &tool.to_string())
    }

    fn lock(&self, plan: &Plan, until: Instant) -> Result<fs::File, EnvError> {
        let folder = plan.folder.as_path();
        let waiting = || self.options.progress.tell(&ProgressEvent::Waiting { folder });
        // The name has a dot in it, so that this is no extension.
        let mut path = plan.folder.clone().into_os_string();
        path.push(".lock");
        lock::acquire(Path::new(&path), until, waiting)
    }

    fn until(&self) -> Instant {
        // Never is a year: what is longer may not fit into an instant.
        Instant::now() + self.options.timeout.min(Duration::from_secs(31_536_000))
    }
}

/// What would be made.
#[derive(Debug)]
struct Plan {
    python: Interpreter,
    key: String,
    folder: PathBuf,
}

impl Plan {
    fn environment(&self, marker: &Marker) -> Environment {
        Environment {
            python: marker::python(&self.folder),
            folder: self.folder.clone(),
            version: marker.version.clone(),
            installer: marker.installer.clone(),
            packages: marker.packages(),
        }
    }
}

/// Removes a folder with all that is in it, if it is there.
pub(crate) fn remove(folder: &Path) -> Result<(), EnvError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(EnvError::io("remove", folder, &error))
        }
        _ => Ok(()),
    }
}
