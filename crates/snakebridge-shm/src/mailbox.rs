//! The memory of a lane's second gear: two boxes, one for each direction, at which both sides look for a while
//! before they sleep on their pipes.
//!
//! ```text
//!  offset      written by
//!       0  u8  host      how many messages were put into the box of the worker, modulo 256
//!       4  u32 host      bytes of the last one; 0 says that it comes through the pipe
//!      64  u8  worker    how many messages were put into the box of the host
//!      68  u32 worker    bytes of the last one
//!     128  u8  worker    1 while the worker sleeps on its pipe, or is about to
//!     192  u8  host      1 while the host does
//!    4096      host      the message to the worker, up to 30 KiB
//!   34816      worker    the message to the host, up to 30 KiB
//! ```
//!
//! Each cell has one writer; what has different writers is in different cache lines. The two sides speak in turn, as on the pipes: a side puts a message
//! into the box of the other only when it has had an answer to its last one, whichever way that went. So there is
//! never more than one message on its way, and its box is free.
//!
//! ```text
//!  who sends                               who waits
//!   the other one sleeps? -> the pipe       looks for a while: has the count changed?
//!     (the worker leaves this out)
//!   write bytes, length                     flag = 1
//!   count + 1            (release)          ---- fence ----
//!   ---- fence ----                         has the count changed? -> take the message (acquire)
//!   the flag is 1? -> ring the pipe         otherwise sleep on the pipe
//! ```
//!
//! A side that will look for the answer to what it sends sets its flag to 0 before it sends that, so that the answer
//! finds it awake.
//!
//! # Why no wake-up is lost
//!
//! The sender writes the count and then reads the flag; the one who waits writes the flag and then reads the count. Each has
//! a full fence in between, so at least one of them sees what the other one has written: either the one who waits finds the
//! message, or the sender finds the flag and rings. Both may happen; then the ring is found later, and means nothing.
//!
//! On the worker's side, which is plain Python, the fence is a lock that nobody else has: it is released and then
//! acquired. On x86-64 each of the two is an instruction with a `lock` prefix, which orders all that is before and
//! after it. On aarch64 the first is a store-release, which what was written before cannot pass; the second is a
//! load-acquire, which what is read after cannot pass; and a load-acquire cannot pass an earlier store-release.
//! Where the order of plain loads and of plain stores matters as well, x86-64 keeps it by itself; elsewhere the worker
//! has the same fence there.
//!
//! `tests/mailbox_model.rs` has [`End`] of this file run through all the orders that the memory model allows.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, Ordering, fence};

use crate::mapping::{self, Mapping, Writers};

/// Most bytes of a message in a box.
pub const CAPACITY: usize = 30 << 10;

/// Which of the two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by nature")]
pub enum Side {
    /// The Rust program.
    Host,
    /// The Python process.
    Worker,
}

impl Side {
    /// The one at the other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Host => Self::Worker,
            Self::Worker => Self::Host,
        }
    }
}

/// What both sides read and write.
pub trait Cells {
    /// How many messages were put into the box of a side.
    fn count(&self, of: Side, order: Ordering) -> u8;
    /// Tells of a message in the box of a side.
    fn set_count(&self, of: Side, count: u8, order: Ordering);
    /// Whether a side sleeps on its pipe.
    fn sleeps(&self, side: Side, order: Ordering) -> bool;
    /// Says so.
    fn set_sleeps(&self, side: Side, sleeps: bool, order: Ordering);
    /// Nothing is moved from one side of this to the other.
    fn fence(&self);
    /// Puts the bytes of a message into the box of a side: all parts, one after the other.
    fn put(&self, of: Side, parts: [&[u8]; 2]);
    /// Appends the message in the box of a side. Whether there was one; otherwise it comes through the pipe.
    fn get(&self, of: Side, into: &mut Vec<u8>) -> bool;
}

/// One side's end of a mailbox.
#[derive(Debug)]
pub struct End<C> {
    cells: C,
    side: Side,
    /// How many messages it has put into the other's box, and has taken note of in its own.
    sent: u8,
    seen: u8,
    /// What its flag says.
    sleeps: bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by nature")]
pub enum Posted {
    /// The other side finds it in its box.
    InBox,
    /// The same, but it has begun to sleep meanwhile: wake it.
    Ring,
    /// It has to go through the pipe.
    NotAtAll,
}

/// What was found in a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by nature")]
pub enum Found {
    /// Nothing yet.
    Nothing,
    /// A message.
    Message,
    /// That one is on its way through the pipe.
    Announcement,
}

impl<C: Cells> End<C> {
    /// The end of a side that sleeps on its pipe.
    pub fn new(cells: C, side: Side) -> Self {
        Self { cells, side, sent: 0, seen: 0, sleeps: true }
    }

