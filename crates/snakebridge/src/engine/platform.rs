//! Where systems differ: how descriptors are made so that no child inherits them.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

/// A pipe, reading end first, that children do not inherit.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    return Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?);

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    {
        let (reader, writer) = rustix::pipe::pipe()?;
        set_cloexec(&reader)?;
        set_cloexec(&writer)?;
        Ok((reader, writer))
    }
}

/// A pair of connected sockets that children do not inherit.
pub(crate) fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let flags = SocketFlags::CLOEXEC;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let flags = SocketFlags::empty();
    let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    for end in [&pair.0, &pair.1] {
        set_cloexec(end)?;
    }
    Ok(pair)
}

/// Most descriptors that [`send_with`] takes.
pub(crate) const MOST_DESCRIPTORS: usize = 32;

/// Sends bytes, and descriptors with the first of them, as far as there is room for it now. A reader that
/// is gone is an error here, never a signal.
pub(crate) fn send_with(
    socket: &OwnedFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    #[cfg(target_os = "linux")]
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    #[cfg(not(target_os = "linux"))]
    let flags = SendFlags::DONTWAIT;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, flags)?)
}

/// A pipe by which one thread wakes another, reading end first.
pub(crate) fn bell() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe()?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    rustix::io::ioctl_fionbio(&writer, true)?;
    Ok((reader, writer))
}

/// Wakes the thread that waits at the other end.
pub(crate) fn ring(bell: &OwnedFd) {
    // A full pipe has rung already, and a closed one has nobody to wake.
    let _ = rustix::io::write(bell, &[1]);
}

/// Forgets the rings so far.
pub(crate) fn silence(bell: &OwnedFd) {
    let mut rings = [0; 64];
    while matches!(rustix::io::read(bell, &mut rings), Ok(count) if count == rings.len()) {}
}

/// Makes room in a pipe for large frames, as far as the system allows it.
pub(crate) fn widen(pipe: &OwnedFd) {
    // With 64 KiB, what pipes have by themselves, a megabyte takes sixteen changes of context.
    // An unprivileged user has 64 MiB for all pipes; where that is used up, the small one will do.
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, 256 << 10);
    #[cfg(not(target_os = "linux"))]
    let _ = pipe;
}

/// A descriptor that becomes readable when the process ends, where the system has such a thing.
/// Elsewhere the end of the control channel tells.
pub(crate) fn process_end(pid: rustix::process::Pid) -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    return rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = pid;
        None
    }
}

/// Whether there is something to read, or to know, at once.
pub(crate) fn is_readable(fd: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&at_once)), Ok(1))
}

/// How many bytes of memory a process uses, where the system tells.
pub(crate) fn memory_of(pid: rustix::process::Pid) -> Option<u64> {
    // The second number is the pages that are in memory; see proc_pid_statm(5).
    let path = format!("/proc/{}/statm", pid.as_raw_nonzero());
    let pages: u64 = std::fs::read_to_string(path).ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn set_cloexec(fd: &OwnedFd) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?)
}

/// The number of the core that this thread runs on just now, where the system tells.
pub(crate) fn current_core() -> Option<u32> {
    #[cfg(target_os = "linux")]
    return u32::try_from(rustix::thread::sched_getcpu()).ok();

    #[cfg(not(target_os = "linux"))]
    None
}
