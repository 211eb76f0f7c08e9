//! Memory that two processes can map.

use std::io;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A mapping of shared memory in this process. It stays when the descriptor is closed.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone, and is the same for all threads.
unsafe impl Send for Mapping {}
// SAFETY: it gives out no more than where it is; who uses that has to say why it may.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// New memory of so many bytes, which are zero, and what another process can map it by. The name is what
    /// the system shows for it. Nobody can change its size.
    pub(crate) fn create(name: &str, len: usize, writers: Writers) -> io::Result<(OwnedFd, Self)> {
        let descriptor = open(name)?;
        rustix::fs::ftruncate(&descriptor, len as u64)?;
        let mapping = Self::of(&descriptor, len)?;
        seal(&descriptor, writers)?;
        Ok((descriptor, mapping))
    }

    /// The first bytes of some memory.
    pub(crate) fn of(descriptor: &OwnedFd, len: usize) -> io::Result<Self> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: without an address of our own the kernel chooses one where nothing is.
        let start = unsafe { mmap(std::ptr::null_mut(), len, access, flags, descriptor, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    /// Where its bytes are, as long as it lives.
    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it is what `of` has mapped, and no reference to it outlives `self`. That it may fail
        // changes nothing: the mapping would stay.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Who may write to some memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writers {
    /// This process alone, by the mapping that it has made with it.
    Own,
    /// Whoever has the descriptor.
    All,
}

/// A number that no other memory of this process has, or had.
pub(crate) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn open(name: &str) -> io::Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, memfd_create};

    Ok(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?)
}

/// Has the system refuse, from now on, what would harm whoever else has mapped the memory. If it were cut short they
/// would be killed when they read what is not there any more.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn seal(descriptor: &OwnedFd, writers: Writers) -> io::Result<()> {
    use rustix::fs::{SealFlags, fcntl_add_seals};

    #[cfg(any(target_os = "linux", target_os = "android"))]
    if writers == Writers::Own {
        match fcntl_add_seals(descriptor, SealFlags::FUTURE_WRITE) {
            // Linux has it from 5.1 on. Before that others keep to reading, as they do on FreeBSD.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    #[cfg(target_os = "freebsd")]
    let _ = writers;
    Ok(fcntl_add_seals(descriptor, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn seal(_: &OwnedFd, _: Writers) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn open(_: &str) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}
