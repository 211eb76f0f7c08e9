//! The process that the workers of a pool are forked from, where the pool wants that.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use snakebridge_wire::{Deframer, Frame, Header, Kind, Limits, Tape};

use super::super::output::{Approval, Tail};
use super::super::{WorkerId, platform};
use super::origin::{child_has_ended, pid_of};
use super::outbox::Outbox;
use super::process::{CONTROL_LIMITS, Hello, Refusal, receive};

pub(super) struct ForkServer {
    child: Child,
    control: OwnedFd,
    is_open: bool,
    /// Readable once the process has ended, where the system has such a thing.
    end: Option<OwnedFd>,
    deframer: Deframer,
    outbox: Outbox,
    inbox: VecDeque<Told>,
    /// Wishes for workers, one of which is sent at a time: descriptors on their way count against the
    /// limit of the host.
    wishes: VecDeque<(u64, Vec<OwnedFd>)>,
    is_forking: bool,
    /// The number of the next worker.
    next: u64,
    /// Until when it has to be ready; none once it is.
    deadline: Option<Instant>,
    pub(super) tail: Tail,
    /// Given when it is ready.
    pub(super) approval: Approval,
    /// Which of the candidates it runs on.
    pub(super) candidate: usize,
    /// The worker that it was started for. What it prints is said to come from there.
    pub(super) worker: WorkerId,
}

/// What a fork server says.
pub(super) enum Told {
    Ready(Hello),
    Refused(Refusal),
    /// A worker, by its number: its process, or why there is none.
    Forked(u64, Result<Pid, String>),
    /// How a worker has ended. Nobody else in this program knows.
    Ended(Pid, Option<ExitStatus>),
}

/// How long the end of a worker may take that is being killed.
const REAP_LIMIT: Duration = Duration::from_secs(5);

/// How often its channel is read at once. A socket holds less than that.
const MOST_READS: usize = 256;

impl ForkServer {
    pub(super) fn new(
        child: Child,
        control: OwnedFd,
        candidate: usize,
        worker: WorkerId,
        deadline: Instant,
    ) -> Self {
        Self {
            end: pid_of(&child).and_then(platform::process_end),
            child,
            control,
            is_open: true,
            deframer: Deframer::new(CONTROL_LIMITS),
            outbox: Outbox::default(),
            inbox: VecDeque::new(),
            wishes: VecDeque::new(),
            is_forking: false,
            next: 0,
            deadline: Some(deadline),
            tail: Tail::default(),
            approval: Approval::default(),
            candidate,
            worker,
        }
    }

    /// Asks for a worker that gets these descriptors. What the answer will name it by.
    pub(super) fn fork(&mut self, descriptors: Vec<OwnedFd>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.wishes.push_back((number, descriptors));
        self.flush();
        number
    }

    /// Has a worker taken note of that has ended, or was killed. How it has ended.
    pub(super) fn reap(&mut self, pid: Pid) -> Option<ExitStatus> {
        self.reap_later(pid);
        let deadline = Instant::now() + REAP_LIMIT;
        loop {
            self.outbox.flush(&self.control);
            self.read();
            let is_it = |told: &Told| matches!(told, Told::Ended(ended, _) if *ended == pid);
            if let Some(place) = self.inbox.iter().position(is_it) {
                let Some(Told::Ended(_, status)) = self.inbox.remove(place) else { return None };
                return status;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.is_open || left.is_zero() {
                return None;
            }
            let limit = Timespec::try_from(left).ok();
            // An error is an interruption by a signal.
            let _ = poll(&mut [self.poll_control()], limit.as_ref());
        }
    }

    /// The same for one that nobody waits for.
    pub(super) fn reap_later(&mut self, pid: Pid) {
        // The id of a process is above zero.
        self.outbox.push(numbered(Kind::Reap, pid.as_raw_nonzero().get() as u64), Vec::new());
        self.outbox.flush(&self.control);
    }

    /// It has imported its modules, and forks from now on.
    pub(super) fn begin(&mut self) {
        self.deadline = None;
        self.flush();
    }

    pub(super) fn is_ready(&self) -> bool {
        self.deadline.is_none()
    }

    /// Until when it has to be ready, if it is not yet.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// When it has to be looked at, whatever it says. What has come while a worker was reaped is not
    /// seen by waiting for more.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.inbox.is_empty() { self.deadline } else { Some(Instant::now()) }
    }

    /// Sends what it is time and room for.
    pub(super) fn flush(&mut self) {
        if self.is_ready()
            && !self.is_forking
            && let Some((number, descriptors)) = self.wishes.pop_front()
        {
            self.is_forking = true;
            self.outbox.push(numbered(Kind::Fork, number), descriptors);
        }
        self.outbox.flush(&self.control);
    }

    /// Takes up all that has come.
    pub(super) fn read(&mut self) {
        for _ in 0..MOST_READS {
            let count = receive(&self.control, &mut self.deframer);
            self.is_open &= count.is_some();
            self.take_frames();
            if count.is_none_or(|count| count == 0) {
                return;
            }
        }
    }

    /// The next of what has come.
    pub(super) fn told(&mut self) -> Option<Told> {
        self.inbox.pop_front()
    }

    pub(super) fn has_ended(&self) -> bool {
        !self.is_open || child_has_ended(&self.child)
    }

    /// Kills it with all that the modules have started, and takes its exit status.
    pub(super) fn destroy(&mut self) -> Option<ExitStatus> {
        if let Some(pid) = pid_of(&self.child) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        self.child.wait().ok()
    }

    pub(super) fn poll_control(&self) -> PollFd<'_> {
        let flags =
            if self.outbox.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        PollFd::new(&self.control, flags)
    }

    pub(super) fn end(&self) -> Option<BorrowedFd<'_>> {
        self.end.as_ref().map(|end| end.as_fd())
    }

    fn take_frames(&mut self) {
        loop {
            match self.deframer.frame() {
                Ok(Some(frame)) => {
                    self.is_forking &= frame.header.kind != Kind::Forked;
                    self.inbox.extend(parse(&frame));
                }
                Ok(None) => return,
                // It will be ended for that.
                Err(_) => return self.is_open = false,
            }
            self.deframer.advance();
        }
    }
}

fn numbered(kind: Kind, number: u64) -> Vec<u8> {
    let header = Header { kind, flags: 0, session: 0, len: 8 };
    [&header.to_bytes()[..], &number.to_le_bytes()].concat()
}

/// None for what no fork server says.
fn parse(frame: &Frame<'_>) -> Option<Told> {
    let tape = || Tape::scan(frame.body, Limits::DEFAULT).ok();
    match frame.header.kind {
        Kind::Hello => Hello::parse(frame.body).map(Told::Ready),
        Kind::Refused => {
            let version = String::from_utf8_lossy(frame.body).into_owned();
            Some(Told::Refused(Refusal::TooOld(version)))
        }
        Kind::Unforkable => {
            let (module, reason) = tape()?.decode().ok()?;
            Some(Told::Refused(Refusal::Unforkable(module, reason)))
        }
        Kind::Forked => {
            let (number, pid, reason): (u64, i32, String) = tape()?.decode().ok()?;
            Some(Told::Forked(number, Pid::from_raw(pid).ok_or(reason)))
        }
        Kind::Ended => {
            let (pid, status): (i32, Option<i32>) = tape()?.decode().ok()?;
            Some(Told::Ended(Pid::from_raw(pid)?, status.map(ExitStatus::from_raw)))
        }
        _ => None,
    }
}
