//! One process that is a worker, or is on its way to become one.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use snakebridge_pool::{PoolId, WorkerKey};
use snakebridge_wire::{Deframer, Frame, FrameError, Kind, Limits, Tape};

use super::super::lane::Lane;
use super::super::output::{
    Approval, Event, LogRecord, OutputEvent, Tail, WarningRecord, parse_dropped,
};
use super::super::{WorkerId, platform};
use super::fork_server::ForkServer;
use super::origin::{Origin, child_has_ended};
use super::outbox::Outbox;
use crate::exchange::Asked;
use crate::refs::Ref;

pub(super) struct Process {
    pub(super) key: WorkerKey,
    pub(super) pool: PoolId,
    pub(super) origin: Origin,
    pub(super) control: OwnedFd,
    /// Whether it works: the worker has not closed its end of it.
    pub(super) is_open: bool,
    /// Readable once the process has ended, where the system has such a thing.
    pub(super) end: Option<OwnedFd>,
    pub(super) deframer: Deframer,
    pub(super) outbox: Outbox,
    /// Callbacks without an answer, and answers whose refs the worker has not taken yet.
    pub(super) background: HashMap<u64, Vec<Ref>>,
    pub(super) tail: Tail,
    pub(super) stage: Stage,
}

pub(super) enum Stage {
    Starting(Box<Start>),
    Running,
}

/// What is known of a start until it has worked.
pub(super) struct Start {
    pub(super) lanes: Vec<Lane>,
    /// Given when the process has become a worker.
    pub(super) approval: Approval,
    pub(super) deadline: Instant,
    /// Which of the candidates it runs on.
    pub(super) candidate: usize,
    pub(super) refused: Option<Refusal>,
    /// Why those before it did not do.
    pub(super) failures: Vec<super::starts::Failure>,
}

/// Why a process will be no worker, in its own words.
#[derive(Clone)]
pub(super) enum Refusal {
    /// Its Python is of this version.
    TooOld(String),
    /// Workers cannot be forked with this module, for this reason.
    Unforkable(String, String),
}

/// What a worker says on the control channel.
pub(super) enum Message {
    Hello(Hello),
    Event(Event),
    Callback(Asked),
    /// The worker has taken the refs in the answer to this callback.
    Taken(u64),
    /// The worker wants a segment of this size for results.
    WantSegment(u64),
    /// The worker does not use this segment any more, which was wanted back.
    SegmentReturned(u64),
}

/// What a worker says of itself when it is ready.
pub(super) struct Hello {
    pub(super) version: String,
    pub(super) implementation: String,
    pub(super) executable: String,
}

/// What comes over the control channel is small, so that a damaged header is noticed.
pub(super) const CONTROL_LIMITS: Limits = Limits::DEFAULT.with_frame_bytes(16 << 20);

