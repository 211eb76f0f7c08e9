//! The host's end of a lane: two pipes or a socket, and the bytes of the reply at hand.
//!
//! The caller writes the request and reads the reply itself. Both ends are non-blocking, so that a
//! call can end at its deadline; how a caller waits for them is said in `waiting`.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;
use snakebridge_pool::{LaneKey, WorkerKey};
use snakebridge_wire::{Deframer, Frame, FrameError, Limits};

use super::memory::Region;
use super::waiting::{Wait, thread};

/// One lane of one worker.
#[derive(Debug)]
pub(crate) struct Lane {
    /// What a runtime of tokio watches of it.
    #[cfg(feature = "tokio")]
    pub(super) watched: Option<super::waiting::task::Watched>,
    /// Its place among the lanes of its worker.
    pub(crate) number: u32,
    request: Arc<OwnedFd>,
    /// The same where it is a socket.
    reply: Arc<OwnedFd>,
    deframer: Deframer,
    /// Arguments in shared memory that the requests have which are open, the innermost last.
    pub(crate) regions: Vec<Region>,
    /// Segments of these that the worker goes on using.
    pub(crate) kept: Vec<u64>,
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
    /// The tokio runtime of the call has ended.
    #[cfg(feature = "tokio")]
    NoRuntime,
    /// The reply is no frame.
    Frame(FrameError),
}

impl Lane {
    /// The only lane of a worker.
    pub(crate) fn over_pipes(request: OwnedFd, reply: OwnedFd) -> Self {
        Self::new(0, Arc::new(request), Arc::new(reply))
    }

    /// One of many lanes of a worker: a socket takes but one descriptor.
    pub(crate) fn over_socket(number: u32, socket: OwnedFd) -> Self {
        let socket = Arc::new(socket);
        Self::new(number, Arc::clone(&socket), socket)
    }

    fn new(number: u32, request: Arc<OwnedFd>, reply: Arc<OwnedFd>) -> Self {
        Self {
            #[cfg(feature = "tokio")]
            watched: None,
            number,
            request,
            reply,
            deframer: Deframer::new(Limits::DEFAULT),
            regions: Vec::new(),
            kept: Vec::new(),
            open: 0,
        }
    }

    pub(crate) fn key_on(&self, worker: WorkerKey) -> LaneKey {
        LaneKey { worker, lane: self.number }
    }

    /// Waits for a whole frame of the worker, where none is at hand.
    pub(crate) async fn read<W: Wait>(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<(), LaneError> {
        while self.deframer.frame().map_err(LaneError::Frame)?.is_none() {
            W::read(self, deadline).await?;
        }
        Ok(())
    }

    /// Takes back the arguments of a request, all after the first so many. Gives those that the worker goes on
    /// using.
    pub(crate) fn settle(&mut self, first: usize) -> Vec<Region> {
        let Self { regions, kept, .. } = self;
        let settled = regions.drain(first.min(regions.len())..);
        let used = settled.filter(|region| kept.contains(&region.id())).collect();
        kept.clear();
        used
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
            match thread::read(self, Some(Instant::now())) {
                Ok(()) => {}
                Err(LaneError::TimeoutAfter) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        self.deframer.frame().map_err(LaneError::Frame)
    }

    /// The end that becomes readable with the reply.
    pub(crate) fn reply_end(&self) -> &Arc<OwnedFd> {
        &self.reply
    }

    /// The end that requests are written to.
    pub(super) fn request_end(&self) -> &Arc<OwnedFd> {
        &self.request
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
    pub(crate) async fn write<W: Wait>(
        &mut self,
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
                Err(Errno::AGAIN) => W::room(self, deadline).await?,
                Err(Errno::INTR) => {}
                Err(_) => return Err(LaneError::Lost),
            }
        }
        Ok(())
    }

    /// The end to read from, and where what it has belongs.
    pub(super) fn incoming(&mut self) -> (&OwnedFd, &mut Vec<u8>) {
        (&self.reply, self.deframer.buffer())
    }
}
