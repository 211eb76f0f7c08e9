//! Whether a pool could take a call, apart from how long the calls take that it has.

use std::sync::{Arc, Condvar, PoisonError};

use snakebridge_pool::{Outcome, PoolId, Ticket, WorkerStage};

use super::{Placement, Waiter, Want};
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
            Outcome::Granted(worker) => {
                let grant = state.grant(worker)?;
                drop(state);
                self.give_back_unused(grant);
                Ok(())
            }
            Outcome::Refused(refusal) => Err(state.refusal(refusal)),
            Outcome::Queued(ticket) => {
                let woken = Arc::new(Condvar::new());
                let watches = Some(want.session.pool);
                let waiter = Waiter { woken: Arc::clone(&woken), watches, outcome: None };
                state.waiters.insert(ticket, waiter);
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
            if state.waiters.get(&ticket).is_some_and(|waiter| waiter.outcome.is_some()) {
                let outcome = state.waiters.remove(&ticket).and_then(|waiter| waiter.outcome);
                drop(state);
                return match outcome {
                    Some(Ok(grant)) => {
                        self.give_back_unused(grant);
                        Ok(())
                    }
                    Some(Err(error)) => Err(error),
                    None => Err(super::closed()),
                };
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
