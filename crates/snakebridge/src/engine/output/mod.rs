//! What workers print: read from their standard output and error, and passed on.
//!
//! A thread of its own does this, because whoever reads the host's output may be slow, and that
//! must not hold up anything else.

mod pump;
mod sink;
mod tail;

use std::fmt;
use std::sync::Arc;

use super::WorkerId;
pub(crate) use pump::{Approval, Pump, Source};
pub(crate) use tail::{TAIL_LIMIT, Tail};

/// What becomes of that which Python code, C code or children of a worker print.
///
/// It never mixes with the protocol, which has pipes of its own.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Output {
    /// Standard output goes to that of the host, standard error likewise. The default.
    #[default]
    Forward,
    /// Nothing is shown. The last lines of standard error still appear in errors about the loss of
    /// a worker.
    Discard,
    /// Each piece is given to a function, on a thread of the bridge. It must not call Python through
    /// the bridge: a worker that prints waits until its output is taken. It may drop the bridge or
    /// shut it down, which then goes on by itself.
    Handler(Arc<dyn Fn(OutputPiece<'_>) + Send + Sync>),
}

/// A piece of what a worker printed: as many bytes as came at once, not necessarily whole lines.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct OutputPiece<'a> {
    /// Who printed it.
    pub worker: WorkerId,
    /// Whether it was printed to standard error.
    pub is_stderr: bool,
    /// What was printed.
    pub data: &'a [u8],
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "Forward",
            Self::Discard => "Discard",
            Self::Handler(_) => "Handler(..)",
        })
    }
}
