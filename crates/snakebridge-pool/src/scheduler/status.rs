//! What can be seen from outside.

use super::{PoolId, Scheduler, WorkerKey};

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WorkerStage {
    /// There is no process, and none is needed.
    Absent,
    /// A start has failed; the next try comes later.
    Backoff,
    /// The process starts.
    Starting,
    /// It waits for a call.
    Idle,
    /// It carries out a call.
    Busy,
    /// Its call was interrupted, and has not ended yet.
    Stopping,
    /// It was asked to end, or killed.
    Ending,
}

/// The state of a pool at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatus {
    /// Calls that wait for a worker.
    pub waiting: usize,
    /// The workers: key, stage, calls so far, refs held, sessions at home.
    pub workers: Vec<(WorkerKey, WorkerStage, u64, u64, u32)>,
}

impl<E: Clone> Scheduler<E> {
    /// The state of a pool.
    #[must_use]
    pub fn status(&self, pool: PoolId) -> PoolStatus {
        let workers = self.slots_of(pool).map(|number| {
            let slot = &self.slots[number as usize];
            let refs = u64::try_from(slot.refs).unwrap_or(0);
            (self.key(number), slot.stage, slot.calls, refs, slot.sessions)
        });
        PoolStatus { waiting: self.pools[usize::from(pool.0)].waiting, workers: workers.collect() }
    }

    /// Number of open sessions.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.count()
    }

    /// Panics if the state contradicts itself. For tests: it looks at everything.
    #[cfg(debug_assertions)]
    pub fn check_invariants(&self) {
        self.check_slots();
        self.check_queues();
    }
}
