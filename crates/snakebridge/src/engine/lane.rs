//! The host's end of a lane: two pipes, and the bytes of the reply at hand.
//!
//! The caller's own thread writes the request and reads the reply. Both ends are non-blocking and
//! are waited for with `poll`, so that a call can end at its deadline.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use snakebridge_wire::{Deframer, Frame, FrameError, Limits};

/// One lane of one worker.
#[derive(Debug)]
pub(crate) struct Lane {
    request: OwnedFd,
    reply: OwnedFd,
    deframer: Deframer,
    /// How many replies the worker owes. More than one where calls are made inside of callbacks.
    pub(crate) open: i32,
}

/// Why an exchange did not end with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaneError {
    /// The deadline passed while the request was being written: the worker has not begun.
    TimeoutBefore,
    /// The deadline passed while the reply was awaited.
    TimeoutAfter,
    /// The worker closed its end.
    Lost,
    /// The reply is no frame.
    Frame(FrameError),
}

impl Lane {
    pub(crate) fn new(request: OwnedFd, reply: OwnedFd) -> Self {
        Self { request, reply, deframer: Deframer::new(Limits::DEFAULT), open: 0 }
    }

    /// Waits for a whole frame of the worker, where none is at hand.
    pub(crate) fn read(&mut self, deadline: Option<Instant>) -> Result<(), LaneError> {
        while self.deframer.frame().map_err(LaneError::Frame)?.is_none() {
            self.read_some(deadline)?;
        }
        Ok(())
    }

    /// The reply at hand.
    pub(crate) fn reply(&self) -> Option<Frame<'_>> {
        self.deframer.frame().ok().flatten()
    }

    /// Drops the frame at hand.
    pub(crate) fn advance(&mut self) {
        self.deframer.advance();
    }

    /// Drops the reply at hand. Whether the lane can be used again: nothing may follow a reply.
    pub(crate) fn finish(&mut self) -> bool {
        self.deframer.advance();
        self.deframer.is_empty()
    }

    /// The next frame, where it has come meanwhile. Does not wait.
    pub(crate) fn drain(&mut self) -> Result<Option<Frame<'_>>, LaneError> {
        if self.deframer.frame().map_err(LaneError::Frame)?.is_none() {
            match self.read_some(Some(Instant::now())) {
                Ok(()) => {}
                Err(LaneError::TimeoutAfter) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        self.deframer.frame().map_err(LaneError::Frame)
    }

    /// The end that becomes readable with the reply.
    pub(crate) fn reply_end(&self) -> &OwnedFd {
        &self.reply
    }

    /// Writes a short frame that has no reply. False if there is no room for it at the moment.
    pub(crate) fn write_at_once(&self, frame: &[u8]) -> Result<bool, LaneError> {
        match rustix::io::write(&self.request, frame) {
            Ok(count) if count == frame.len() => Ok(true),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Ok(_) | Err(_) => Err(LaneError::Lost),
        }
    }

    /// Writes a frame, after what is to be released before it.
    pub(crate) fn write(
        &self,
        releases: &[u8],
        request: &[u8],
        deadline: Option<Instant>,
    ) -> Result<(), LaneError> {
        let (mut releases, mut request) = (releases, request);
        while releases.len() + request.len() > 0 {
            let written = match releases {
                [] => rustix::io::write(&self.request, request),
                _ => rustix::io::writev(
                    &self.request,
                    &[IoSlice::new(releases), IoSlice::new(request)],
                ),
            };
            match written {
                Ok(count) => {
                    let first = count.min(releases.len());
                    releases = &releases[first..];
                    request = &request[count - first..];
                }
                Err(Errno::AGAIN) => {
                    if !wait_for(&self.request, PollFlags::OUT, deadline)? {
                        return Err(LaneError::TimeoutBefore);
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return Err(LaneError::Lost),
            }
        }
        Ok(())
    }

    /// Reads once, as soon as there is something.
    fn read_some(&mut self, deadline: Option<Instant>) -> Result<(), LaneError> {
        if !wait_for(&self.reply, PollFlags::IN, deadline)? {
            return Err(LaneError::TimeoutAfter);
        }
        let buffer = self.deframer.buffer();
        match rustix::io::read(&self.reply, rustix::buffer::spare_capacity(buffer)) {
            Ok(0) => Err(LaneError::Lost),
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => Ok(()),
            Err(_) => Err(LaneError::Lost),
        }
    }
}

/// Waits until an end is ready. False if the deadline passes first.
fn wait_for(end: &OwnedFd, flags: PollFlags, deadline: Option<Instant>) -> Result<bool, LaneError> {
    loop {
        let left = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            // Longer than any program runs, and within what the kernel takes.
            Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX / 4, tv_nsec: 0 })
        });
        match poll(&mut [PollFd::new(end, flags)], left.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(_) => return Err(LaneError::Lost),
        }
    }
}
