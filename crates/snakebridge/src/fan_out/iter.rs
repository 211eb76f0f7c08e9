//! Fan-out for threads.

use std::fmt;
use std::iter::FusedIterator;
use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::pipe::{PipeFlags, pipe_with};
use serde::de::DeserializeOwned;

use super::{Job, Source, Window, all_failed, ends_chunk};
use crate::call::RawCall;
use crate::engine::waiting::{self, Thread};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::Pipeline;

/// The results of a [`Map`](crate::Map).
///
/// Dropping it stops the whole: no more inputs are taken, and calls that run are cancelled as a dropped
/// [`Pending`](crate::Pending) is. It waits for nothing, also not for an iterator of inputs that blocks; that
/// is dropped when it has come back.
///
/// # Panics
/// If the iterator of inputs does, when results are asked for.
pub struct MapIter<R> {
    crew: Option<Crew<R>>,
    /// Why there is no crew.
    error: Option<Error>,
}

/// The threads that make the calls.
struct Crew<R> {
    shared: Arc<Shared<R>>,
    threads: Vec<JoinHandle<()>>,
    /// Closed to cancel what runs.
    _cancel: OwnedFd,
}

/// What the threads and the iterator share.
struct Shared<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
    job: Arc<Job>,
    /// Becomes readable, by its end, when calls that run are to be cancelled.
    cancelled: OwnedFd,
}

struct State<R> {
    window: Window<RawCall, Result<R>>,
    is_stopped: bool,
    /// Threads that have not ended.
    running: usize,
}

impl<R: DeserializeOwned + Send + 'static> MapIter<R> {
    pub(super) fn start(window: Window<RawCall, Result<R>>, job: Arc<Job>, source: Source) -> Self {
        match Crew::start(window, job, source) {
            Ok(crew) => Self { crew: Some(crew), error: None },
            Err(error) => {
                let message = format!("no thread can be started: {error}");
                Self { crew: None, error: Some(Error::new(ErrorKind::Spawn, message)) }
            }
        }
    }
}

impl<R> Iterator for MapIter<R> {
    type Item = Result<R>;

    fn next(&mut self) -> Option<Result<R>> {
        if let Some(error) = self.error.take() {
            return Some(Err(error));
        }
        self.crew.as_mut()?.next()
    }
}

impl<R> FusedIterator for MapIter<R> {}

impl<R: DeserializeOwned + Send + 'static> Crew<R> {
    /// Starts a thread for the inputs, and one for each worker, or as many as there can be.
    fn start(
        window: Window<RawCall, Result<R>>,
        job: Arc<Job>,
        source: Source,
    ) -> std::io::Result<Self> {
        let workers = window.workers();
        let (cancelled, cancel) = pipe_with(PipeFlags::CLOEXEC)?;
        let state = Mutex::new(State { window, is_stopped: false, running: 0 });
        let shared = Arc::new(Shared { state, changed: Condvar::new(), job, cancelled });
        let mut crew = Self { shared, threads: Vec::with_capacity(workers + 1), _cancel: cancel };
        crew.add(|shared| shared.feed(source))?;
        crew.add(Shared::work)?;
        for _ in 1..workers {
            if crew.add(Shared::work).is_err() {
                break;
            }
        }
        Ok(crew)
    }

    fn add(&mut self, work: impl FnOnce(&Shared<R>) + Send + 'static) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        self.shared.lock().running += 1;
        let thread = thread::Builder::new().name("snakebridge-map".into()).spawn(move || {
            let _leaving = Leaving(&shared);
            work(&shared);
        });
        match thread {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                self.shared.lock().running -= 1;
                return Err(error);
            }
        }
        Ok(())
    }
}

impl<R> Crew<R> {
    fn next(&mut self) -> Option<Result<R>> {
        let mut state = self.shared.lock();
        loop {
            if let Some(result) = state.window.pop() {
                // A thread may have room again.
                self.shared.changed.notify_all();
                return Some(result);
            }
            if state.window.is_over() || state.running == 0 {
                break;
            }
            state = self.shared.wait(state);
        }
        drop(state);
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
        None
    }
}

impl<R> Drop for Crew<R> {
    fn drop(&mut self) {
        self.shared.lock().is_stopped = true;
        self.shared.changed.notify_all();
    }
}

impl<R: DeserializeOwned + Send + 'static> Shared<R> {
    /// Takes inputs while there is room for them.
    fn feed(&self, mut source: Source) {
        loop {
            let mut state = self.lock();
            while !state.window.wants_more() && !state.is_stopped {
                state = self.wait(state);
            }
            if state.is_stopped {
                return;
            }
            drop(state);
            let call = source();
            let mut state = self.lock();
            // Workers that wait for a call, and those that wait for the end.
            self.changed.notify_all();
            match call {
                Some(call) => {
                    let ends_chunk = ends_chunk(&call);
                    state.window.push(call, ends_chunk);
                }
                None => return state.window.end(),
            }
        }
    }

    /// Makes calls until there are no more.
    fn work(&self) {
        while let Some((number, calls)) = self.take() {
            let (begin, count) = (Instant::now(), calls.len());
            let Some(outcomes) = self.carry_out(self.job.pipeline(calls)) else { return };
            self.lock().window.put(number, all_failed(outcomes, count), begin.elapsed());
            self.changed.notify_all();
        }
    }

    fn take(&self) -> Option<(u64, Vec<RawCall>)> {
        let mut state = self.lock();
        while !state.is_stopped {
            if let Some(chunk) = state.window.take() {
                // There is room for further inputs.
                self.changed.notify_all();
                return Some(chunk);
            }
            if state.window.is_exhausted() {
                break;
            }
            state = self.wait(state);
        }
        None
    }

    /// Makes calls that travel together; `None` if that was cancelled.
    fn carry_out(&self, calls: Pipeline) -> Option<Result<Vec<Result<R>>>> {
        let mut sent = match waiting::now(calls.begin::<Thread>()) {
            Ok(sent) => sent,
            Err(error) => return Some(Err(error)),
        };
        match sent.wait_unless(&self.cancelled) {
            true => {
                Some(waiting::now(sent.outcomes::<R, Thread>(|_, value| R::deserialize(value))))
            }
            false => None,
        }
    }
}

impl<R> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<R>>) -> MutexGuard<'a, State<R>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes the end of a thread, also by a panic: then the others have to end too.
struct Leaving<'a, R>(&'a Shared<R>);

impl<R> Drop for Leaving<'_, R> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running -= 1;
        state.is_stopped |= thread::panicking();
        self.0.changed.notify_all();
    }
}

impl<R> fmt::Debug for MapIter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapIter").finish_non_exhaustive()
    }
}
