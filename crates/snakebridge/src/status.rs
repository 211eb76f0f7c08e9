//! What can be seen of a running bridge.

use std::fmt;

use snakebridge_pool::{PoolStatus as Seen, WorkerStage};

use crate::engine::WorkerId;

/// The state of a bridge at one moment. It may have changed by the time it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The pools; the one that serves calls which name none comes first.
    pub pools: Vec<PoolStatus>,
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
    pub(crate) fn new(name: String, seen: Seen) -> Self {
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
        Self { name, waiting: seen.waiting, workers: workers.collect() }
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
