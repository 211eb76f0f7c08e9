//! What runs below the API: processes, lanes, and who gets which.
//!
//! ```text
//!  caller's thread            supervisor (one thread)        output (one thread)
//!  Call::wait                 starts and ends workers        forwards what workers print
//!   -> placement: lease       watches control channels
//!   -> lane: write, read      drains lanes of callers
//!   -> placement: give back     that have gone away
//! ```
//!
//! The way of a call goes through the caller's thread alone.

pub(crate) mod background;
pub(crate) mod callbacks;
pub(crate) mod gear;
pub(crate) mod lane;
pub(crate) mod loss;
pub(crate) mod memory;
pub(crate) mod monitor;
pub(crate) mod output;
pub(crate) mod placement;
mod platform;
pub(crate) mod results;
pub(crate) mod sessions;
mod spawn;
pub(crate) mod stacks;
pub(crate) mod supervisor;
mod unsent;
pub(crate) mod waiting;

use std::ffi::OsString;
use std::fmt;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use snakebridge_pool::{PoolConfig, PoolId, SessionKey, WorkerKey};
use snakebridge_worker::interpreter::{Candidate, Wanted};

#[cfg(feature = "confine")]
use crate::confine::Confined;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::Guard;
use crate::helpers::HelperSettings;
use crate::options::{Affinity, Spin};
use crate::profiles::Profiles;
use crate::refs::Ref;
use crate::status::PoolStatus;
use background::Background;
use callbacks::Callbacks;
use lane::Lane;
use memory::{Introduction, Memory};
use monitor::Monitor;
use output::Output;
use placement::Placement;
use results::Results;
use sessions::{SessionSettings, SessionState, Sessions};

/// Names a worker of a bridge: a process of its own, or the one that has taken its place. The
/// workers of all pools are numbered through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub(crate) u32);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}", self.0)
    }
}

/// The Python that the workers of a bridge run on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PythonInfo {
    /// Its version: `3.12.1`.
    pub version: String,
    /// Its implementation: `cpython`.
    pub implementation: String,
    /// The file that runs, as Python itself names it.
    pub executable: PathBuf,
    /// How it was found, for people: "`python3` on PATH".
    pub origin: String,
}

/// Settings of a bridge, checked.
#[derive(Debug)]
pub(crate) struct Config {
    /// The first one serves calls that name no pool.
    pub(crate) pools: Vec<PoolSettings>,
    /// The folder that holds the worker's package.
    pub(crate) package: PathBuf,
    pub(crate) output: Output,
    pub(crate) profiles: Profiles,
    /// Settings of sessions that have none of their own.
    pub(crate) sessions: SessionSettings,
    /// Whether other programs of the user can look at the bridge.
    pub(crate) monitor: bool,
    /// How long shared memory stays unused before it is given back.
    pub(crate) keep_memory: Duration,
}

/// Settings of one pool, checked.
#[derive(Debug)]
pub(crate) struct PoolSettings {
    pub(crate) name: Arc<str>,
    pub(crate) wanted: Option<Wanted>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) module_path: Vec<String>,
    pub(crate) env: Vec<(OsString, Option<OsString>)>,
    pub(crate) current_dir: Option<PathBuf>,
    /// Starts the workers, where they are confined.
    #[cfg(feature = "confine")]
    pub(crate) confined: Option<Confined>,
    /// What may be named, where that is restricted.
    pub(crate) guard: Option<Guard>,
    /// Where helpers are, unless they are switched off.
    pub(crate) helpers: Option<HelperSettings>,
    /// Modules to import before the worker is ready.
    pub(crate) preload: Vec<String>,
    /// Whether workers are forked from a process that has imported them.
    pub(crate) fork_server: bool,
    /// Bytes of address space, where limited.
    pub(crate) memory_limit: Option<u64>,
    /// How long a worker may take to start.
    pub(crate) start_limit: Duration,
    pub(crate) affinity: Affinity,
    /// How long a call may wait for a worker, where the call does not say it.
    pub(crate) queue_timeout: Option<Duration>,
    /// Results of idempotent calls, where they are kept.
    pub(crate) results: Option<Arc<Results>>,
    /// Whether both sides look for what comes next before they sleep.
    pub(crate) spin: Spin,
    /// Whether the workers run an event loop, and with how many lanes.
    pub(crate) asyncio: Option<u32>,
    pub(crate) schedule: PoolConfig,
}

impl Config {
    pub(crate) fn pool(&self, pool: PoolId) -> &PoolSettings {
        &self.pools[usize::from(pool.0)]
    }

    /// Places of the workers that are confined.
    fn confined_workers(&self) -> Vec<Range<u32>> {
        let mut next = 0;
        let places = self.pools.iter().map(|pool| {
            let first = next;
            next += pool.schedule.max;
            (pool, first..next)
        });
        places.filter(|(pool, _)| pool.is_confined()).map(|(_, places)| places).collect()
    }

    /// The pool with this name; the first one for none.
    pub(crate) fn pool_named(&self, name: Option<&str>) -> Result<PoolId> {
        let Some(name) = name else { return Ok(PoolId(0)) };
        match self.pools.iter().position(|pool| &*pool.name == name) {
            Some(place) => Ok(PoolId(place as u16)),
            None => {
                let known: Vec<String> =
                    self.pools.iter().map(|pool| format!("`{}`", pool.name)).collect();
                let message = format!("there is no pool `{name}`, only {}", known.join(", "));
                Err(Error::new(ErrorKind::UnknownPool, message)
                    .with_hint("declare it with `Bridge::builder().pool(name, settings)`"))
            }
        }
    }
}

