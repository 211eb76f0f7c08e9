//! The socket on which a bridge is asked, on Linux: of the abstract kind, which is in no file system.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::net::sockopt::socket_peercred;
use rustix::process::getuid;

/// A socket by which a bridge can be asked for a snapshot.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    /// Which bridge of its process it is.
    pub(crate) bridge: u32,
}

/// Answers at one time: more wait for the next turn of the supervisor.
const MOST_AT_ONCE: usize = 16;

/// Names that are tried where others are taken.
const MOST_TRIES: u32 = 16;

impl Socket {
    /// Whether there is such a thing on this system.
    pub(crate) const IS_THERE: bool = true;

    /// Listens as `@snakebridge/UID/PID/BRIDGE`.
    pub(crate) fn open() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let mut tries = 0..MOST_TRIES;
        loop {
            let bridge = COUNT.fetch_add(1, Ordering::Relaxed);
            match listen(bridge) {
                Ok(listener) => return Ok(Self { listener, bridge }),
                // Everybody can take such a name, which must not keep the program from starting.
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse && tries.next().is_some() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers those who ask, with what is made only if somebody does.
    pub(crate) fn answer(&self, snapshot: impl Fn() -> String) {
        for _ in 0..MOST_AT_ONCE {
            let Ok((stream, _)) = self.listener.accept() else { return };
            // One that goes away, or takes too little, is told no more.
            let _ = answer(stream, &snapshot);
        }
    }
}

fn listen(bridge: u32) -> io::Result<UnixListener> {
    let (user, process) = (getuid().as_raw(), std::process::id());
    let name = format!("snakebridge/{user}/{process}/{bridge}");
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A name of this kind has no permissions: everybody can connect, and only the user is answered.
fn answer(mut stream: UnixStream, snapshot: impl Fn() -> String) -> io::Result<()> {
    let peer = socket_peercred(&stream)?.uid;
    if peer != getuid() && !peer.is_root() {
        return Ok(());
    }
    // The supervisor waits for nobody. What a socket holds is enough for a thousand workers.
    stream.set_nonblocking(true)?;
    stream.write_all(snapshot().as_bytes())
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_others_have_taken_are_passed_over() {
        let first = Socket::open().unwrap();
        let taken: Vec<_> = (1..=4).map(|next| listen(first.bridge + next).unwrap()).collect();
        let next = Socket::open().unwrap();
        assert_eq!(next.bridge, first.bridge + 5);
        drop(taken);
    }
}
