//! What can be seen of a running bridge.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use snakebridge_pool::{PoolStatus as Seen, WorkerStage};

use crate::engine::WorkerId;
use crate::engine::sessions::SessionState;

/// The state of a bridge at one moment. It may have changed by the time it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The pools; the one that serves calls which name none comes first.
    pub pools: Vec<PoolStatus>,
    /// Arrays, tables and other large values in shared memory.
    pub memory: MemoryStatus,
}

/// What has gone through shared memory between a program and its workers.
///
/// The difference between two of them is what the calls in between took. What is small goes through a pipe and
/// is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStatus {
    /// Bytes so far that were copied into shared memory, here for an argument or by a worker for a result.
    pub copied: u64,
    /// Bytes so far that were arguments and in shared memory already, so that nothing was copied, but for workers that are
    /// confined.
    pub shared: u64,
    /// Pieces of shared memory of this process, of all bridges: those in use, and those kept for the next arrays.
    pub segments: usize,
}

/// The state of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// Calls that wait for a worker.
    pub waiting: usize,
    /// Its workers, those that are not running included.
    pub workers: Vec<WorkerStatus>,
    /// Results that it keeps; `None` if it keeps none. See
    /// [`Pool::keep_results`](crate::Pool::keep_results).
    pub results: Option<ResultsStatus>,
}

/// The results that a pool keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResultsStatus {
    /// How many there are.
    pub entries: usize,
    /// Bytes of requests and results together.
    pub bytes: usize,
    /// Calls so far that found their result.
    pub hits: u64,
    /// Calls so far that could have, but did not.
    pub misses: u64,
}

/// The state of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// Which worker it is.
    pub id: WorkerId,
    /// How many workers had its place before it.
    pub generation: u32,
    /// What it is doing.
    pub state: WorkerState,
    /// Calls that it has carried out.
    pub calls: u64,
    /// Objects in it that refs are held to.
    pub refs: u64,
    /// Sessions whose calls it carries out first of all.
    pub sessions: u32,
}

/// The state of a session, in one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStatus {
    /// Its id.
    pub id: String,
    /// Its pool.
    pub pool: String,
    /// Refs that are live.
    pub refs: usize,
    /// How long it has been open.
    pub age: Duration,
    /// How long a ref may go unused; `None` for as long as it lives.
    pub ttl: Option<Duration>,
    /// Most refs; `None` for no limit.
    pub max_refs: Option<usize>,
    /// Refs so far that had to make room for others.
    pub evicted: u64,
    /// Refs so far that were not used for too long.
    pub expired: u64,
    /// What was noted when it was opened.
    pub tags: BTreeMap<String, String>,
}

/// A live ref.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefStatus {
    /// Module of the object's class.
    pub type_module: String,
    /// Qualified name of the object's class within its module.
    pub type_qualname: String,
    /// The worker that holds the object.
    pub worker: WorkerId,
    /// How long ago the ref was made.
    pub age: Duration,
    /// How long ago a call last used it, or it was made.
    pub unused: Duration,
}

impl SessionStatus {
    pub(crate) fn new(session: &SessionState, pool: String, now: Instant) -> Self {
        let registry = session.registry();
        let settings = &session.settings;
        Self {
            id: session.id.to_string(),
            pool,
            refs: registry.count(),
            age: Duration::from_micros(session.time(now)),
            ttl: settings.ttl,
            max_refs: settings.max_refs,
            evicted: registry.evicted,
            expired: registry.expired,
            tags: settings.tags.clone(),
        }
    }
}

impl RefStatus {
    pub(crate) fn of_session(session: &SessionState, now: Instant) -> Vec<Self> {
        // The objects are dropped, and perhaps released, without the lock.
        let live: Vec<_> = session.registry().live().collect();
        live.iter().map(|object| object.status(session.time(now))).collect()
    }
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WorkerState {
    /// It carries out a call.
    Busy,
    /// There is no process: none is needed, or it could not be started.
    Dead,
    /// It is on its way to end.
    Draining,
    /// It waits for a call.
    Idle,
    /// The process starts.
    Starting,
    /// A call that took too long is being interrupted.
    Stopping,
}

impl PoolStatus {
    pub(crate) fn new(name: String, seen: Seen, results: Option<ResultsStatus>) -> Self {
        let workers = seen.workers.into_iter().map(|(key, stage, calls, refs, sessions)| {
            let state = match stage {
                WorkerStage::Busy => WorkerState::Busy,
                WorkerStage::Ending => WorkerState::Draining,
                WorkerStage::Idle => WorkerState::Idle,
                WorkerStage::Starting => WorkerState::Starting,
                WorkerStage::Stopping => WorkerState::Stopping,
                _ => WorkerState::Dead,
            };
            let (id, generation) = (WorkerId(key.slot), key.generation);
            WorkerStatus { id, generation, state, calls, refs, sessions }
        });
        Self { name, waiting: seen.waiting, workers: workers.collect(), results }
    }
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "busy",
            Self::Dead => "dead",
            Self::Draining => "draining",
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
        })
    }
}