impl Process {
    /// Until when the process has to be ready, if it is not yet.
    pub(super) fn start_deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Starting(start) => Some(start.deadline),
            Stage::Running => None,
        }
    }

    /// What to wait for on the control channel.
    pub(super) fn poll_control(&self) -> PollFd<'_> {
        let flags =
            if self.outbox.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        PollFd::new(&self.control, flags)
    }

    /// Sends a frame as soon as there is room for it.
    pub(super) fn send(&mut self, frame: Vec<u8>, descriptor: Option<OwnedFd>) {
        self.outbox.push(frame, descriptor.into_iter().collect());
        self.flush();
    }

    /// Sends what there is room for.
    pub(super) fn flush(&mut self) {
        self.is_open &= self.outbox.flush(&self.control);
    }

    /// Reads what has come, once: a worker that goes on sending must not keep the supervisor from
    /// the others. Whether there was anything.
    pub(super) fn read_control(&mut self) -> bool {
        let received = receive(&self.control, &mut self.deframer);
        self.is_open &= received.is_some();
        received.is_some_and(|count| count > 0)
    }

    /// The next message of those that have come as a whole.
    ///
    /// # Errors
    /// What has come is no frame of this protocol.
    pub(super) fn take_message(&mut self) -> Result<Option<Message>, FrameError> {
        while let Some(frame) = self.deframer.frame()? {
            let message = match frame.header.kind {
                Kind::Hello => Hello::parse(frame.body).map(Message::Hello),
                Kind::Log | Kind::Warning | Kind::EventsDropped => {
                    event(WorkerId(self.key.slot), &frame).map(Message::Event)
                }
                Kind::BackgroundCallback => {
                    Asked::parse(self.key, frame.header.session, frame.body).map(Message::Callback)
                }
                Kind::BackgroundTaken => {
                    let number = frame.body.first_chunk();
                    number.map(|number| Message::Taken(u64::from_le_bytes(*number)))
                }
                Kind::WantSegment => {
                    let size = frame.body.first_chunk();
                    size.map(|size| Message::WantSegment(u64::from_le_bytes(*size)))
                }
                Kind::SegmentReturned => {
                    let id = frame.body.first_chunk();
                    id.map(|id| Message::SegmentReturned(u64::from_le_bytes(*id)))
                }
                Kind::Refused => {
                    let version = String::from_utf8_lossy(frame.body).into_owned();
                    if let Stage::Starting(start) = &mut self.stage {
                        start.refused = Some(Refusal::TooOld(version));
                    }
                    None
                }
                _ => None,
            };
            self.deframer.advance();
            if message.is_some() {
                return Ok(message);
            }
        }
        Ok(None)
    }

    /// Whether it is still to be forked.
    pub(super) fn awaits_fork(&self) -> bool {
        self.pid().is_none()
    }

    pub(super) fn has_ended(&self) -> bool {
        match (&self.origin, &self.end) {
            (Origin::Child(child), _) => child_has_ended(child),
            (Origin::Forked { .. }, Some(end)) => platform::is_readable(end),
            // The system tells only of its channel.
            (Origin::Forked { .. }, None) => !self.is_open,
        }
    }

    /// Has the main thread's code stop.
    pub(super) fn interrupt(&self) {
        if let Some(pid) = self.pid() {
            // It may have ended in this moment, which is noticed elsewhere.
            let _ = kill_process(pid, Signal::INT);
        }
    }

    /// Kills the process and all that it has started, and takes its exit status. That of a forked one
    /// is known to the fork server of its pool.
    pub(super) fn destroy(&mut self, server: Option<&mut ForkServer>) -> Option<ExitStatus> {
        // One that has ended by itself keeps its own exit status.
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        self.take_status(server)
    }

    /// The exit status of a process that has ended. Its id may be another's from now on.
    pub(super) fn take_status(&mut self, server: Option<&mut ForkServer>) -> Option<ExitStatus> {
        match &mut self.origin {
            Origin::Child(child) => child.wait().ok(),
            Origin::Forked { pid, .. } => server?.reap((*pid)?),
        }
    }

    pub(super) fn pid(&self) -> Option<Pid> {
        self.origin.pid()
    }
}

fn event(worker: WorkerId, frame: &Frame<'_>) -> Option<Event> {
    let event = match frame.header.kind {
        Kind::Log => OutputEvent::Log(LogRecord::parse(worker, frame.body)?),
        Kind::Warning => OutputEvent::Warning(WarningRecord::parse(worker, frame.body)?),
        _ => OutputEvent::Dropped { worker, count: parse_dropped(frame.body)? },
    };
    Some(Event { session: frame.header.session, event })
}

/// Reads once, what is there. None if the other end was closed.
pub(super) fn receive(control: &OwnedFd, deframer: &mut Deframer) -> Option<usize> {
    let room = rustix::buffer::spare_capacity(deframer.buffer());
    match rustix::net::recv(control, room, rustix::net::RecvFlags::DONTWAIT) {
        Ok((_, 0)) => None,
        Ok((_, count)) => Some(count),
        Err(Errno::INTR | Errno::AGAIN) => Some(0),
        Err(_) => None,
    }
}

impl Hello {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let tape = Tape::scan(body, Limits::DEFAULT).ok()?;
        let (version, implementation, executable, _pid, _prefix): (_, _, _, u32, String) =
            tape.decode().ok()?;
        Some(Self { version, implementation, executable })
    }
}

#[cfg(test)]
mod tests {
    use snakebridge_wire::Header;

    use super::*;

    #[test]
    fn a_flood_is_read_in_pieces() {
        let (ours, theirs) = platform::socket_pair().unwrap();
        let frame = Header { kind: Kind::Value, flags: 0, session: 0, len: 0 }.to_bytes();
        let flood = frame.repeat(4000);
        let sent = rustix::io::write(&theirs, &flood).unwrap();
        assert_eq!(sent, flood.len());
        let mut deframer = Deframer::new(Limits::DEFAULT);
        let mut turns = Vec::new();
        while turns.iter().sum::<usize>() < 4000 {
            assert!(receive(&ours, &mut deframer).is_some());
            let mut count = 0;
            while deframer.frame().unwrap().is_some() {
                deframer.advance();
                count += 1;
            }
            turns.push(count);
        }
        assert!(turns.len() > 2, "{turns:?}");
        assert_eq!(receive(&ours, &mut deframer), Some(0), "nothing more is no end");
        drop(theirs);
        assert_eq!(receive(&ours, &mut deframer), None);
    }
}
