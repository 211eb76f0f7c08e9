//! Settings of a pool of workers.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use snakebridge_pool::PoolConfig;
use snakebridge_worker::OLDEST_PYTHON;
use snakebridge_worker::interpreter::{Candidate, PYTHON, Surroundings, Wanted, search};

#[cfg(feature = "confine")]
use crate::confine::Confine;
use crate::engine::results::{ResultLimits, Results};
use crate::engine::{PoolSettings, START_LIMIT};
#[cfg(feature = "env")]
use crate::env::Declared;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::Guard;
#[cfg(feature = "confine")]
use crate::helpers::HelperSettings;
use crate::helpers::Helpers;
use crate::options::{Affinity, FOREVER, Spin};

/// Settings of a pool: workers that are alike.
///
/// ```
/// use snakebridge::{Bridge, Pool};
///
/// let one_thread = Pool::new().workers(2).env("OMP_NUM_THREADS", "1");
/// let py = Bridge::builder().pool("numbers", one_thread).build()?;
/// let limit: String =
///     py.call("os", "getenv", ("OMP_NUM_THREADS",)).pool("numbers").wait()?;
/// assert_eq!(limit, "1");
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a pool does nothing until it is given to a builder"]
pub struct Pool {
    python: Option<String>,
    module_path: Vec<PathBuf>,
    env: Vec<(OsString, Option<OsString>)>,
    current_dir: Option<PathBuf>,
    guard: Option<Guard>,
    #[cfg(feature = "confine")]
    confine: Option<Option<Confine>>,
    helpers: Option<Helpers>,
    preload: Vec<String>,
    fork_server: bool,
    threads: Option<usize>,
    affinity: Affinity,
    memory_limit: Option<u64>,
    start_limit: Duration,
    queue_timeout: Option<Duration>,
    results: Option<ResultLimits>,
    min: usize,
    max: usize,
    asyncio: Option<u32>,
    spin: Option<Spin>,
    schedule: PoolConfig,
    #[cfg(feature = "env")]
    pub(crate) declared: Declared,
}

/// What the pools of a bridge have where they say nothing else.
pub(crate) struct Common {
    pub(crate) helpers: Helpers,
    pub(crate) guard: Guard,
    #[cfg(feature = "confine")]
    pub(crate) confine: Option<Confine>,
    #[cfg(feature = "env")]
    pub(crate) environments: crate::env::Options,
}

/// More processes than any machine of today can use; a larger number is a mistake.
const MOST_WORKERS: usize = 1024;

/// More descriptors than a process may have by default; a larger number is a mistake.
const MOST_LANES: u32 = 1000;

impl Pool {
    /// One worker, on the Python that is found first.
    pub fn new() -> Self {
        Self {
            python: None,
            module_path: Vec::new(),
            env: Vec::new(),
            current_dir: None,
            guard: None,
            #[cfg(feature = "confine")]
            confine: None,
            helpers: None,
            preload: Vec::new(),
            fork_server: false,
            threads: None,
            affinity: Affinity::Hint,
            memory_limit: None,
            start_limit: START_LIMIT,
            queue_timeout: None,
            results: None,
            min: 1,
            max: 1,
            asyncio: None,
            spin: None,
            schedule: PoolConfig::default(),
            #[cfg(feature = "env")]
            declared: Declared::default(),
        }
    }

    /// Which Python to use: a path (with a `/` in it) to an interpreter or to the folder of an
    /// environment, a command (`python3.12`), a version (`3.12`, `3.12.1`), or a range of versions
    /// (`>=3.10,<3.14`). Default: the first that works, see [`BridgeBuilder`](crate::BridgeBuilder).
    pub fn python(mut self, python: impl Into<String>) -> Self {
        self.python = Some(python.into());
        self
    }

    /// How many workers to run, 1 to 1024. Default: 1, so that all calls see the same modules with
    /// the same state.
    pub fn workers(mut self, count: usize) -> Self {
        (self.min, self.max) = (count, count);
        self
    }

    /// Runs at least `min` workers, and up to `max` while calls wait. `min` may be 0. Those above
    /// `min` end when they have been idle for [`idle_limit`](Self::idle_limit) and hold no object.
    pub fn workers_between(mut self, min: usize, max: usize) -> Self {
        (self.min, self.max) = (min, max);
        self
    }

