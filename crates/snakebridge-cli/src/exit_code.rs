//! What the exit code of the command says.

/// All went well. A reader that closes the output early is no error.
pub(crate) const SUCCESS: u8 = 0;
/// Python raised an exception.
pub(crate) const RAISED: u8 = 1;
/// The command line, or an option on it, cannot be used. Also what clap exits with.
pub(crate) const USAGE: u8 = 2;
/// There is no Python that can be used.
pub(crate) const NO_PYTHON: u8 = 3;
/// The worker process ended during the call.
pub(crate) const WORKER_LOST: u8 = 4;
/// The call took longer than it may.
pub(crate) const TIMEOUT: u8 = 5;
/// Anything else that failed.
pub(crate) const OTHER: u8 = 6;
