//! One piece of shared memory.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use crate::mapping::{self, Mapping, Writers};

/// Bytes of the smallest segment.
pub const SMALLEST: usize = 1 << 16;

/// Segments that this process can have at the same time. Each is a descriptor of it, and it is to have
/// most of the 1024 that it usually may have for itself.
pub const MOST: usize = 256;

/// Memory that another process can map.
#[derive(Debug)]
pub struct Segment {
    id: u64,
    descriptor: OwnedFd,
    mapping: Mapping,
    /// For those who want to know whether it is still there.
    token: Arc<()>,
    /// Whether there are copies that have its id.
    has_copies: AtomicBool,
    /// Last, so that it is free only when the descriptor is closed.
    _place: Place,
}

impl Segment {
    /// A new segment of at least so many bytes: the next power of two. They are zero. Others can only read it.
    ///
    /// # Errors
    /// The system refuses, or has no such memory; or there are [`MOST`] of them.
    pub fn new(least: usize) -> io::Result<Self> {
        Self::with_writers(least, Writers::Own)
    }

    /// The same, which another process can write to.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn to_be_filled(least: usize) -> io::Result<Self> {
        Self::with_writers(least, Writers::All)
    }

    fn with_writers(least: usize, writers: Writers) -> io::Result<Self> {
        let len = size_for(least).ok_or(io::ErrorKind::OutOfMemory)?;
        let place = Place::take()?;
        let (descriptor, mapping) = Mapping::create("snakebridge", len, writers)?;
        let id = mapping::next_id();
        Ok(Self {
            id,
            descriptor,
            mapping,
            token: Arc::default(),
            has_copies: AtomicBool::new(false),
            _place: place,
        })
    }

    /// How many there are in this process.
    #[must_use]
    pub fn count() -> usize {
        TAKEN.load(Ordering::Relaxed)
    }

    /// A number that no other memory of this process has, or had, but for copies of it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What can be upgraded for as long as the segment is there.
    #[must_use]
    pub fn token(&self) -> Weak<()> {
        Arc::downgrade(&self.token)
    }

    /// Bytes of the whole.
    #[must_use]
    pub fn len(&self) -> usize {
        self.mapping.len()
    }

    /// Never: there are no segments without bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Another mapping of the same memory, as another process has it.
    #[cfg(test)]
    pub(crate) fn map_again(&self) -> io::Result<Self> {
        let (place, descriptor) = (Place::take()?, self.descriptor.try_clone()?);
        let mapping = Mapping::of(&descriptor, self.len())?;
        Ok(Self {
            id: self.id,
            descriptor,
            mapping,
            token: Arc::default(),
            has_copies: AtomicBool::new(false),
            _place: place,
        })
    }

    /// Copies bytes to its start.
    ///
    /// # Panics
    /// If there are more than it has.
    pub fn write(&mut self, data: &[u8]) {
        assert!(data.len() <= self.len(), "{} bytes into a segment of {}", data.len(), self.len());
        self.bytes_mut()[..data.len()].copy_from_slice(data);
    }

    /// Makes `copy` a copy of its first bytes, for a process that must not have the segment itself: with the same id. From
    /// then on this segment must not have other bytes under that id.
    ///
    /// # Panics
    /// If there are fewer, here or there.
    pub(crate) fn copy_to(&self, copy: &mut Self, len: usize) {
        copy.write(&self.bytes()[..len]);
        copy.id = self.id;
        self.has_copies.store(true, Ordering::Relaxed);
    }

    /// Whether there are, or were, copies that have its id.
    #[must_use]
    pub fn has_copies(&self) -> bool {
        self.has_copies.load(Ordering::Relaxed)
    }

    /// Makes another segment of it, as far as ids and tokens tell. Its bytes stay.
    pub(crate) fn renew(&mut self) {
        (self.id, self.token) = (mapping::next_id(), Arc::default());
        *self.has_copies.get_mut() = false;
    }

    /// All of its bytes, to be changed.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: so many bytes are mapped from `start` on, as long as `self` lives, and `&mut self` says that
        // nobody here reads them. The other process keeps to the agreement of the crate.
        unsafe { std::slice::from_raw_parts_mut(self.mapping.start(), self.len()) }
    }

    /// All of its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped from `start` on, as long as `self` lives, and are written to by
        // nobody here while it is shared. The other process keeps to the agreement of the crate.
        unsafe { std::slice::from_raw_parts(self.mapping.start(), self.len()) }
    }
}

impl AsFd for Segment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// One of the [`MOST`].
#[derive(Debug)]
struct Place;

/// How many are taken.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Place {
    fn take() -> io::Result<Self> {
        let more = |taken| (taken < MOST).then_some(taken + 1);
        match TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Self),
            Err(_) => Err(io::Error::other(format!("there are {MOST} segments of shared memory"))),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The size of a segment for so many bytes.
pub(crate) fn size_for(least: usize) -> Option<usize> {
    let size = least.max(SMALLEST).checked_next_power_of_two()?;
    (size <= isize::MAX as usize).then_some(size)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read_by_whoever_maps_it() {
        let mut segment = Segment::to_be_filled(100_000).unwrap();
        assert_eq!((segment.len(), segment.is_empty()), (1 << 17, false));
        assert!(segment.bytes().iter().all(|byte| *byte == 0));
        segment.write(b"hello");
        assert_eq!(&segment.bytes()[..6], b"hello\0");
        let other = segment.map_again().unwrap();
        assert_eq!(&other.bytes()[..5], b"hello");
    }

    #[test]
    fn nobody_can_change_its_size() {
        for segment in [Segment::new(1).unwrap(), Segment::to_be_filled(1).unwrap()] {
            for len in [0, 1, 2 * SMALLEST as u64] {
                let refused = rustix::fs::ftruncate(&segment, len).unwrap_err();
                assert_eq!(refused, rustix::io::Errno::PERM);
            }
            assert!(segment.bytes().iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn others_write_to_it_only_where_they_are_to_fill_it() {
        let mut own = Segment::new(1).unwrap();
        assert_eq!(rustix::io::pwrite(&own, b"x", 0).unwrap_err(), rustix::io::Errno::PERM);
        assert!(Mapping::of(&own.descriptor, SMALLEST).is_err());
        own.write(b"own");
        assert_eq!(&own.bytes()[..3], b"own");
        let filled = Segment::to_be_filled(1).unwrap();
        assert_eq!(rustix::io::pwrite(&filled, b"x", 0), Ok(1));
        assert_eq!(filled.bytes()[0], b'x');
    }

    #[test]
    fn sizes_are_powers_of_two() {
        let sizes = [0, 1, SMALLEST, SMALLEST + 1, usize::MAX].map(size_for);
        let larger = Some(2 * SMALLEST);
        assert_eq!(sizes, [Some(SMALLEST), Some(SMALLEST), Some(SMALLEST), larger, None]);
    }

    #[test]
    #[should_panic(expected = "bytes into a segment of")]
    fn more_than_there_is_room_for_is_refused() {
        Segment::new(1).unwrap().write(&vec![0; SMALLEST + 1]);
    }
}
