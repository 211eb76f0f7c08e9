//! One piece of shared memory.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use crate::mailbox::MAILBOXES;

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
    start: NonNull<u8>,
    len: usize,
    /// For those who want to know whether it is still there.
    token: Arc<()>,
    /// Last, so that it is free only when the descriptor is closed.
    _place: Place,
}

// SAFETY: the mapping belongs to this value alone, and is the same for all threads.
unsafe impl Send for Segment {}
// SAFETY: through a shared reference its bytes can only be read.
unsafe impl Sync for Segment {}

impl Segment {
    /// A new segment of at least so many bytes: the next power of two. They are zero.
    ///
    /// # Errors
    /// The system refuses, or has no such memory; or there are [`MOST`] of them.
    pub fn new(least: usize) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let len = size_for(least).ok_or(io::ErrorKind::OutOfMemory)?;
        let place = Place::take()?;
        let descriptor = open()?;
        rustix::fs::ftruncate(&descriptor, len as u64)?;
        let start = map(&descriptor, len)?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self { id, descriptor, start, len, token: Arc::default(), _place: place })
    }

    /// How many there are in this process, mailboxes left out: those stay as long as their lanes.
    #[must_use]
    pub fn count() -> usize {
        TAKEN.load(Ordering::Relaxed).saturating_sub(MAILBOXES.load(Ordering::Relaxed))
    }

    /// A number that no other segment of this process has, or had.
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
        self.len
    }

    /// Never: there are no segments without bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where its bytes are, for the cells of a mailbox, which both processes write to. No reference to
    /// the bytes of such a segment may be made.
    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Another mapping of the same memory, as another process has it.
    #[cfg(test)]
    pub(crate) fn map_again(&self) -> io::Result<Self> {
        let (place, descriptor) = (Place::take()?, self.descriptor.try_clone()?);
        let start = map(&descriptor, self.len)?;
        let (id, token) = (self.id, Arc::default());
        Ok(Self { id, descriptor, start, len: self.len, token, _place: place })
    }

    /// Copies bytes to its start.
    ///
    /// # Panics
    /// If there are more than it has.
    pub fn write(&mut self, data: &[u8]) {
        assert!(data.len() <= self.len, "{} bytes into a segment of {}", data.len(), self.len);
        self.bytes_mut()[..data.len()].copy_from_slice(data);
    }

    /// All of its bytes, to be changed.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: so many bytes are mapped from `start` on, as long as `self` lives, and `&mut self` says that
        // nobody here reads them. The other process keeps to the agreement of the crate.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// All of its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped from `start` on, as long as `self` lives, and are written to by
        // nobody here while it is shared. The other process keeps to the agreement of the crate.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl AsFd for Segment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: it is what `map` has mapped, and no reference to it outlives `self`. That it may fail
        // changes nothing: the mapping would stay.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
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

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn open() -> io::Result<OwnedFd> {
    Ok(rustix::fs::memfd_create("snakebridge", rustix::fs::MemfdFlags::CLOEXEC)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn open() -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

fn map(descriptor: &OwnedFd, len: usize) -> io::Result<NonNull<u8>> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: without an address of our own the kernel chooses one where nothing is.
    let start = unsafe { mmap(std::ptr::null_mut(), len, access, flags, descriptor, 0) }?;
    NonNull::new(start.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read_by_whoever_maps_it() {
        let mut segment = Segment::new(100_000).unwrap();
        assert_eq!((segment.len(), segment.is_empty()), (1 << 17, false));
        assert!(segment.bytes().iter().all(|byte| *byte == 0));
        segment.write(b"hello");
        assert_eq!(&segment.bytes()[..6], b"hello\0");
        let other = segment.map_again().unwrap();
        assert_eq!(&other.bytes()[..5], b"hello");
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
