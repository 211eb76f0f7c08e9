//! Settings of a bridge.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use crate::bridge::Bridge;
#[cfg(feature = "confine")]
use crate::confine::Confine;
use crate::engine::monitor;
use crate::engine::output::Output;
use crate::engine::sessions::SessionSettings;
use crate::engine::{Config, Engine};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::Guard;
use crate::helpers::Helpers;
use crate::options::{CallOptions, FOREVER};
use crate::pool::{Common, Pool};
use crate::profiles::Profiles;

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
/// 6. the interpreters that pyenv and uv have installed, newest first;
/// 7. the base environment of conda, where its installers put it;
/// 8. `python3` in the folders of the system.
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
    pub(crate) default: Pool,
    pools: Vec<(String, Pool)>,
    output: Output,
    pub(crate) defaults: CallOptions,
    profiles: Profiles,
    sessions: SessionSettings,
    helpers: Helpers,
    guard: Guard,
    #[cfg(feature = "confine")]
    confine: Option<Confine>,
    #[cfg(feature = "env")]
    pub(crate) environments: crate::env::Options,
    monitor: bool,
    keep_memory: Duration,
}

/// The name of the pool that serves calls which name none.
const DEFAULT_POOL: &str = "default";

impl BridgeBuilder {
    pub(crate) fn new() -> Self {
        Self {
            default: Pool::new(),
            pools: Vec::new(),
            output: Output::default(),
            defaults: CallOptions::default(),
            profiles: Profiles::new(),
            sessions: SessionSettings::default(),
            helpers: Helpers::new(),
            guard: Guard::new(),
            #[cfg(feature = "confine")]
            confine: None,
            #[cfg(feature = "env")]
            environments: crate::env::Options::default(),
            monitor: false,
            keep_memory: Duration::from_secs(10),
        }
    }

    /// Which Python to use: a path (with a `/` in it) to an interpreter or to the folder of an
    /// environment, a command (`python3.12`), a version (`3.12`, `3.12.1`), or a range of versions
    /// (`>=3.10,<3.14`), of which the first one of the list above is taken. Default: the first of
    /// the list that works.
    pub fn python(mut self, python: impl Into<String>) -> Self {
        self.default = self.default.python(python);
        self
    }

    /// How many worker processes to run, 1 to 1024. Default: 1, so that all calls see the same
    /// modules with the same state.
    pub fn workers(mut self, count: usize) -> Self {
        self.default = self.default.workers(count);
        self
    }

    /// Adds a folder in which Python looks for modules, before all others. Can be called several
    /// times; the first folder is the first to be looked at. Relative to the current folder.
    pub fn module_path(mut self, folder: impl AsRef<Path>) -> Self {
        self.default = self.default.module_path(folder);
        self
    }

