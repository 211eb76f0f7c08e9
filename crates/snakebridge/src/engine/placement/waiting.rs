//! Waiting for a lane, and for the end of a worker to be known.

use std::sync::{Arc, Condvar, PoisonError};
use std::time::{Duration, Instant};

use snakebridge_pool::{Outcome, PoolId, Ticket, WorkerKey};

use super::{Grant, Loss, Placement, State, Want};
use crate::error::Result;

/// One who waits for a lane.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) wake: Wake,
    /// It is enough for it that a worker of this pool starts.
    pub(super) watches: Option<PoolId>,
    pub(super) outcome: Option<Result<Grant>>,
}

/// How one who waits is told.
#[derive(Debug)]
pub(super) enum Wake {
    Thread(Arc<Condvar>),
    #[cfg(feature = "tokio")]
    Task(std::task::Waker),
}

impl Placement {
    /// Gives a lane at once if one is free, else waits for one with this thread.
    pub(crate) fn lease(&self, want: &Want<'_>) -> Result<Grant> {
        let mut state = self.lock();
        match state.request(want) {
            Outcome::Granted(lane) => state.grant(lane),
            Outcome::Refused(refusal) => Err(state.refusal(refusal)),
            Outcome::Queued(ticket) => {
                let woken = Arc::new(Condvar::new());
                let wake = Wake::Thread(Arc::clone(&woken));
                state.waiters.insert(ticket, Waiter { wake, watches: None, outcome: None });
                // Waiting may have been what starts another worker.
                self.done(state);
                self.wait(ticket, &woken, want)
            }
        }
    }

    fn wait(&self, ticket: Ticket, woken: &Condvar, want: &Want<'_>) -> Result<Grant> {
        let deadline = want.patience();
        let mut state = self.lock();
        loop {
            if let Some(outcome) = state.take_outcome(ticket) {
                return outcome;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                state.waiters.remove(&ticket);
                state.scheduler.cancel(ticket);
                return Err(state.waited_too_long(want));
            }
            state = match left {
                Some(left) => {
                    woken.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => woken.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// How a worker ended; waits a while for the supervisor to find out.
    pub(crate) fn loss_of(&self, worker: WorkerKey, limit: Duration) -> Option<Arc<Loss>> {
        let state = self.lock();
        let unknown = |state: &mut State| !state.knows_end_of(worker);
        let (state, _) = self
            .lost
            .wait_timeout_while(state, limit, unknown)
            .unwrap_or_else(PoisonError::into_inner);
        state.known_loss(worker)
    }
}

impl Want<'_> {
    /// Until when the call may wait.
    pub(crate) fn patience(&self) -> Option<Instant> {
        let patience = self.queue_limit.and_then(|limit| Instant::now().checked_add(limit));
        self.deadline.into_iter().chain(patience).min()
    }
}

impl State {
    /// What one who waits has got.
    pub(super) fn take_outcome(&mut self, ticket: Ticket) -> Option<Result<Grant>> {
        let outcome = self.waiters.get_mut(&ticket)?.outcome.take()?;
        self.waiters.remove(&ticket);
        Some(outcome)
    }

    pub(super) fn knows_end_of(&self, worker: WorkerKey) -> bool {
        self.closed || !self.scheduler.is_alive(worker)
    }

    /// Tells one who waits to look, a task as soon as the lock is free.
    pub(super) fn wake(&mut self, ticket: Ticket) {
        match self.waiters.get(&ticket).map(|waiter| &waiter.wake) {
            Some(Wake::Thread(woken)) => woken.notify_one(),
            #[cfg(feature = "tokio")]
            Some(Wake::Task(waker)) => self.wakers.push(waker.clone()),
            None => {}
        }
    }

    /// Tells those for whom it is enough that a worker of this pool starts.
    pub(super) fn wake_watching(&mut self, pool: PoolId) {
        let watching = self.waiters.iter().filter(|(_, waiter)| waiter.watches == Some(pool));
        let watching: Vec<Ticket> = watching.map(|(ticket, _)| *ticket).collect();
        watching.into_iter().for_each(|ticket| self.wake(ticket));
    }

    /// Tells those who want to know how a worker ended.
    pub(super) fn wake_for_loss(&mut self) {
        self.wakers.append(&mut self.loss_wakers);
    }
}
