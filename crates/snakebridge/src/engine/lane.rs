//! The host's end of a lane: two pipes or a socket, and the bytes of the reply at hand.
//!
//! The caller writes the request and reads the reply itself. Both ends are non-blocking, so that a
//! call can end at its deadline; how a caller waits for them is said in `waiting`.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use snakebridge_pool::{LaneKey, WorkerKey};
use snakebridge_shm::mailbox::Posted;
use snakebridge_wire::frame::HEADER_LEN;
use snakebridge_wire::{Deframer, Frame, FrameError, Header, Kind, Limits};

use super::gear::Gear;
use super::memory::Region;
use super::unsent::Unsent;
use super::waiting::{Wait, thread};

/// Says through the pipe that there is something in the box.
const RING: [u8; HEADER_LEN] = Header { kind: Kind::Ring, flags: 0, session: 0, len: 0 }.to_bytes();

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
    /// The second gear, where it can have one.
    pub(crate) gear: Option<Box<Gear>>,
    /// Arguments in shared memory that the requests have which are open, the innermost last.
    pub(crate) regions: Vec<Region>,
    /// Segments of these that the worker goes on using, with the numbers under which it has said so.
    pub(crate) kept: Vec<(u64, u64)>,
    /// How many replies the worker owes. More than one where calls are made inside of callbacks.
    pub(crate) open: i32,
    /// What the worker still has to get of a frame that was given up while it was written.
    unsent: Unsent,
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
    pub(crate) fn over_pipes(request: OwnedFd, reply: OwnedFd, gear: Option<Box<Gear>>) -> Self {
        Self { gear, ..Self::new(0, Arc::new(request), Arc::new(reply)) }
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
            gear: None,
            regions: Vec::new(),
            kept: Vec::new(),
            open: 0,
            unsent: Unsent::default(),
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
        if self.has_frame()? {
            return Ok(());
        }
        if !self.look(W::LOOKS_AT_MOST, deadline) {
            W::read(self, deadline).await?;
            while !self.has_frame_of_pipe()? {
                W::read(self, deadline).await?;
            }
        }
        if let Some(gear) = &mut self.gear {
            gear.answered();
        }
        Ok(())
    }

    fn has_frame(&self) -> Result<bool, LaneError> {
        Ok(self.deframer.frame().map_err(LaneError::Frame)?.is_some())
    }

    /// Whether there is a whole frame in what has come through the pipe, or in the box for which the worker has
    /// rung. It may have rung for earlier ones as well, which were found without that.
    fn has_frame_of_pipe(&mut self) -> Result<bool, LaneError> {
        let mut has_rung = false;
        while let Some(frame) = self.deframer.frame().map_err(LaneError::Frame)? {
            if frame.header.kind != Kind::Ring {
                self.gear.iter_mut().for_each(|gear| gear.came_by_pipe());
                return Ok(true);
            }
            self.deframer.advance();
            has_rung = true;
        }
        Ok(has_rung && self.listen())
    }

    /// Looks for a frame in the box for a while, before this thread or task sleeps. Whether there is one.
    fn look(&mut self, most: Duration, deadline: Option<Instant>) -> bool {
        let Some(gear) = &mut self.gear else { return false };
        gear.look(most, deadline, self.deframer.buffer())
    }

    /// Has the worker ring the pipe with what it sends from now on. Whether something was sent before that and
    /// is now at hand.
    pub(crate) fn listen(&mut self) -> bool {
        let Some(gear) = &mut self.gear else { return false };
        gear.listen(self.deframer.buffer())
    }

    /// Takes back the arguments of a request, all after the first so many. Gives those that the worker goes on
    /// using.
    pub(crate) fn settle(&mut self, first: usize) -> Vec<(u64, Region)> {
        let Self { regions, kept, .. } = self;
        let settled = regions.drain(first.min(regions.len())..);
        let number =
            |id| kept.iter().rev().find(|(kept, _)| *kept == id).map(|(_, number)| *number);
        let used = settled.filter_map(|region| Some((number(region.id())?, region))).collect();
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
        if !self.has_frame()? && !self.listen() {
            match thread::read(self, Some(Instant::now())) {
                Ok(()) => {}
                Err(LaneError::TimeoutAfter) => return Ok(None),
                Err(error) => return Err(error),
            }
            if !self.has_frame_of_pipe()? {
                return Ok(None);
            }
        }
        if let Some(gear) = &mut self.gear {
            gear.answered();
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
    pub(crate) fn write_at_once(&mut self, frame: &[u8]) -> Result<bool, LaneError> {
        if !self.flush()? {
            return Ok(false);
        }
        self.gear.iter_mut().for_each(|gear| gear.passed_by());
        match rustix::io::write(&self.request, frame) {
            Ok(count) if count == frame.len() => Ok(true),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Ok(_) | Err(_) => Err(LaneError::Lost),
        }
    }

    /// Whether a frame was given up while it was written, and `flush` has to send the rest.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// What to wait for to send the rest of such a frame.
    pub(crate) fn poll_unsent(&self) -> Option<PollFd<'_>> {
        self.has_unsent().then(|| PollFd::new(&self.request, PollFlags::OUT))
    }

    /// Sends what there is room for of a frame that was given up. Whether that was the rest of it.
    pub(crate) fn flush(&mut self) -> Result<bool, LaneError> {
        while self.has_unsent() {
            match rustix::io::write(&self.request, self.unsent.next()) {
                Ok(count) => self.unsent.advance(count),
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(_) => return Err(LaneError::Lost),
            }
        }
        Ok(true)
    }

    /// Writes a frame, after what is to be released before it. Where this is given up, or does not end in time, the
    /// lane keeps what it takes to end the frame.
    pub(crate) async fn write<W: Wait>(
        &mut self,
        releases: &[u8],
        request: &[u8],
        deadline: Option<Instant>,
    ) -> Result<(), LaneError> {
        let posted = self.gear.as_mut().map(|gear| gear.post([releases, request]));
        let (releases, request) = match posted {
            None | Some(Posted::NotAtAll) => (releases, request),
            Some(Posted::InBox) => return Ok(()),
            Some(Posted::Ring) => (&[][..], &RING[..]),
        };
        let mut writing = Writing { lane: self, releases, request, len: request.len() };
        while !writing.is_done() {
            match writing.write() {
                Ok(count) => writing.advance(count),
                Err(Errno::AGAIN) => W::room(writing.lane, deadline).await?,
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

/// A frame that is being written.
struct Writing<'a> {
    lane: &'a mut Lane,
    /// What is left of it.
    releases: &'a [u8],
    request: &'a [u8],
    /// Bytes of the whole request.
    len: usize,
}

impl Writing<'_> {
    fn is_done(&self) -> bool {
        self.releases.is_empty() && self.request.is_empty()
    }

    fn write(&self) -> rustix::io::Result<usize> {
        match self.releases {
            [] => rustix::io::write(&self.lane.request, self.request),
            _ => rustix::io::writev(
                &self.lane.request,
                &[IoSlice::new(self.releases), IoSlice::new(self.request)],
            ),
        }
    }

    fn advance(&mut self, count: usize) {
        let first = count.min(self.releases.len());
        self.releases = &self.releases[first..];
        self.request = &self.request[count - first..];
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.is_done() {
            self.lane.unsent = Unsent::after(self.releases, self.request, self.len);
        }
    }
}
