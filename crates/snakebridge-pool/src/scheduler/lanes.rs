//! The lanes of one worker: which of them calls have.

use std::time::Instant;

use super::WorkerKey;

/// Names a lane of one life of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "complete by nature: a worker and a place")]
pub struct LaneKey {
    /// The worker.
    pub worker: WorkerKey,
    /// The place of the lane, below the number of lanes that workers of its pool have.
    pub lane: u32,
}

/// What goes on on a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneState {
    Free,
    /// A call has it. The worker is killed if that does not come back by this time.
    Taken {
        watched_until: Option<Instant>,
    },
    /// Its call was interrupted. The worker is killed if that does not end by this time.
    Stopping {
        until: Instant,
    },
}

#[derive(Debug)]
pub(super) struct Lanes {
    states: Vec<LaneState>,
    /// The one that was used last is used next.
    free: Vec<u32>,
    stopping: usize,
}

impl Lanes {
    pub(super) fn new(count: u32) -> Self {
        let states = vec![LaneState::Free; count as usize];
        Self { states, free: (0..count).rev().collect(), stopping: 0 }
    }

    /// All are free again: those of another life.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.states.len() as u32);
    }

    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// How many are not free.
    pub(super) fn used(&self) -> usize {
        self.states.len() - self.free.len()
    }

    /// Whether all that are not free are being stopped.
    pub(super) fn are_all_stopping(&self) -> bool {
        self.stopping == self.used()
    }

    pub(super) fn take(&mut self) -> Option<u32> {
        let lane = self.free.pop()?;
        self.states[lane as usize] = LaneState::Taken { watched_until: None };
        Some(lane)
    }

    pub(super) fn state(&self, lane: u32) -> LaneState {
        self.states.get(lane as usize).copied().unwrap_or(LaneState::Free)
    }

    /// Watches a lane that a call has, or no more.
    pub(super) fn watch(&mut self, lane: u32, watched_until: Option<Instant>) {
        self.states[lane as usize] = LaneState::Taken { watched_until };
    }

    pub(super) fn stop(&mut self, lane: u32, until: Instant) {
        self.states[lane as usize] = LaneState::Stopping { until };
        self.stopping += 1;
    }

    pub(super) fn free(&mut self, lane: u32) {
        if let LaneState::Stopping { .. } = self.state(lane) {
            self.stopping -= 1;
        }
        self.states[lane as usize] = LaneState::Free;
        self.free.push(lane);
    }

    #[cfg(debug_assertions)]
    pub(super) fn check(&self) {
        let count = |wanted: fn(&LaneState) -> bool| {
            self.states.iter().filter(|state| wanted(state)).count()
        };
        assert_eq!(count(|state| *state == LaneState::Free), self.free.len(), "free lanes");
        let stopping = count(|state| matches!(state, LaneState::Stopping { .. }));
        assert_eq!(stopping, self.stopping, "lanes that are being stopped");
    }
}
