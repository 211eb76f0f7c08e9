//! The socket on which a bridge is asked, on systems other than Linux: there is none.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A socket by which a bridge can be asked for a snapshot.
#[derive(Debug)]
pub(crate) struct Socket {
    never: Infallible,
    pub(crate) bridge: u32,
}

impl Socket {
    /// Whether there is such a thing on this system.
    pub(crate) const IS_THERE: bool = false;

    pub(crate) fn open() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn answer(&self, _: impl Fn() -> String) {
        match self.never {}
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self.never {}
    }
}
