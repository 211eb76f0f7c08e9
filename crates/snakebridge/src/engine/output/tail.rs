//! The end of what a worker wrote to its standard error, for the errors about its own end.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The end of what a worker wrote to its standard error.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<(Mutex<TailState>, Condvar)>);

#[derive(Debug, Default)]
struct TailState {
    data: VecDeque<u8>,
    ended: bool,
}

/// How much of it is kept.
const KEPT: usize = 4096;
/// How long the last of it is waited for after the worker has ended. Children of it may hold the
/// pipe open.
pub(crate) const TAIL_LIMIT: Duration = Duration::from_millis(100);

impl Tail {
    pub(super) fn push(&self, data: &[u8]) {
        let mut tail = self.lock();
        tail.data.extend(data);
        let excess = tail.data.len().saturating_sub(KEPT);
        tail.data.drain(..excess);
    }

    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.0.1.notify_all();
    }

    /// Whether no more will come.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// The text so far.
    pub(crate) fn text(&self) -> String {
        self.lock().text()
    }

    /// The text, once the worker that wrote it has ended. Waits a moment for the end of it.
    pub(crate) fn last_text(&self) -> String {
        let wait = self.0.1.wait_timeout_while(self.lock(), TAIL_LIMIT, |tail| !tail.ended);
        wait.unwrap_or_else(PoisonError::into_inner).0.text()
    }

    fn lock(&self) -> MutexGuard<'_, TailState> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TailState {
    fn text(&self) -> String {
        let bytes: Vec<u8> = self.data.iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}
