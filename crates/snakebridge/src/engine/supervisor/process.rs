//! One process that is a worker, or is on its way to become one.

use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus};
use std::time::Instant;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use snakebridge_pool::{PoolId, WorkerKey};
use snakebridge_wire::{Deframer, Kind, Limits, Tape};

use super::super::lane::Lane;
use super::super::output::Tail;

pub(super) struct Process {
    pub(super) key: WorkerKey,
    pub(super) pool: PoolId,
    pub(super) child: Child,
    pub(super) control: OwnedFd,
    /// Readable once the process has ended, where the system has such a thing.
    pub(super) end: Option<OwnedFd>,
    pub(super) deframer: Deframer,
    pub(super) tail: Tail,
    pub(super) stage: Stage,
}

pub(super) enum Stage {
    Starting(Box<Start>),
    Running,
}

/// What is known of a start until it has worked.
pub(super) struct Start {
    pub(super) lane: Box<Lane>,
    pub(super) deadline: Instant,
    /// Which of the candidates it runs on.
    pub(super) candidate: usize,
    /// The version of a Python that is too old.
    pub(super) refused: Option<String>,
    /// Why those before it did not do.
    pub(super) failures: Vec<super::starts::Failure>,
}

/// What a worker says of itself when it is ready.
pub(super) struct Hello {
    pub(super) version: String,
    pub(super) implementation: String,
    pub(super) executable: String,
}

impl Process {
    /// Until when the process has to be ready, if it is not yet.
    pub(super) fn start_deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Starting(start) => Some(start.deadline),
            Stage::Running => None,
        }
    }

    /// Reads what has come. False if the worker closed its end.
    pub(super) fn read_control(&mut self) -> bool {
        loop {
            let buffer = self.deframer.buffer();
            let flags = rustix::net::RecvFlags::DONTWAIT;
            let room = rustix::buffer::spare_capacity(buffer);
            match rustix::net::recv(&self.control, room, flags) {
                Ok((_, 0)) => return false,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
    }

    pub(super) fn take_hello(&mut self) -> Option<Hello> {
        let frame = self.deframer.frame().ok().flatten()?;
        let hello = match frame.header.kind {
            Kind::Hello => Hello::parse(frame.body),
            Kind::Refused => {
                let version = String::from_utf8_lossy(frame.body).into_owned();
                if let Stage::Starting(start) = &mut self.stage {
                    start.refused = Some(version);
                }
                None
            }
            _ => None,
        };
        self.deframer.advance();
        hello
    }

    pub(super) fn has_ended(&mut self) -> bool {
        // An error means that someone else in this program has waited for the process.
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Has the main thread's code stop.
    pub(super) fn interrupt(&self) {
        if let Some(pid) = self.pid() {
            // It may have ended in this moment, which is noticed elsewhere.
            let _ = kill_process(pid, Signal::INT);
        }
    }

    /// Kills the process and all that it has started, and takes its exit status.
    pub(super) fn destroy(mut self) -> Option<ExitStatus> {
        // One that has ended by itself keeps its own exit status.
        let ended = self.child.try_wait().ok().flatten();
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        ended.or_else(|| self.child.wait().ok())
    }

    pub(super) fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Hello {
    fn parse(body: &[u8]) -> Option<Self> {
        let tape = Tape::scan(body, Limits::DEFAULT).ok()?;
        let (version, implementation, executable, _pid, _prefix): (_, _, _, u32, String) =
            tape.decode().ok()?;
        Some(Self { version, implementation, executable })
    }
}
