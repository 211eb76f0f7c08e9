//! The same as in `waiting`, for tasks.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use snakebridge_pool::{Outcome, Ticket, WorkerKey};

use super::waiting::{Waiter, Wake};
use super::{Grant, Loss, Placement, Want};
use crate::error::{Error, Result};

/// A lane, or a place in the queue.
#[derive(Debug)]
pub(crate) enum Lease<'a> {
    Granted(Grant),
    Queued(Queued<'a>),
}

/// A place in the queue; given up when it is dropped.
#[derive(Debug)]
pub(crate) struct Queued<'a> {
    placement: &'a Placement,
    ticket: Ticket,
}

/// Gives how a worker has ended, as soon as the supervisor has found out.
#[derive(Debug)]
pub(crate) struct LossLater<'a> {
    placement: &'a Placement,
    worker: WorkerKey,
}

impl Placement {
    pub(crate) fn lease_or_queue(&self, want: &Want<'_>) -> Result<Lease<'_>> {
        let mut state = self.lock();
        match state.request(want) {
            Outcome::Granted(lane) => state.grant(lane).map(Lease::Granted),
            Outcome::Refused(refusal) => Err(state.refusal(refusal)),
            Outcome::Queued(ticket) => {
                let wake = Wake::Task(Waker::noop().clone());
                state.waiters.insert(ticket, Waiter { wake, watches: None, outcome: None });
                self.done(state);
                Ok(Lease::Queued(Queued { placement: self, ticket }))
            }
        }
    }

    pub(crate) fn waited_too_long(&self, want: &Want<'_>) -> Error {
        self.lock().waited_too_long(want)
    }

    pub(crate) fn loss_later(&self, worker: WorkerKey) -> LossLater<'_> {
        LossLater { placement: self, worker }
    }
}

impl Future for Queued<'_> {
    type Output = Result<Grant>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.placement.lock();
        if let Some(outcome) = state.take_outcome(self.ticket) {
            return Poll::Ready(outcome);
        }
        if let Some(waiter) = state.waiters.get_mut(&self.ticket) {
            waiter.wake = Wake::Task(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let mut state = self.placement.lock();
        let Some(waiter) = state.waiters.remove(&self.ticket) else { return };
        match waiter.outcome {
            Some(Ok(grant)) => {
                drop(state);
                self.placement.give_back_unused(grant);
            }
            Some(Err(_)) => {}
            None => {
                state.scheduler.cancel(self.ticket);
                self.placement.done(state);
            }
        }
    }
}

impl Future for LossLater<'_> {
    type Output = Option<Arc<Loss>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.placement.lock();
        if state.knows_end_of(self.worker) {
            return Poll::Ready(state.known_loss(self.worker));
        }
        state.loss_wakers.push(context.waker().clone());
        Poll::Pending
    }
}
