//! Environments with the packages that a program declares. With the feature `env`.
//!
//! Who declares packages gets an environment with them: it is made when the bridge is built for the
//! first time, kept in the user's cache folder, and shared by all programs that want the same. After
//! that a start costs about as much as without, and needs no network.
//!
//! ```no_run
//! use snakebridge::Bridge;
//!
//! let py = Bridge::builder().python(">=3.10").packages(["numpy>=2", "pandas"]).build()?;
//! let mean: f64 = py.call("numpy", "mean", (vec![1.0, 2.0, 6.0],)).wait()?;
//! assert_eq!(mean, 3.0);
//! # Ok::<(), snakebridge::Error>(())
//! ```

use std::fmt;

pub use snakebridge_env::config;
pub use snakebridge_env::{
    EnvError, EnvErrorKind, Environment, Environments, Index, Installer, Options, Progress,
    ProgressEvent, Requirements, State,
};
use snakebridge_worker::interpreter::Candidate;

use crate::builder::BridgeBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::Pool;

/// Whether packages that are declared are installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Install {
    /// Into an environment that is made for them.
    #[default]
    Auto,
    /// They are taken to be in the Python that is found, which is used as it is.
    Never,
}

/// What a pool declares.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declared {
    packages: Vec<String>,
    pub(crate) index: Index,
    pub(crate) install: Install,
    /// What it is called in the lock file, where that is not the name of the pool.
    pub(crate) lock_name: Option<String>,
}

impl Pool {
    /// Declares packages that Python must have, as pip and uv take them, with extras and markers.
    /// Can be called several times. The workers run in an environment with them, which is made when
    /// the bridge is built, unless it is there already; [`python`](Self::python) says which Python it
    /// is made of. See [`env`](crate::env).
    ///
    /// ```no_run
    /// use snakebridge::{Bridge, Pool};
    ///
    /// let old = Pool::new().packages(["pandas<2"]).python("3.11");
    /// let new = Pool::new().packages(["pandas[performance]>=2.2", "tzdata; sys_platform == 'win32'"]);
    /// let py = Bridge::builder().pool("old", old).pool("new", new).build()?;
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn packages(mut self, packages: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.declared.packages.extend(packages.into_iter().map(Into::into));
        self
    }

    /// Where packages are from. Default: what uv and pip are told by their own settings.
    pub fn index(mut self, index: Index) -> Self {
        self.declared.index = index;
        self
    }

    /// Whether packages are installed. Default: [`Install::Auto`].
    pub fn install(mut self, install: Install) -> Self {
        self.declared.install = install;
        self
    }
}

impl BridgeBuilder {
    /// [`Pool::packages`] of the default pool.
    ///
    /// ```no_run
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::builder().packages(["numpy>=2"]).build()?;
    /// let mean: f64 = py.call("numpy", "mean", (vec![1.0, 2.0, 6.0],)).wait()?;
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn packages(mut self, packages: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.default = self.default.packages(packages);
        self
    }

    /// [`Pool::index`] of the default pool.
    pub fn index(mut self, index: Index) -> Self {
        self.default = self.default.index(index);
        self
    }

    /// [`Pool::install`] of the default pool.
    pub fn install(mut self, install: Install) -> Self {
        self.default = self.default.install(install);
        self
    }

    /// How environments are made: with what, in which time, and who is told.
    ///
    /// ```
    /// use snakebridge::Bridge;
    /// use snakebridge::env::{Options, Progress};
    ///
    /// let progress = Progress::new(|event| eprintln!("{event}"));
    /// let py = Bridge::builder().environments(Options::new().progress(progress)).build()?;
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn environments(mut self, options: Options) -> Self {
        self.environments = options;
        self
    }
}

impl Declared {
    /// The interpreter of the environment, which is made if it is not there. None: there is nothing
    /// to be installed.
    pub(crate) fn python(
        &self,
        pool: &str,
        python: Option<&str>,
        options: &Options,
    ) -> Result<Option<Candidate>> {
        if self.packages.is_empty() || self.install == Install::Never {
            return Ok(None);
        }
        let mut wanted = Requirements::new(&self.packages);
        wanted.pool = self.lock_name.as_deref().unwrap_or(pool).to_owned();
        wanted.python = python.map(str::to_owned);
        wanted.index = self.index.clone();
        let environments = Environments::new(options.clone())?;
        let found = environments.get(&wanted)?;
        let packages = config::redacted(&self.packages.join(", "));
        let origin = format!("environment with {packages}");
        Ok(Some(Candidate { path: found.python, origin }))
    }
}

impl From<EnvError> for Error {
    fn from(error: EnvError) -> Self {
        let kind = match error.kind() {
            EnvErrorKind::Requirement => ErrorKind::Config,
            EnvErrorKind::NoPython => ErrorKind::Spawn,
            _ => ErrorKind::Environment,
        };
        let mut out = Self::new(kind, error.to_string());
        if let Some(hint) = error.hint() {
            out = out.with_hint(hint);
        }
        match error.said().filter(|said| said.contains('\n')) {
            Some(said) => out.with_source(Said(said.to_owned())),
            None => out,
        }
    }
}

/// What uv or pip has printed.
#[derive(Debug)]
struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the last that was said:\n{}", self.0)
    }
}

impl std::error::Error for Said {}
