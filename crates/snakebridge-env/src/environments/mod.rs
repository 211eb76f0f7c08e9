//! Environments: found, or made.
//!
//! Each has a folder in the cache that is named by what it was made for, so that all programs which
//! want the same share it. It is made in that folder, since environments cannot be moved, by one
//! process at a time, and its marker is written last: a folder without is what somebody has left who
//! was killed, and is made anew.

pub(crate) mod lock;
mod marker;
mod options;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use snakebridge_worker::interpreter::{Surroundings, Wanted};

use crate::error::{EnvError, EnvErrorKind};
use crate::installer::{Job, Tool, Uv};
use crate::interpreter::{self, Interpreter};
use crate::lock_file::{Lock, LockFile, Locked};
use crate::progress::ProgressEvent;
use crate::requirements::Requirements;
use marker::{Found, Marker};
pub use options::Options;

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
    /// The lock file must be made anew first, and why.
    Unlocked(String),
    /// It cannot be used, and would be made anew.
    Damaged {
        /// Its folder.
        folder: PathBuf,
        /// What is wrong with it.
        damage: String,
    },
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
        // An environment knows its place, by which it is seen that it was moved: of several paths that
        // lead to the same folder one must count. Where it cannot be made, nothing will be in it.
        let _ = fs::create_dir_all(&root);
        let root = root.canonicalize().unwrap_or(root);
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
    /// A requirement cannot be used, no interpreter is the one that is wanted, or the lock file must
    /// fit and does not.
    pub fn state(&self, requirements: &Requirements) -> Result<State, EnvError> {
        let python = self.interpreter(requirements)?;
        let locked = match self.lock(requirements, &python)? {
            Lock::Fits(locked) => locked.map(|locked| locked.requirements),
            Lock::Stale(why, _) => return Ok(State::Unlocked(why)),
        };
        let plan = self.plan(requirements, python, locked);
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
        let until = self.until();
        let python = self.python(requirements, until)?;
        let locked = match self.lock(requirements, &python)? {
            Lock::Fits(locked) => locked.map(|locked| locked.requirements),
            Lock::Stale(_, old) => {
                let old = old.as_ref().map(|old| old.requirements.as_str());
                Some(self.resolve(requirements, &python, old, until)?)
            }
        };
        let plan = self.plan(requirements, python, locked);
        match marker::look(&plan.folder, &plan.key) {
            Found::Complete(marker) => Ok(plan.environment(&marker)),
            Found::Missing | Found::Damaged(_) => self.make(&plan, requirements, until),
        }
    }

    /// Makes the environment with these requirements anew, even if it is there, with the newest
    /// packages that will do, and locks them where there is a lock file. Programs that run on the
    /// environment may fail.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn renew(&self, requirements: &Requirements) -> Result<Environment, EnvError> {
        let until = self.until();
        let python = self.python(requirements, until)?;
        let locked = match (&self.options.lock_file, self.options.locked) {
            (Some(_), false) => Some(self.resolve(requirements, &python, None, until)?),
            _ => match self.lock(requirements, &python)? {
                Lock::Fits(locked) => locked.map(|locked| locked.requirements),
                Lock::Stale(..) => None,
            },
        };
        let plan = self.plan(requirements, python, locked);
        let lock = self.hold(&plan, until)?;
        remove(&plan.folder)?;
        self.make_locked(&plan, requirements, None, &lock, until)
    }

    /// The interpreter that an environment with these requirements is made of.
    ///
    /// # Errors
    /// There is none that is wanted.
    pub fn interpreter(&self, requirements: &Requirements) -> Result<Interpreter, EnvError> {
        requirements.check()?;
        let wanted = requirements.wanted()?;
        interpreter::choose(wanted.as_ref(), &self.around, &self.root.join("interpreters"))
    }

    /// The same, which is downloaded if it is not there.
    fn python(&self, requirements: &Requirements, until: Instant) -> Result<Interpreter, EnvError> {
        let missing = match self.interpreter(requirements) {
            Err(error) if error.kind() == EnvErrorKind::NoPython => error,
            other => return other,
        };
        let Some(Wanted::Version(_) | Wanted::Range(_)) = requirements.wanted()? else {
            return Err(missing);
        };
        let wanted = requirements.python.as_deref().unwrap_or_default();
        let may_download = self.options.python_download && !self.options.offline;
        let Some(uv) = Uv::find(&self.root.join("tools"))?.filter(|_| may_download) else {
            return Err(missing);
        };
        uv.download_python(wanted, until, &self.options.progress).map_err(|error| {
            let message = format!("{missing}; and uv cannot get one: {error}");
            let said = error.said().unwrap_or_default().to_owned();
            let hint = missing.hint().unwrap_or_default();
            EnvError::new(EnvErrorKind::NoPython, message).with_hint(hint).with_said(said)
        })?;
        self.interpreter(requirements)
    }

    /// What the lock file says. No lock file fits everything, unless there must be one.
    fn lock(&self, requirements: &Requirements, python: &Interpreter) -> Result<Lock, EnvError> {
        let Some(path) = &self.options.lock_file else { return Ok(Lock::Fits(None)) };
        let why = match LockFile::read(path)?.look(requirements, python) {
            Lock::Stale(why, old) if !self.options.locked => return Ok(Lock::Stale(why, old)),
            Lock::Stale(..) if !path.exists() => "does not exist".to_owned(),
            Lock::Stale(why, _) => why,
            fits @ Lock::Fits(_) => return Ok(fits),
        };
        let message = format!("the lock file `{}` {why}", path.display());
        Err(EnvError::new(EnvErrorKind::Lock, message).with_hint(
            "it must fit, since `environment.locked` or `CI` says so: run the program once without, \
             or `snakebridge setup`, and keep the file that this writes",
        ))
    }

    fn resolve(
        &self,
        requirements: &Requirements,
        python: &Interpreter,
        old: Option<&str>,
        until: Instant,
    ) -> Result<String, EnvError> {
        let (tools, parent) = (self.root.join("tools"), self.root.join("environments"));
        let job = self.job(python, requirements, None, until, [&tools, &parent]);
        let tool = Tool::choose(self.options.installer, &job)?;
        job.step(&format!("locking versions with {tool}"));
        let (found, is_for_any) = tool.resolve(&job, &requirements.packages, old)?;
        let locked = Locked::new(requirements, python, is_for_any, found)?;
        let text = locked.requirements.clone();
        if let Some(path) = &self.options.lock_file {
            LockFile::update(path, &requirements.pool, locked)?;
        }
        Ok(text)
    }

    fn job<'a>(
        &'a self,
        python: &'a Interpreter,
        requirements: &'a Requirements,
        lock: Option<&'a fs::File>,
        until: Instant,
        [tools, folder]: [&'a Path; 2],
    ) -> Job<'a> {
        let Options { offline, progress, .. } = &self.options;
        let (index, offline) = (&requirements.index, *offline);
        Job { python, index, offline, lock, until, progress, tools, folder }
    }

    fn plan(&self, wanted: &Requirements, python: Interpreter, locked: Option<String>) -> Plan {
        let key = wanted.key(&python, locked.as_deref());
        let (major, minor) = python.feature_version();
        let number = snakebridge_worker::fingerprint(key.as_bytes());
        let name = format!("py{major}.{minor}-{number:016x}");
        Plan { python, key, locked, folder: self.root.join("environments").join(name) }
    }

    fn make(
        &self,
        plan: &Plan,
        requirements: &Requirements,
        until: Instant,
    ) -> Result<Environment, EnvError> {
        let lock = self.hold(plan, until)?;
        // Somebody else may have made it in the meantime.
        let damage = match marker::look(&plan.folder, &plan.key) {
            Found::Complete(marker) => {
                self.options.progress.tell(&ProgressEvent::Found { folder: &plan.folder });
                return Ok(plan.environment(&marker));
            }
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
        let job = self.job(&plan.python, requirements, Some(lock), until, [&tools, &parent]);
        let tool = Tool::choose(self.options.installer, &job)?;
        tool.create(&job, &plan.folder)?;
        let wanted = plan.folder.join("requirements.txt");
        let (text, hashes) = match &plan.locked {
            Some(locked) => (locked.clone(), true),
            None => (requirements.packages.join("\n") + "\n", false),
        };
        fs::write(&wanted, text).map_err(|error| EnvError::io("write", &wanted, &error))?;
        job.step(&format!("installing packages with {tool}"));
        tool.install(&job, &marker::python(&plan.folder), &wanted, hashes)?;
        // Addresses may have passwords in them.
        fs::remove_file(&wanted).map_err(|error| EnvError::io("remove", &wanted, &error))?;
        Marker::write(&plan.folder, &plan.key, &plan.python.version, &tool.to_string())
    }

    fn hold(&self, plan: &Plan, until: Instant) -> Result<fs::File, EnvError> {
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
    /// Exactly what to install, where there is a lock file.
    locked: Option<String>,
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