    /// Sets an environment variable of the workers. Default: they have those of the program.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.default = self.default.env(name, value);
        self
    }

    /// Takes an environment variable away from the workers.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.default = self.default.env_remove(name);
        self
    }

    /// The current folder of the workers. Default: that of the program.
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.default = self.default.current_dir(folder);
        self
    }

    /// Declares a pool beside the default one, for calls that name it. The pool named `default` is
    /// the one whose settings the builder itself has; declaring it replaces all of them.
    pub fn pool(mut self, name: &str, pool: Pool) -> Self {
        match name {
            DEFAULT_POOL => self.default = pool,
            _ => self.pools.push((name.to_owned(), pool)),
        }
        self
    }

    /// Where the helpers of all pools are, of those at least that say nothing else; see
    /// [`Bridge::helper`]. Default: the files in `python/helpers`.
    pub fn helpers(mut self, helpers: Helpers) -> Self {
        self.helpers = helpers;
        self
    }

    /// Which modules and names may be called, in all pools that say nothing else. Default: all.
    pub fn guard(mut self, guard: Guard) -> Self {
        self.guard = guard;
        self
    }

    /// What the workers of all pools may do, of those at least that say nothing else; `None` for no
    /// restriction. Default: they have the rights of the program.
    #[cfg(feature = "confine")]
    pub fn confine(mut self, confine: impl Into<Option<Confine>>) -> Self {
        self.confine = confine.into();
        self
    }

    /// What becomes of what Python prints and logs. Default: [`Output::Forward`].
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

    /// Names a time limit, for [`CallOptions::profile`]; `None` is no limit. There are `default`
    /// (two minutes; that of all calls for which nothing else is said), `ml_inference` (ten minutes)
    /// and `batch_job` (no limit), which can be changed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::builder()
    ///     .profile("default", Some(Duration::from_secs(30)))
    ///     .library_profile("torch", "ml_inference")
    ///     .build()?;
    /// let root: f64 = py.call("math", "sqrt", (16,)).profile("batch_job").wait()?;
    /// assert_eq!(root, 4.0);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn profile(mut self, name: &str, limit: Option<Duration>) -> Self {
        self.profiles.set(name, limit);
        self
    }

    /// Gives the calls into a library, whose modules begin with this name, the limit of a profile,
    /// where no limit and no profile is given.
    pub fn library_profile(mut self, library: &str, profile: &str) -> Self {
        self.profiles.set_library(library, profile);
        self
    }

    /// How long a ref may go unused, in sessions that say nothing else; automatic ones too. See
    /// [`SessionBuilder::ttl`](crate::SessionBuilder::ttl). Default: as long as it lives.
    pub fn session_ttl(mut self, limit: Duration) -> Self {
        self.sessions.ttl = Some(limit.min(FOREVER));
        self
    }

    /// How many refs a session may have, where it says nothing else; automatic ones too. See
    /// [`SessionBuilder::max_refs`](crate::SessionBuilder::max_refs). Default: as many as there are.
    pub fn session_max_refs(mut self, count: usize) -> Self {
        self.sessions.max_refs = Some(count);
        self
    }

    /// Shows the bridge to other programs of the same user, on Linux: `snakebridge status` and `snakebridge top` list
    /// its pools, workers, calls, latency and memory. Nothing is left behind, however the program ends; while
    /// nobody asks, it costs two looks at the clock for each call. Default: only where the environment variable
    /// `SNAKEBRIDGE_MONITOR` is `1`.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// let py = snakebridge::Bridge::builder().monitor(true).build()?;
    /// # }
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn monitor(mut self, wanted: bool) -> Self {
        self.monitor = wanted;
        self
    }

    /// How long shared memory for arrays and tables is kept for the next ones while nobody uses it; it is given back
    /// before twice that time is over. What is used again saves the time that new memory takes, which is ten
    /// times that of the copy. Default: 10 seconds.
    pub fn keep_memory(mut self, limit: Duration) -> Self {
        self.keep_memory = limit.min(FOREVER);
        self
    }

    /// Checks the settings and starts the bridge. Workers start in the background: calls wait for
    /// them, and [`Bridge::ready`] does nothing else.
    ///
    /// # Errors
    /// A setting cannot be used, no Python is found, or the worker's source cannot be written.
    pub fn build(self) -> Result<Bridge> {
        let defaults = self.defaults.clone();
        let config = self.check()?;
        config.pool_named(defaults.pool.as_deref())?;
        if let Some(profile) = &defaults.profile {
            config.profiles.limit(profile)?;
        }
        Ok(Bridge::start(Engine::start(config)?, defaults))
    }

    fn check(self) -> Result<Config> {
        let common = Common {
            helpers: self.helpers,
            guard: self.guard,
            #[cfg(feature = "confine")]
            confine: self.confine,
            #[cfg(feature = "env")]
            environments: self.environments,
        };
        let mut pools = vec![self.default.check(DEFAULT_POOL, &common)?];
        for (name, pool) in self.pools {
            if pools.iter().any(|other| *other.name == *name) {
                let message = format!("the pool `{name}` is declared twice");
                return Err(Error::new(ErrorKind::Config, message));
            }
            pools.push(pool.check(&name, &common)?);
        }
        let package = snakebridge_worker::cache::install().map_err(|error| {
            Error::new(ErrorKind::Config, error.to_string()).with_hint(format!(
                "set {} to a folder that can be written",
                snakebridge_worker::cache::CACHE_DIR
            ))
        })?;
        self.profiles.check()?;
        if self.monitor && !monitor::IS_THERE {
            let message = "other programs can look at a bridge on Linux only";
            return Err(Error::new(ErrorKind::Config, message).with_hint("leave `monitor` out"));
        }
        let monitor = self.monitor || monitor::is_wanted_by_environment();
        let Self { output, profiles, sessions, keep_memory, .. } = self;
        Ok(Config { pools, package, output, profiles, sessions, monitor, keep_memory })
    }
}
