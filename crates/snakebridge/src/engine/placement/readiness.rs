//! Whether a pool could take a call, apart from how long the calls take that it has.

use std::sync::{Arc, Condvar, PoisonError};

use snakebridge_pool::{Outcome, PoolId, Ticket, WorkerStage};

use super::waiting::{Waiter, Wake};
use super::{Placement, Want};
use crate::error::Result;

impl Placement {
    /// Waits until a worker of the session's pool has started, be it busy or not.
    pub(crate) fn wait_for_start(&self, want: &Want<'_>) -> Result<()> {
        let mut state = self.lock();
        if state.scheduler.has_started_one(want.session.pool) {
            return Ok(());
        }
        // Whoever asks for a worker has one started, and learns why that fails.
        match state.request(want) {
            Outcome::Granted(lane) => {
                let grant = state.grant(lane)?;
                drop(state);
                self.give_back_unused(grant);
                Ok(())
            }
            Outcome::Refused(refusal) => Err(state.refusal(refusal)),
            Outcome::Queued(ticket) => {
                let woken = Arc::new(Condvar::new());
                let wake = Wake::Thread(Arc::clone(&woken));
                let watches = Some(want.session.pool);
                state.waiters.insert(ticket, Waiter { wake, watches, outcome: None });
                self.done(state);
                self.watch_start(ticket, &woken, want)
            }
        }
    }

    /// Whether a worker of the pool waits for a call; or none is there and none has to be.
    pub(crate) fn has_idle_or_needs_none(&self, pool: PoolId) -> bool {
        let state = self.lock();
        if state.closed {
            return false;
        }
        let status = state.scheduler.status(pool);
        let mut stages = status.workers.iter().map(|(_, stage, ..)| *stage);
        stages.clone().any(|stage| stage == WorkerStage::Idle)
            || stages.all(|stage| stage == WorkerStage::Absent)
    }

    fn watch_start(&self, ticket: Ticket, woken: &Condvar, want: &Want<'_>) -> Result<()> {
        let mut state = self.lock();
        loop {
            if let Some(outcome) = state.take_outcome(ticket) {
                drop(state);
                self.give_back_unused(outcome?);
                return Ok(());
            }
            // The worker that has started may have a call already, perhaps a long one.
            if state.scheduler.has_started_one(want.session.pool) {
                state.waiters.remove(&ticket);
                state.scheduler.cancel(ticket);
                return Ok(());
            }
            state = woken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