    /// Has each worker run an `asyncio` event loop, on which up to `calls` calls run at the same time, 1 to
    /// 1000. Default: a worker carries out one call at a time.
    ///
    /// For functions that are `async` and wait for something else: calls that are
    /// [`awaited`](crate::Call::awaited) run beside each other, each as a task of its own, and so do streams of
    /// asynchronous generators. A call whose time is over, or whose future is dropped, has its task cancelled. All that
    /// does not await (other calls, callbacks, sync iterators) keeps the loop to itself while it runs, and what
    /// does not give way within the grace time costs the worker, with all calls that run on it. A callback is
    /// answered by whoever waits for its call: have each of such calls waited for by a thread or task of its own.
    ///
    /// Each of the calls takes a descriptor of this process and one of the worker: look at `ulimit -n`.
    ///
    /// ```
    /// use snakebridge::{Bridge, Pool, Pending, Result};
    ///
    /// let py = Bridge::builder().pool("default", Pool::new().asyncio(10)).build()?;
    /// let sleep = |n| py.call::<i64>("asyncio", "sleep", (0.05, n)).awaited().start();
    /// let sleeping: Vec<Pending<i64>> = (0..10).map(sleep).collect();
    /// let slept: Result<Vec<i64>> = sleeping.into_iter().map(Pending::wait).collect();
    /// assert_eq!(slept?.len(), 10);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn asyncio(mut self, calls: usize) -> Self {
        self.asyncio = Some(u32::try_from(calls).unwrap_or(u32::MAX));
        self
    }

    /// Whether a caller and its worker look for the reply and for the next request, in memory that they share, for a
    /// short while before they sleep. Waking a core that sleeps takes ten times as long as a small call, so calls
    /// that follow each other closely are that much faster. Default: what the environment variable
    /// `SNAKEBRIDGE_SPIN` says (`off`, `auto`, or microseconds), else [`Spin::Auto`], which looks only where it pays:
    /// not where calls are rare, where there is one core, or where others want the cores.
    ///
    /// Workers that run an event loop never look, nor do those in which Python code has started threads, which would
    /// wait for the interpreter meanwhile.
    ///
    /// ```
    /// use snakebridge::{Bridge, Pool, Spin};
    ///
    /// let py = Bridge::builder().pool("default", Pool::new().spin(Spin::Off)).build()?;
    /// let root: f64 = py.call("math", "sqrt", (16,)).wait()?;
    /// assert_eq!(root, 4.0);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn spin(mut self, spin: Spin) -> Self {
        self.spin = Some(spin);
        self
    }

    /// Which worker calls go to, where neither the call nor its handle says it. Default:
    /// [`Affinity::Hint`].
    pub fn affinity(mut self, affinity: Affinity) -> Self {
        self.affinity = affinity;
        self
    }

    /// How long a worker above the least number may be idle. Default: a minute.
    pub fn idle_limit(mut self, limit: Duration) -> Self {
        self.schedule.idle_limit = limit;
        self
    }

    /// How many calls may wait for a worker; more fail with
    /// [`ErrorKind::Saturated`](crate::ErrorKind::Saturated). Default: 1000.
    pub fn queue_limit(mut self, calls: usize) -> Self {
        self.schedule.queue_limit = calls;
        self
    }

    /// How long a call may wait for a worker, where neither the call nor its handle says it; see
    /// [`CallOptions::queue_timeout`](crate::CallOptions::queue_timeout). Default: as long as the
    /// timeout of the call allows.
    pub fn queue_timeout(mut self, limit: Duration) -> Self {
        self.queue_timeout = Some(limit);
        self
    }

    /// How long Python code may go on after it was interrupted because its time was over; then its
    /// worker is killed. Default: a second.
    pub fn grace(mut self, time: Duration) -> Self {
        self.schedule.grace = time;
        self
    }

    /// Replaces a worker after this many calls, once nothing is held in it. Default: never.
    pub fn recycle_after_calls(mut self, calls: u64) -> Self {
        self.schedule.recycle.calls = Some(calls);
        self
    }

    /// Replaces a worker at this age, once nothing is held in it. Default: never.
    pub fn recycle_after(mut self, age: Duration) -> Self {
        self.schedule.recycle.age = Some(age);
        self
    }

    /// How long refs may hold up the replacement of a worker; then they are lost. Default: as long
    /// as they live.
    pub fn drain_limit(mut self, time: Duration) -> Self {
        self.schedule.recycle.drain_limit = Some(time);
        self
    }

    /// Keeps results of calls that are marked
    /// [`idempotent`](crate::CallOptions::idempotent), and answers a call from them that asks for the
    /// same again: the same function with the same arguments, all of them values, and no refs in its
    /// result; arrays, tables, and bytes or text of 256 KiB and more, are not kept. Up to `entries`
    /// results, `bytes` of requests and results together, and for `max_age`; the oldest make room.
    /// [`Bridge::clear_results`](crate::Bridge::clear_results) forgets them,
    /// [`Bridge::status`](crate::Bridge::status) counts them. Default: none are kept.
    ///
    /// ```
    /// use std::time::Duration;
    /// use snakebridge::{Bridge, Pool};
    ///
    /// let keeping = Pool::new().keep_results(1000, 64 << 20, Duration::from_secs(600));
    /// let py = Bridge::builder().pool("default", keeping).build()?;
    /// let ask = || py.call("time", "time", ()).idempotent(true).wait();
    /// let (first, second): (f64, f64) = (ask()?, ask()?);
    /// assert_eq!(first, second);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn keep_results(mut self, entries: usize, bytes: usize, max_age: Duration) -> Self {
        self.results = Some(ResultLimits { entries, bytes, max_age });
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
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
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

    /// Which modules and names may be called in this pool. Default: what
    /// [`BridgeBuilder::guard`](crate::BridgeBuilder::guard) says.
    pub fn guard(mut self, guard: Guard) -> Self {
        self.guard = Some(guard);
        self
    }

    /// What the workers of this pool may do; `None` for no restriction. Default: what
    /// [`BridgeBuilder::confine`](crate::BridgeBuilder::confine) says.
    ///
    /// Workers are replaced by ones that are confined likewise. What is granted is opened when the first
    /// one starts: if a folder is removed and made again, it is another one.
    #[cfg(feature = "confine")]
    pub fn confine(mut self, confine: impl Into<Option<Confine>>) -> Self {
        self.confine = Some(confine.into());
        self
    }

    /// Where the helpers of this pool are; see [`Bridge::helper`](crate::Bridge::helper). Default: what
    /// [`BridgeBuilder::helpers`](crate::BridgeBuilder::helpers) says.
    pub fn helpers(mut self, helpers: Helpers) -> Self {
        self.helpers = Some(helpers);
        self
    }

    /// Imports this module before a worker takes calls, so that the first call need not wait for
    /// it. Can be called several times. If an import fails, the worker cannot be started.
    pub fn preload(mut self, module: impl Into<String>) -> Self {
        self.preload.push(module.into());
        self
    }

    /// Has one more process import the modules of [`preload`](Self::preload), once, and forks the workers
    /// from it. A worker is there in a few milliseconds then, however long the imports take, and the
    /// workers share the memory of what was imported, until they write to it. Linux only. Default: each
    /// worker is started by itself, and imports for itself.
    ///
    /// Forked workers share what the modules did when they were imported: connections and files that
    /// they have opened, the state of random generators (but for that of `random`, which Python
    /// renews: reseed numpy's global one in a function given to `os.register_at_fork`), the hash seed,
    /// process ids that they have taken note of. What they log then is printed, and is no event.
    ///
    /// A module that starts a thread or makes use of a GPU when it is imported cannot be forked with:
    /// calls fail with [`ErrorKind::Config`](crate::ErrorKind::Config). Numeric libraries start none
    /// with [`threads(1)`](Self::threads). The workers of a fork server are lost with it; the next
    /// worker begins a new one.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use snakebridge::{Bridge, Pool};
    ///
    /// let forking = Pool::new().workers(4).preload("xml.dom.minidom").fork_server(true);
    /// let py = Bridge::builder().pool("default", forking).build()?;
    /// let root: f64 = py.call("math", "sqrt", (16,)).wait()?;
    /// assert_eq!(root, 4.0);
    /// # }
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn fork_server(mut self, wanted: bool) -> Self {
        self.fork_server = wanted;
        self
    }

    /// How many threads the numeric libraries of a worker may use: sets `OMP_NUM_THREADS`,
    /// `OPENBLAS_NUM_THREADS`, `MKL_NUM_THREADS`, `NUMEXPR_NUM_THREADS` and
    /// `VECLIB_MAXIMUM_THREADS`, except those that [`env`](Self::env) sets. Default: what the
    /// libraries choose, mostly all cores in each worker.
    pub fn threads(mut self, count: usize) -> Self {
        self.threads = Some(count);
        self
    }

    /// How many bytes of memory a worker may have. Beyond that, Python raises `MemoryError`, and
    /// libraries that cannot cope end the worker. It is the address space that the system limits
    /// (`RLIMIT_AS`): more than what is in use, so leave room. Default: no limit.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Replaces a worker that uses more than this many bytes of memory, once nothing is held in it.
    /// Looked at every second, where the system tells (Linux). Default: never.
    pub fn recycle_above(mut self, bytes: u64) -> Self {
        self.schedule.recycle.bytes = Some(bytes);
        self
    }

    /// How long a worker may take to start, imports of [`preload`](Self::preload) included.
    /// Default: 30 seconds.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.start_limit = limit;
        self
    }

    /// Checks the settings as a whole.
    pub(crate) fn check(self, name: &str, common: &Common) -> Result<PoolSettings> {
        let env = self.env_with_threads()?;
        let Self { python, module_path, current_dir, min, max, mut schedule, .. } = self;
        if !(1..=MOST_WORKERS).contains(&max) {
            return Err(config_error(format!("{max} workers, expected 1 to {MOST_WORKERS}")));
        }
        if min > max {
            return Err(config_error(format!("at least {min} workers, but at most {max}")));
        }
        let lanes = self.asyncio.unwrap_or(1);
        if !(1..=MOST_LANES).contains(&lanes) {
            let message = format!("{lanes} calls on one event loop, expected 1 to {MOST_LANES}");
            return Err(config_error(message));
        }
        if self.fork_server && !cfg!(target_os = "linux") {
            let message = "a fork server, which there is on Linux only".to_owned();
            return Err(config_error(message).with_hint("leave `Pool::fork_server` out"));
        }
        (schedule.min, schedule.max, schedule.lanes) = (min as u32, max as u32, lanes);
        bound_times(&mut schedule);
        for (name, value) in &env {
            check_variable(name, value.as_deref())?;
        }
        let module_path: Result<Vec<_>> =
            module_path.iter().map(|path| module_folder(path)).collect();
        let module_path = module_path?;
        let helpers = self.helpers.as_ref().unwrap_or(&common.helpers).check()?;
        #[cfg(feature = "confine")]
        let confined = match self.confine.as_ref().unwrap_or(&common.confine) {
            Some(confine) => {
                let helpers = helpers.iter().flat_map(HelperSettings::paths);
                let granted = module_path.iter().chain(helpers).map(PathBuf::from);
                Some(confine.check(granted.collect())?)
            }
            None => None,
        };
        let wanted = python.as_deref().map(str::parse::<Wanted>).transpose();
        let wanted = wanted.map_err(|error| config_error(error.to_string()))?;
        Ok(PoolSettings {
            name: Arc::from(name),
            module_path,
            env,
            current_dir: current_dir.as_deref().map(folder).transpose()?,
            guard: self.guard.as_ref().unwrap_or(&common.guard).check()?,
            helpers,
            #[cfg(feature = "confine")]
            confined,
            preload: self.preload,
            fork_server: self.fork_server,
            memory_limit: self.memory_limit,
            start_limit: self.start_limit.min(FOREVER),
            queue_timeout: self.queue_timeout,
            results: self.results.map(|limits| Arc::new(Results::new(limits))),
            affinity: self.affinity,
            asyncio: self.asyncio,
            spin: self.spin.map_or_else(Spin::of_environment, Ok)?,
            schedule,
            // At last, since an environment may have to be made for it.
            #[cfg(feature = "env")]
            candidates: match self.declared.python(name, python.as_deref(), &common.environments)? {
                Some(python) => vec![python],
                None => find(wanted.as_ref())?,
            },
            #[cfg(not(feature = "env"))]
            candidates: find(wanted.as_ref())?,
            wanted: wanted.or_else(|| Surroundings::of_process().wanted()),
        })
    }
}

