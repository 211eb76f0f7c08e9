//! Waiting with the thread that makes the call.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use snakebridge_pool::WorkerKey;

use super::{Thread, Wait};
use crate::engine::lane::{Lane, LaneError};
use crate::engine::loss::Loss;
use crate::engine::placement::{Grant, Placement, Want};
use crate::error::Result;

impl Wait for Thread {
    const LOOKS_AT_MOST: Duration = Duration::MAX;

    async fn lease(placement: &Placement, want: &Want<'_>) -> Result<Grant> {
        #[cfg(feature = "tokio")]
        super::task::refuse_to_block()?;
        placement.lease(want)
    }

    async fn read(lane: &mut Lane, deadline: Option<Instant>) -> Result<(), LaneError> {
        read(lane, deadline)
    }

    async fn room(lane: &mut Lane, deadline: Option<Instant>) -> Result<(), LaneError> {
        match wait_for(lane.request_end(), PollFlags::OUT, deadline)? {
            true => Ok(()),
            false => Err(LaneError::TimeoutBefore),
        }
    }

    async fn loss_of(
        placement: &Placement,
        worker: WorkerKey,
        limit: Duration,
    ) -> Option<Arc<Loss>> {
        placement.loss_of(worker, limit)
    }

    async fn turn<T>(
        _: Option<Instant>,
        mut take: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        match take(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(taken) => Some(taken),
            Poll::Pending => None,
        }
    }

    #[cfg(feature = "tokio")]
    async fn run<T: Send>(
        deadline: Option<Instant>,
        future: impl Future<Output = T> + Send,
    ) -> std::io::Result<Option<T>> {
        super::block_on(deadline, future)
    }
}

/// Reads once, as soon as there is something.
pub(crate) fn read(lane: &mut Lane, deadline: Option<Instant>) -> Result<(), LaneError> {
    if !wait_for(lane.reply_end(), PollFlags::IN, deadline)? {
        return Err(LaneError::TimeoutAfter);
    }
    let (reply, buffer) = lane.incoming();
    match rustix::io::read(reply, rustix::buffer::spare_capacity(buffer)) {
        Ok(0) => Err(LaneError::Lost),
        Ok(_) | Err(Errno::INTR | Errno::AGAIN) => Ok(()),
        Err(_) => Err(LaneError::Lost),
    }
}

/// Waits until there is something to read, or the deadline has passed. False if the other end of
/// `cancelled` was closed first.
pub(crate) fn wait_unless(lane: &mut Lane, cancelled: &OwnedFd, deadline: Option<Instant>) -> bool {
    if lane.listen() {
        return true;
    }
    let mut ends = [lane.reply_end(), cancelled].map(|end| PollFd::new(end, PollFlags::IN));
    loop {
        match poll(&mut ends, left(deadline).as_ref()) {
            Ok(_) => return ends[1].revents().is_empty(),
            Err(Errno::INTR) => {}
            // Reading will tell.
            Err(_) => return true,
        }
    }
}

/// Waits until an end is ready. False if the deadline passes first.
fn wait_for(end: &OwnedFd, flags: PollFlags, deadline: Option<Instant>) -> Result<bool, LaneError> {
    loop {
        match poll(&mut [PollFd::new(end, flags)], left(deadline).as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(_) => return Err(LaneError::Lost),
        }
    }
}

fn left(deadline: Option<Instant>) -> Option<Timespec> {
    let left = deadline?.saturating_duration_since(Instant::now());
    // Longer than any program runs, and within what the kernel takes.
    Some(Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX / 4, tv_nsec: 0 }))
}