    /// Puts a message, in two parts, into the box of the other side, unless that sleeps or the message is too
    /// long for it. The other side must have answered the last one.
    pub fn post(&mut self, parts: [&[u8]; 2]) -> Posted {
        let other = self.side.other();
        if self.cells.sleeps(other, Ordering::Acquire) {
            return Posted::NotAtAll;
        }
        let fits = parts[0].len() + parts[1].len() <= CAPACITY;
        // An empty message says that the bytes are on their way through the pipe.
        self.cells.put(other, if fits { parts } else { [&[]; 2] });
        self.sent = self.sent.wrapping_add(1);
        self.cells.set_count(other, self.sent, Ordering::Release);
        if !fits {
            return Posted::NotAtAll;
        }
        self.cells.fence();
        match self.cells.sleeps(other, Ordering::Relaxed) {
            false => Posted::InBox,
            true => Posted::Ring,
        }
    }

    /// Says that this side will look at its box. To be called before a message is sent whose answer it looks for.
    pub fn wake(&mut self) {
        if self.sleeps {
            self.sleeps = false;
            self.cells.set_sleeps(self.side, false, Ordering::Release);
        }
    }

    /// Says that this side sleeps on its pipe from now on; it must look once more before it does so.
    pub fn sleep(&mut self) {
        if !self.sleeps {
            self.sleeps = true;
            self.cells.set_sleeps(self.side, true, Ordering::Relaxed);
            self.cells.fence();
        }
    }

    /// Looks into its box once, and takes what it finds there.
    pub fn look(&mut self, into: &mut Vec<u8>) -> Found {
        let count = self.cells.count(self.side, Ordering::Acquire);
        if count == self.seen {
            return Found::Nothing;
        }
        self.seen = count;
        match self.cells.get(self.side, into) {
            true => Found::Message,
            false => Found::Announcement,
        }
    }

    /// A message has come through the pipe. If it was announced, that is done with.
    pub fn came_by_pipe(&mut self) {
        self.seen = self.cells.count(self.side, Ordering::Acquire);
    }
}

/// A mailbox in shared memory, from the side of the host.
pub type Mailbox = End<SharedCells>;

impl Mailbox {
    /// A new mailbox, on whose other side nobody looks yet, and what the worker can map it by. Nothing needs that
    /// descriptor when the worker has it.
    ///
    /// # Errors
    /// The system refuses, or has no such memory.
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        let (descriptor, mapping) = Mapping::create("snakebridge-mailbox", SIZE, Writers::All)?;
        let cells = SharedCells { id: mapping::next_id(), mapping };
        for side in [Side::Host, Side::Worker] {
            cells.set_sleeps(side, true, Ordering::Relaxed);
        }
        Ok((Self::new(cells, Side::Host), descriptor))
    }

    /// Whether the worker sleeps on its pipe.
    #[must_use]
    pub fn is_worker_asleep(&self) -> bool {
        self.cells.sleeps(Side::Worker, Ordering::Relaxed)
    }

    /// A number that no other memory of this process has, or had.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.cells.id
    }
}

/// Cells at their places in shared memory.
#[derive(Debug)]
pub struct SharedCells {
    id: u64,
    mapping: Mapping,
}

const DATA_TO_WORKER: usize = 4096;
const DATA_TO_HOST: usize = DATA_TO_WORKER + CAPACITY;
/// Bytes of the whole.
pub const SIZE: usize = DATA_TO_HOST + CAPACITY;

const fn count_of(side: Side) -> usize {
    match side {
        Side::Worker => 0,
        Side::Host => 64,
    }
}

const fn length_of(side: Side) -> usize {
    count_of(side) + 4
}

const fn sleeps_of(side: Side) -> usize {
    match side {
        Side::Worker => 128,
        Side::Host => 192,
    }
}

const fn data_of(side: Side) -> usize {
    match side {
        Side::Worker => DATA_TO_WORKER,
        Side::Host => DATA_TO_HOST,
    }
}

impl SharedCells {
    fn byte(&self, place: usize) -> &AtomicU8 {
        assert!(place < self.mapping.len());
        // SAFETY: the byte is mapped as long as `self` lives. No reference to these bytes is
        // ever made but such ones, and the other process writes to it with single stores of a byte.
        unsafe { AtomicU8::from_ptr(self.mapping.start().add(place)) }
    }
}

impl Cells for SharedCells {
    fn count(&self, of: Side, order: Ordering) -> u8 {
        self.byte(count_of(of)).load(order)
    }

    fn set_count(&self, of: Side, count: u8, order: Ordering) {
        self.byte(count_of(of)).store(count, order);
    }

    fn sleeps(&self, side: Side, order: Ordering) -> bool {
        self.byte(sleeps_of(side)).load(order) != 0
    }

    fn set_sleeps(&self, side: Side, sleeps: bool, order: Ordering) {
        self.byte(sleeps_of(side)).store(sleeps.into(), order);
    }

