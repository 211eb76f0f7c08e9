//! Futures of the program on a thread that waits: each has a small runtime of its own.
//!
//! One runtime for all would be shared by futures that block it, with calls that they wait for, and by those
//! that such calls wait for in their turn.

use std::io;
use std::panic::resume_unwind;
use std::thread;
use std::time::Instant;

use tokio::runtime::{Builder, Handle};

use super::task::until;

/// Runs a future to its end. None if the deadline passes first.
pub(crate) fn block_on<T: Send>(
    deadline: Option<Instant>,
    future: impl Future<Output = T> + Send,
) -> io::Result<Option<T>> {
    if Handle::try_current().is_err() {
        return on_this_thread(deadline, future);
    }
    // It belongs to a runtime, and can run no other.
    thread::scope(|threads| {
        let run = || on_this_thread(deadline, future);
        let name = "snakebridge-callback".to_owned();
        let thread = thread::Builder::new().name(name).spawn_scoped(threads, run)?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn on_this_thread<T>(
    deadline: Option<Instant>,
    future: impl Future<Output = T>,
) -> io::Result<Option<T>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(until(deadline, future)))
}
