//! Fan-out for tasks.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::{Job, Source, Window, all_failed, ends_chunk};
use crate::call::RawCall;
use crate::engine::waiting::task::Task;
use crate::error::Result;

/// The results of a [`Map`](crate::Map), for async code. It is a `futures_core::Stream`, and has a
/// [`next`](Self::next) of its own.
///
/// The calls are made by the task that polls it. Dropping it cancels those that run, as for a
/// [`CallFuture`](crate::CallFuture), and takes no more inputs. The iterator of inputs runs within the task too, and
/// so must not block.
///
/// ```
/// use snakebridge::Bridge;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> snakebridge::Result<()> {
/// let py = Bridge::builder().workers(2).build()?;
/// let mut lengths = py.map::<usize>("builtins", "len", ["one", "three"].map(|x| (x,))).stream();
/// let mut total = 0;
/// while let Some(length) = lengths.next().await {
///     total += length?;
/// }
/// assert_eq!(total, 8);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is called before results are asked for"]
pub struct MapStream<R> {
    window: Window<RawCall, Result<R>>,
    job: Arc<Job>,
    source: Source,
    running: Vec<Pin<Box<dyn Future<Output = Done<R>> + Send>>>,
}

/// Number of a chunk, what came of it, and how long it took.
type Done<R> = (u64, Vec<Result<R>>, Duration);

impl<R: DeserializeOwned + Send + 'static> MapStream<R> {
    pub(super) fn new(window: Window<RawCall, Result<R>>, job: Arc<Job>, source: Source) -> Self {
        Self { window, job, source, running: Vec::new() }
    }

    /// The next result; `None` at the end.
    ///
    /// # Cancel safety
    /// Safe: dropping the future of this loses nothing, and the next call of `next` goes on where it stopped.
    pub async fn next(&mut self) -> Option<Result<R>> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<R>>> {
        loop {
            self.begin_more();
            let has_progress = self.poll_running(context);
            if let Some(result) = self.window.pop() {
                return Poll::Ready(Some(result));
            }
            if self.window.is_over() {
                return Poll::Ready(None);
            }
            if !has_progress {
                return Poll::Pending;
            }
        }
    }

    fn begin_more(&mut self) {
        while self.window.wants_more() {
            match (self.source)() {
                Some(call) => {
                    let ends_chunk = ends_chunk(&call);
                    self.window.push(call, ends_chunk);
                }
                None => self.window.end(),
            }
        }
        while self.running.len() < self.window.workers() {
            let Some((number, calls)) = self.window.take() else { return };
            let calls = self.job.pipeline(calls);
            self.running.push(Box::pin(async move {
                let (begin, count) = (Instant::now(), calls.len());
                let outcomes = calls.outcomes::<R, Task>(|_, value| R::deserialize(value)).await;
                (number, all_failed(outcomes, count), begin.elapsed())
            }));
        }
    }

    /// Whether anything is done.
    fn poll_running(&mut self, context: &mut Context<'_>) -> bool {
        let before = self.running.len();
        let window = &mut self.window;
        self.running.retain_mut(|running| match running.as_mut().poll(context) {
            Poll::Ready((number, outcomes, time)) => {
                window.put(number, outcomes, time);
                false
            }
            Poll::Pending => true,
        });
        self.running.len() < before
    }
}

impl<R: DeserializeOwned + Send + 'static> futures_core::Stream for MapStream<R> {
    type Item = Result<R>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<R>>> {
        self.poll(context)
    }
}

impl<R> Unpin for MapStream<R> {}

impl<R> fmt::Debug for MapStream<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapStream").finish_non_exhaustive()
    }
}