    fn fence(&self) {
        fence(Ordering::SeqCst);
    }

    fn put(&self, of: Side, parts: [&[u8]; 2]) {
        let length = parts[0].len() + parts[1].len();
        assert!(length <= CAPACITY, "a message of {length} bytes in a box of {CAPACITY}");
        let (start, mut place) = (self.mapping.start(), data_of(of));
        for part in parts {
            // SAFETY: the parts fit into the box, which fits into the mapping. The other process does not
            // read the box now: it has answered the last message, and is not told of this one yet.
            unsafe { start.add(place).copy_from_nonoverlapping(part.as_ptr(), part.len()) };
            place += part.len();
        }
        // SAFETY: as above; the place is a multiple of 4.
        unsafe { start.add(length_of(of)).cast::<u32>().write((length as u32).to_le()) };
    }

    fn get(&self, of: Side, into: &mut Vec<u8>) -> bool {
        let start = self.mapping.start();
        // SAFETY: as in `put`: the other process has written this before it has told of the message, and does not
        // write to it again before it has the answer.
        let length =
            u32::from_le(unsafe { start.add(length_of(of)).cast::<u32>().read() }) as usize;
        // It is the other process that says so.
        let length = length.min(CAPACITY);
        let before = into.len();
        into.reserve(length);
        // SAFETY: so many bytes are in the box, and `into` has room for them, which `copy_from` then has filled.
        unsafe {
            let end = into.as_mut_ptr().add(before);
            end.copy_from_nonoverlapping(start.add(data_of(of)), length);
            into.set_len(before + length);
        }
        length > 0
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Both ends of one mailbox, the second over a mapping of its own.
    fn pair() -> (Mailbox, Mailbox) {
        let (host, descriptor) = Mailbox::create().expect("there is memory to share");
        let mapping = Mapping::of(&descriptor, SIZE).expect("it can be mapped twice");
        let cells = SharedCells { id: host.id(), mapping };
        (host, End::new(cells, Side::Worker))
    }

    #[test]
    fn nobody_can_change_its_size() {
        let (_host, descriptor) = Mailbox::create().expect("there is memory to share");
        for len in [0, 2 * SIZE as u64] {
            let refused = rustix::fs::ftruncate(&descriptor, len);
            assert_eq!(refused, Err(rustix::io::Errno::PERM));
        }
    }

    #[test]
    fn who_sleeps_is_sent_nothing() {
        let (mut host, mut worker) = pair();
        assert_eq!(host.post([b"a", b"b"]), Posted::NotAtAll);
        worker.wake();
        assert_eq!(host.post([b"a", b"b"]), Posted::InBox);
        let mut taken = b"-".to_vec();
        assert_eq!(worker.look(&mut taken), Found::Message);
        assert_eq!(taken, b"-ab");
        assert_eq!(worker.look(&mut taken), Found::Nothing);
    }

    #[test]
    fn whoever_has_begun_to_sleep_finds_the_message_or_is_woken() {
        let (mut host, mut worker) = pair();
        worker.wake();
        assert_eq!(host.post([b"first", b""]), Posted::InBox);
        worker.sleep();
        let mut taken = Vec::new();
        assert_eq!(worker.look(&mut taken), Found::Message);
        assert_eq!(host.post([b"second", b""]), Posted::NotAtAll);
    }

    #[test]
    fn what_is_too_long_is_announced() {
        let (mut host, mut worker) = pair();
        worker.wake();
        let (long, mut taken) = (vec![7; CAPACITY], Vec::new());
        assert_eq!(host.post([&long, b"x"]), Posted::NotAtAll);
        assert_eq!(worker.look(&mut taken), Found::Announcement);
        assert!(taken.is_empty());
        assert_eq!(host.post([&long, b""]), Posted::InBox);
        assert_eq!(worker.look(&mut taken), Found::Message);
        assert_eq!(taken, long);
    }

    #[test]
    fn an_announcement_whose_message_was_read_from_the_pipe_is_forgotten() {
        let (mut host, mut worker) = pair();
        worker.wake();
        let long = vec![7; CAPACITY + 1];
        assert_eq!(host.post([&long, b""]), Posted::NotAtAll);
        worker.came_by_pipe();
        assert_eq!(worker.look(&mut Vec::new()), Found::Nothing);
    }

    #[test]
    fn counts_go_round() {
        let (mut host, mut worker) = pair();
        worker.wake();
        host.wake();
        for number in 0..1000_u32 {
            let (mut there, mut back) = (Vec::new(), Vec::new());
            assert_eq!(host.post([&number.to_le_bytes(), b""]), Posted::InBox);
            assert_eq!(worker.look(&mut there), Found::Message);
            assert_eq!(worker.post([&there, b""]), Posted::InBox);
            assert_eq!(host.look(&mut back), Found::Message);
            assert_eq!(back, number.to_le_bytes());
        }
    }
}
