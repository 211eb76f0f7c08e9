//! The second gear of a lane: a mailbox in shared memory, at which both sides look for a while before they
//! sleep on the pipes. See `snakebridge_shm::mailbox` for what travels through it, and `policy` for when.

mod losses;
mod policy;

use std::hint::spin_loop;
use std::io;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use snakebridge_shm::mailbox::{Found, Mailbox, Posted, SIZE};
use snakebridge_wire::{Header, Kind};

use super::memory::{Introduction, Purpose};
use super::platform;
use crate::options::Spin;
use policy::{Policy, Situation};

/// What a lane needs to have a second gear.
#[derive(Debug)]
pub(crate) struct Gear {
    policy: Policy,
    mailbox: Option<Mailbox>,
    /// The worker has been told to use it.
    is_second: bool,
    /// The worker has answered all that was sent, so that its box is free.
    is_answered: bool,
    /// How long to look for the answer to the last message.
    looks_for: Option<Duration>,
}

/// What is to be told ahead of a request.
#[derive(Debug)]
pub(crate) struct Shift {
    /// For the lane.
    pub(crate) frame: Vec<u8>,
    /// For the control channel: a mailbox that is new.
    pub(crate) introduction: Option<Introduction>,
}

/// Between two looks at the clock.
const LOOKS_AT_ONCE: u32 = 16;

impl Gear {
    /// None where there is no use for one.
    pub(crate) fn new(spin: Spin) -> Option<Box<Self>> {
        let is_possible = match spin {
            Spin::Off => false,
            // With one core, who looks keeps the other side from running.
            Spin::Auto => available_parallelism().is_ok_and(|cores| cores.get() > 1),
            Spin::For(_) | Spin::Random(_) => true,
        };
        is_possible.then(|| {
            Box::new(Self {
                policy: Policy::new(spin, Instant::now()),
                mailbox: None,
                is_second: false,
                is_answered: true,
                looks_for: None,
            })
        })
    }

    /// A request is about to be sent, or the answer to a callback. What the worker has to be told ahead of it, if
    /// it can be: inside of a callback the worker serves the lane within what it serves it for.
    pub(crate) fn before(&mut self, can_shift: bool) -> Option<Shift> {
        let sleeps = self.mailbox.as_ref().is_none_or(|mailbox| mailbox.is_worker_asleep());
        let is_second = self.is_second;
        let lane = Situation { worker_sleeps: sleeps || !is_second, can_shift, is_second };
        let looks = self.policy.sends(Instant::now(), lane);
        self.looks_for = looks.host;
        match looks.worker {
            0 if self.is_second && can_shift => {
                self.is_second = false;
                Some(Shift { frame: shift_frame(0, 0, 0), introduction: None })
            }
            0 => None,
            exponent if (!self.is_second || looks.apart) && can_shift => {
                self.shift_up(exponent, looks.apart)
            }
            _ => None,
        }
    }

    fn shift_up(&mut self, exponent: u8, apart: bool) -> Option<Shift> {
        let mut introduction = None;
        if self.mailbox.is_none() {
            match make() {
                Ok((mailbox, new)) => {
                    self.mailbox = Some(mailbox);
                    introduction = Some(new);
                }
                // There is no memory for it; it is not tried again.
                Err(_) => self.policy = Policy::new(Spin::Off, Instant::now()),
            }
        }
        let id = self.mailbox.as_ref()?.id();
        self.is_second = true;
        let leave = if apart { platform::current_core().map_or(0, |core| core + 1) } else { 0 };
        Some(Shift { frame: shift_frame(id, exponent, leave), introduction })
    }

    /// Sends a message in two parts, if it can go through the box.
    pub(crate) fn post(&mut self, parts: [&[u8]; 2]) -> Posted {
        let is_answered = std::mem::replace(&mut self.is_answered, false);
        let Some(mailbox) = &mut self.mailbox else { return Posted::NotAtAll };
        match self.looks_for {
            Some(_) => mailbox.wake(),
            None => mailbox.sleep(),
        }
        match is_answered && self.is_second {
            true => mailbox.post(parts),
            false => Posted::NotAtAll,
        }
    }

    /// A message goes through the pipe, without any of this.
    pub(crate) fn passed_by(&mut self) {
        self.is_answered = false;
    }

    /// A frame has come, through the pipe or not.
    pub(crate) fn answered(&mut self) {
        self.is_answered = true;
        self.policy.answered(Instant::now());
    }

    /// A frame has come through the pipe.
    pub(crate) fn came_by_pipe(&mut self) {
        if let Some(mailbox) = &mut self.mailbox {
            mailbox.came_by_pipe();
        }
    }

    /// Looks for a message for a while, at most so long and until the deadline, and says to the worker that this side
    /// sleeps if there was none. Whether there was one, which was appended.
    pub(crate) fn look(
        &mut self,
        most: Duration,
        deadline: Option<Instant>,
        into: &mut Vec<u8>,
    ) -> bool {
        let Some(mailbox) = &mut self.mailbox else { return false };
        if let Some(time) = self.looks_for.take() {
            let begin = Instant::now();
            let until = begin.checked_add(time.min(most)).unwrap_or(begin);
            let until = deadline.map_or(until, |deadline| deadline.min(until));
            loop {
                for _ in 0..LOOKS_AT_ONCE {
                    match mailbox.look(into) {
                        Found::Message => return true,
                        // What there is no room for comes through the pipe.
                        Found::Announcement => return false,
                        Found::Nothing => spin_loop(),
                    }
                }
                if Instant::now() >= until {
                    break;
                }
            }
        }
        self.listen(into)
    }

    /// Says to the worker that this side sleeps on the pipe. Whether a message had come before that, which
    /// was appended.
    pub(crate) fn listen(&mut self, into: &mut Vec<u8>) -> bool {
        let Some(mailbox) = &mut self.mailbox else { return false };
        mailbox.sleep();
        mailbox.look(into) == Found::Message
    }
}

/// A new mailbox, and what a worker has to be told of it.
fn make() -> io::Result<(Mailbox, Introduction)> {
    let (mailbox, descriptor) = Mailbox::create()?;
    let id = mailbox.id();
    Ok((mailbox, Introduction { id, size: SIZE, descriptor, purpose: Purpose::Mailbox }))
}

/// What has a worker shift. It goes to another core if it is on the one before `leave`; 0 is none.
fn shift_frame(mailbox: u64, exponent: u8, leave: u32) -> Vec<u8> {
    let header = Header { kind: Kind::Mailbox, flags: 0, session: 0, len: 13 };
    let parts = [&header.to_bytes()[..], &mailbox.to_le_bytes(), &[exponent], &leave.to_le_bytes()];
    parts.concat()
}