impl Pool {
    fn env_with_threads(&self) -> Result<Vec<(OsString, Option<OsString>)>> {
        let mut env = self.env.clone();
        let Some(threads) = self.threads else { return Ok(env) };
        if threads == 0 {
            return Err(config_error("0 threads, expected 1 or more".to_owned()));
        }
        for name in THREAD_VARIABLES {
            if !env.iter().any(|(other, _)| other == name) {
                env.push((name.into(), Some(threads.to_string().into())));
            }
        }
        Ok(env)
    }
}

/// `Duration::MAX` says "never", and must not overflow.
fn bound_times(schedule: &mut PoolConfig) {
    schedule.idle_limit = schedule.idle_limit.min(FOREVER);
    schedule.grace = schedule.grace.min(FOREVER);
    for time in [&mut schedule.recycle.age, &mut schedule.recycle.drain_limit] {
        *time = time.map(|time| time.min(FOREVER));
    }
}

/// What the numeric libraries ask for the number of their threads.
const THREAD_VARIABLES: [&str; 5] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
];

impl Default for Pool {
    fn default() -> Self {
        Self::new()
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
            (Some(wanted @ Wanted::Range(_)), Err(_)) => {
                format!("found no Python: {wanted} is nowhere")
            }
            (Some(Wanted::Range(_)), Ok(value)) => format!("found no Python for {PYTHON}={value}"),
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
