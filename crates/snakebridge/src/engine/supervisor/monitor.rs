//! Telling other programs what the bridge is doing.

use super::super::monitor::{PoolSnapshot, ProcessSnapshot, Snapshot};
use super::super::platform;
use super::{Process, Supervisor};
use crate::status::{PoolStatus, WorkerStatus};

impl Supervisor {
    pub(super) fn answer_monitors(&self) {
        if let Some(monitor) = &self.monitor {
            monitor.answer(|(bridge, started)| self.snapshot(bridge, started).to_json());
        }
    }

    fn snapshot(&self, bridge: u32, started: std::time::Instant) -> Snapshot {
        let pools = self.shared.status().into_iter().enumerate();
        let pools = pools.map(|(place, status)| self.pool_snapshot(place, status)).collect();
        Snapshot { bridge, started, pools }
    }

    fn pool_snapshot(&self, place: usize, status: PoolStatus) -> PoolSnapshot {
        let pool = snakebridge_pool::PoolId(place as u16);
        let slots: Vec<u32> = status.workers.iter().map(|worker| worker.id.0).collect();
        let (latency, busy) = self.shared.placement.measured_times(pool, &slots);
        let processes = status.workers.iter().zip(busy);
        let processes = processes.map(|(worker, busy)| {
            let (pid, memory) = self.seen_of(worker);
            ProcessSnapshot { pid, memory, busy }
        });
        let processes = processes.collect();
        let python = self.shared.placement.python(pool).map(|python| python.version);
        PoolSnapshot { status, python, latency, processes }
    }

    /// The process of a worker, and the bytes that it has in memory.
    fn seen_of(&self, worker: &WorkerStatus) -> (Option<i32>, Option<u64>) {
        let process = self.processes.get(worker.id.0 as usize).and_then(Option::as_ref);
        let pid = process.and_then(Process::pid);
        (pid.map(|pid| pid.as_raw_nonzero().get()), pid.and_then(platform::memory_of))
    }
}