impl PoolSettings {
    /// Whether its workers are confined.
    fn is_confined(&self) -> bool {
        #[cfg(feature = "confine")]
        return self.confined.is_some();
        #[cfg(not(feature = "confine"))]
        return false;
    }
}

/// How long a worker may take to start, site packages and all, where nothing else is said.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(30);

/// Something for the supervisor to do.
#[derive(Debug)]
pub(crate) enum Command {
    Start(WorkerKey, PoolId),
    /// The caller of this lane has its answer already, a timeout: stop the call.
    Stop {
        worker: WorkerKey,
        session: u32,
        lane: Box<Lane>,
    },
    /// This worker cannot be used any more.
    Kill(WorkerKey),
    /// There are refs to release.
    Flush,
    /// Refs of this session may have gone unused for too long.
    LookAt(SessionKey),
    /// Something has changed by which timers or processes have to be looked at.
    Look,
    /// Have this worker write its stacks to a pipe.
    DumpStacks {
        worker: WorkerId,
        into: OwnedFd,
    },
    /// Send this worker a segment of shared memory, and have it forget others.
    Introduce(WorkerKey, Vec<Introduction>, Vec<u64>),
    /// Have this worker use a segment for further results.
    FreeSegment(WorkerKey, u64),
    /// Answer a callback that no call waits for.
    Tell {
        worker: WorkerKey,
        number: u64,
        frame: Vec<u8>,
        /// Those in the answer, which have to live until the worker has taken it.
        refs: Vec<Ref>,
    },
    /// Say that the supervisor is there.
    Answer(SyncSender<()>),
    /// End everything.
    Shutdown,
}

/// What the callers and the supervisor share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) placement: Placement,
    pub(crate) sessions: Sessions,
    pub(crate) memory: Memory,
    pub(crate) callbacks: Callbacks,
    pub(crate) background: Background,
    /// What the callers hold.
    pub(crate) engine: OnceLock<Weak<Engine>>,
}

impl Shared {
    /// What the pools are doing.
    pub(crate) fn status(&self) -> Vec<PoolStatus> {
        let pools = self.config.pools.iter().enumerate().map(|(place, pool)| {
            let seen = self.placement.status(PoolId(place as u16));
            let results = pool.results.as_ref().map(|results| results.status());
            PoolStatus::new(pool.name.to_string(), seen, results)
        });
        pools.collect()
    }

    /// Ends a session, on all workers.
    pub(crate) fn close_session(&self, session: &SessionState) {
        if session.close() {
            self.sessions.closed(session);
            self.placement.close_session(session);
        }
    }

    /// Ends the refs of a session that have gone unused for too long, and the session itself if it
    /// has an id by which nobody has used it for as long.
    pub(crate) fn look_at_session(&self, key: SessionKey) {
        let Some(session) = self.sessions.with_key(key) else { return };
        let now = Instant::now();
        let (expired, next) = session.expire(now);
        expired.iter().for_each(|object| object.let_go());
        if self.sessions.forget(&session, now) {
            self.close_session(&session);
        } else if let Some(next) = next {
            self.placement.look_at_session(key, next);
        }
    }
}

/// A running bridge. Ends with its last handle.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) shared: Arc<Shared>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
    /// The threads of the bridge itself.
    own_threads: [ThreadId; 2],
}

impl Engine {
    pub(crate) fn start(config: Config) -> Result<Arc<Self>> {
        let (bell, wake) =
            platform::bell().map_err(|error| system_error("cannot make a pipe", error))?;
        let monitor = config
            .monitor
            .then(Monitor::open)
            .transpose()
            .map_err(|error| system_error("cannot show the bridge to other programs", error))?;
        let schedules = config.pools.iter().map(|pool| pool.schedule.clone()).collect();
        let shared = Arc::new(Shared {
            placement: Placement::new(schedules, wake, config.monitor),
            sessions: Sessions::new(config.sessions.clone()),
            callbacks: Callbacks::default(),
            memory: Memory::new(config.confined_workers()),
            background: Background::default(),
            engine: OnceLock::new(),
            config,
        });
        let (supervisor, output) = supervisor::start(Arc::clone(&shared), bell, monitor)
            .map_err(|error| system_error("cannot start a thread", error))?;
        let own_threads = [supervisor.thread().id(), output];
        let supervisor = Mutex::new(Some(supervisor));
        let engine = Arc::new(Self { shared, supervisor, own_threads });
        // It is new, so nobody has said it before.
        let _ = engine.shared.engine.set(Arc::downgrade(&engine));
        Ok(engine)
    }

    /// Ends all workers and waits until they have ended. On a thread of the bridge, where a handler
    /// of output may drop the last handle, it does not wait: that would be for itself.
    pub(crate) fn shutdown(&self) {
        self.shared.placement.close();
        if self.own_threads.contains(&std::thread::current().id()) {
            return;
        }
        // Held while it waits: whoever calls this at the same time waits as well.
        let mut supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(supervisor) = supervisor.take() {
            // A panic there was printed by the thread itself, and there is nothing to undo.
            let _ = supervisor.join();
        }
    }

    /// Whether the supervisor does its work: answers within this time.
    pub(crate) fn answers_within(&self, limit: Duration) -> bool {
        let (answer, answered) = sync_channel(1);
        self.shared.placement.ask(Command::Answer(answer));
        answered.recv_timeout(limit).is_ok()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shutdown();
    }
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the bridge was shut down")
        .with_hint("keep a `Bridge` alive as long as its refs and sessions are used")
}

pub(crate) fn system_error(what: &str, error: impl Into<std::io::Error>) -> Error {
    let error = error.into();
    Error::new(ErrorKind::Spawn, format!("{what}: {error}")).with_source(error)
}
