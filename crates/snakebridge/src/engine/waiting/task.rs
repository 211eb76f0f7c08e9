//! Waiting as a task of tokio: the task itself does the I/O on its lane, with no other task or thread
//! in between.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use snakebridge_pool::WorkerKey;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle, Id};
use tokio::task::coop;

use super::Wait;
use crate::engine::lane::{Lane, LaneError};
use crate::engine::loss::Loss;
use crate::engine::placement::{Grant, Lease, Placement, Want};
use crate::error::{Error, ErrorKind, Result};

/// Waits as a task of the tokio runtime that polls it.
#[derive(Debug)]
pub(crate) struct Task;

/// The end of a lane that replies come from, as a runtime watches it: it stays registered from call to call.
#[derive(Debug)]
pub(crate) struct Watched {
    runtime: Id,
    reply: AsyncFd<Arc<OwnedFd>>,
}

/// Has the current runtime watch an end.
#[allow(
    deprecated,
    reason = "an `OwnedFd` stays open as long as it is shared; and there is no safe other"
)]
fn register(end: &Arc<OwnedFd>, interest: Interest) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    AsyncFd::with_interest(Arc::clone(end), interest)
}

impl Wait for Task {
    // Others want the thread. The reply of a short function is there within that.
    const LOOKS_AT_MOST: Duration = Duration::from_micros(8);

    async fn lease(placement: &Placement, want: &Want<'_>) -> Result<Grant> {
        if Handle::try_current().is_err() {
            return Err(no_runtime());
        }
        match placement.lease_or_queue(want)? {
            Lease::Granted(grant) => Ok(grant),
            Lease::Queued(queued) => match until(want.patience(), queued).await {
                Some(outcome) => outcome,
                None => Err(placement.waited_too_long(want)),
            },
        }
    }

    async fn read(lane: &mut Lane, deadline: Option<Instant>) -> Result<(), LaneError> {
        // Not in the lane meanwhile: a call that is given up takes it out of the runtime.
        let watched = Watched::of(lane)?;
        let read = until(deadline, watched.read(lane)).await;
        lane.watched = Some(watched);
        match read {
            Some(Ok(0)) => Err(LaneError::Lost),
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(LaneError::from(error)),
            None => Err(LaneError::TimeoutAfter),
        }
    }

    async fn room(lane: &mut Lane, deadline: Option<Instant>) -> Result<(), LaneError> {
        // Where one end is for both, it can be registered only once.
        lane.watched = None;
        let request = register(lane.request_end(), Interest::WRITABLE)?;
        match until(deadline, request.writable()).await {
            Some(ready) => {
                ready?.retain_ready();
                Ok(())
            }
            None => Err(LaneError::TimeoutBefore),
        }
    }

    async fn loss_of(
        placement: &Placement,
        worker: WorkerKey,
        limit: Duration,
    ) -> Option<Arc<Loss>> {
        let deadline = Instant::now().checked_add(limit);
        until(deadline, placement.loss_later(worker)).await.flatten()
    }

    async fn turn<T>(
        deadline: Option<Instant>,
        take: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        until(deadline, poll_fn(take)).await
    }

    async fn run<T: Send>(
        deadline: Option<Instant>,
        future: impl Future<Output = T> + Send,
    ) -> io::Result<Option<T>> {
        Ok(until(deadline, future).await)
    }
}

impl Watched {
    /// That of the last call, if it was of the same runtime.
    fn of(lane: &mut Lane) -> Result<Self, LaneError> {
        let runtime = Handle::try_current().map_err(|_| LaneError::NoRuntime)?.id();
        match lane.watched.take() {
            Some(watched) if watched.runtime == runtime => Ok(watched),
            _ => {
                let reply = register(lane.reply_end(), Interest::READABLE)?;
                Ok(Self { runtime, reply })
            }
        }
    }

    /// Reads once, as soon as there is something.
    async fn read(&self, lane: &mut Lane) -> io::Result<usize> {
        let (reply, buffer) = lane.incoming();
        let room = buffer.capacity() - buffer.len();
        loop {
            let mut ready = self.reply.readable().await?;
            let read = ready
                .try_io(|_| Ok(rustix::io::read(reply, rustix::buffer::spare_capacity(buffer))?));
            match read {
                // There was no more than this: the next read has something to wait for.
                Ok(Ok(count)) if 0 < count && count < room => {
                    ready.clear_ready();
                    return Ok(count);
                }
                Ok(read) => return read,
                // There was nothing after all: the runtime goes on watching.
                Err(_) => {}
            }
        }
    }
}

impl From<io::Error> for LaneError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(_) => Self::Lost,
            // What tokio says where its runtime is being shut down.
            None => Self::NoRuntime,
        }
    }
}

/// None if the deadline passes first.
pub(super) async fn until<T>(
    deadline: Option<Instant>,
    future: impl Future<Output = T>,
) -> Option<T> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), future).await.ok(),
        None => Some(future.await),
    }
}

/// An error where blocking would keep a runtime from its other tasks, on one of which the call may
/// have to wait.
pub(super) fn refuse_to_block() -> Result<()> {
    if !is_polled_by_runtime() {
        return Ok(());
    }
    let message = "a blocking call was made on a thread that runs tasks of tokio";
    Err(Error::new(ErrorKind::Misuse, message).with_hint(
        "use `.await` in place of `.wait()`, or make it within `tokio::task::spawn_blocking`",
    ))
}

/// Whether this thread is running a task, or a `block_on`, rather than a function that may block.
///
/// tokio has no word for it. But whatever it polls has a budget, which a function that may block has
/// not, so that the budget of a task comes to an end, and that of a function never. What is taken from
/// it here is given back.
fn is_polled_by_runtime() -> bool {
    // Twice what a budget is today.
    const ENOUGH: usize = 256;
    if Handle::try_current().is_err() {
        return false;
    }
    let mut context = Context::from_waker(Waker::noop());
    let mut taken = Vec::with_capacity(ENOUGH);
    let ends = (0..ENOUGH).any(|_| match coop::poll_proceed(&mut context) {
        Poll::Ready(part) => {
            taken.push(part);
            false
        }
        Poll::Pending => true,
    });
    // Each puts back what was there before it: the first one has to be the last to do so.
    while taken.pop().is_some() {}
    ends
}

pub(crate) fn no_runtime() -> Error {
    Error::new(ErrorKind::Misuse, "a call was awaited outside of a tokio runtime")
        .with_hint("use `.wait()`, or poll the call on a tokio runtime with I/O and time enabled")
}
