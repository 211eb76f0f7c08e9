//! How a call waits: with its thread, or as a task of tokio.
//!
//! An exchange is written once, as `async` code over [`Wait`]. With [`Thread`] each step blocks within
//! the system call that it makes, so the whole is ready when it is polled for the first time.

#[cfg(feature = "tokio")]
pub(crate) mod task;
pub(crate) mod thread;
#[cfg(feature = "tokio")]
mod threads_runtime;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use snakebridge_pool::WorkerKey;

use super::lane::{Lane, LaneError};
use super::loss::Loss;
use super::placement::{Grant, Placement, Want};
use crate::error::Result;
#[cfg(feature = "tokio")]
pub(crate) use threads_runtime::block_on;

/// The things for which a call waits.
pub(crate) trait Wait {
    /// How long it may look for a reply before it sleeps.
    const LOOKS_AT_MOST: Duration;

    /// A lane.
    async fn lease(placement: &Placement, want: &Want<'_>) -> Result<Grant>;

    /// Something to read from the worker, which is then read.
    async fn read(lane: &mut Lane, deadline: Option<Instant>) -> Result<(), LaneError>;

    /// Room in the pipe to the worker.
    async fn room(lane: &mut Lane, deadline: Option<Instant>) -> Result<(), LaneError>;

    /// What the supervisor finds out about the end of a worker.
    async fn loss_of(
        placement: &Placement,
        worker: WorkerKey,
        limit: Duration,
    ) -> Option<Arc<Loss>>;

    /// The lane of the call around this one. None if the deadline passes first, and where it is not there and
    /// only this thread could give it back.
    async fn turn<T>(
        deadline: Option<Instant>,
        take: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T>;

    /// A future of the program. None if the deadline passes first.
    #[cfg(feature = "tokio")]
    async fn run<T: Send>(
        deadline: Option<Instant>,
        future: impl Future<Output = T> + Send,
    ) -> std::io::Result<Option<T>>;
}

/// Waits with the thread that makes the call.
#[derive(Debug)]
pub(crate) struct Thread;

/// Runs what waits with its thread.
#[inline]
#[expect(clippy::panic, reason = "only a mistake in this crate can get there")]
pub(crate) fn now<T>(exchange: impl Future<Output = T>) -> T {
    match pin!(exchange).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("a blocking call has given way"),
    }
}
