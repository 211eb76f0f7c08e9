//! Looking at how much memory workers use, where a pool has a limit for that.

use std::time::{Duration, Instant};

use super::super::platform;
use super::Supervisor;
use super::process::Stage;

/// Between two looks: often enough for a leak, too seldom to cost anything.
const EVERY: Duration = Duration::from_secs(1);

impl Supervisor {
    pub(super) fn measure_later(&mut self) {
        let wanted =
            self.shared.config.pools.iter().any(|pool| pool.schedule.recycle.bytes.is_some());
        self.measure_at = wanted.then(|| Instant::now() + EVERY);
    }

    pub(super) fn measure(&mut self) {
        if self.measure_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        for process in self.processes.iter().flatten() {
            let limit = self.shared.config.pool(process.pool).schedule.recycle.bytes;
            if limit.is_none() || !matches!(process.stage, Stage::Running) {
                continue;
            }
            if let Some(bytes) = process.pid().and_then(platform::memory_of) {
                self.shared.placement.measured(process.key, bytes);
            }
        }
        self.measure_later();
    }
}
