//! Threads for callbacks that no call waits for.
//!
//! Such a function may do anything: wait for another one, make calls, take its time. So each has a
//! thread, and there are as many as there are threads in Python that wait for one.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Command, Shared};
use crate::exchange::{Asked, carry_out, refusal};

/// The threads of one bridge, and what waits for one of them.
#[derive(Debug, Default)]
pub(crate) struct Background {
    state: Mutex<State>,
    /// There is something to do, or it is over.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Asked>,
    threads: usize,
    idle: usize,
    closed: bool,
}

/// Far more than honest programs have threads that wait for a callback. Those beyond wait for one that
/// comes back.
const MOST_THREADS: usize = 512;
/// How long a thread waits for something to do.
const IDLE_LIMIT: Duration = Duration::from_secs(5);

impl Background {
    /// Has a thread run a callback. Does not wait.
    pub(crate) fn submit(shared: &Arc<Shared>, asked: Asked) {
        let own = &shared.background;
        let mut state = own.lock();
        if state.closed {
            return;
        }
        state.waiting.push_back(asked);
        if state.waiting.len() <= state.idle || state.threads >= MOST_THREADS {
            own.changed.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let worker = Arc::clone(shared);
        let thread = std::thread::Builder::new().name("snakebridge-callback".to_owned());
        if thread.spawn(move || worker.background.work(&worker)).is_err() {
            own.thread_failed(shared);
        }
    }

    /// Ends the threads, once their functions have come back. Nobody waits for that.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        self.changed.notify_all();
        drop(state);
        drop(waiting);
    }

    fn work(&self, shared: &Shared) {
        while let Some(asked) = self.next() {
            carry_out(shared, &asked);
        }
    }

    /// The next callback; none once the thread is not needed any more.
    fn next(&self) -> Option<Asked> {
        let mut state = self.lock();
        state.idle += 1;
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed;
        (state, _) = self
            .changed
            .wait_timeout_while(state, IDLE_LIMIT, idle)
            .unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.threads -= 1;
        }
        next
    }

    /// The system gives no thread: those that are there go on, and if there is none, it is an error.
    fn thread_failed(&self, shared: &Shared) {
        let mut state = self.lock();
        state.threads -= 1;
        let waiting = match state.threads {
            0 => std::mem::take(&mut state.waiting),
            _ => VecDeque::new(),
        };
        drop(state);
        for Asked { worker, number, .. } in waiting {
            let frame = refusal(number, "the system gives the host no thread for the callback");
            shared.placement.ask(Command::Tell { worker, number, frame, refs: Vec::new() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
