//! Streams for tasks.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::feed::Feed;
use crate::call::RawCall;
use crate::engine::waiting::task::Task;
use crate::error::Result;
use crate::options::Limit;

/// The items of whatever Python can iterate over, for async code: what [`Iter`](crate::Iter) is for threads, which
/// tells of batches, errors and ends.
///
/// Made by [`Call::stream`](crate::Call::stream) and [`Ref::stream`](crate::Ref::stream). It is a
/// `futures_core::Stream`, and has a [`next`](Self::next) of its own.
///
/// Dropping it while items are awaited cancels the Python code that makes them, as for a
/// [`CallFuture`](crate::CallFuture).
///
/// ```
/// use snakebridge::Bridge;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> snakebridge::Result<()> {
/// let py = Bridge::new()?;
/// let mut lines = py.call::<String>("builtins", "iter", (["a", "b"],)).stream();
/// while let Some(line) = lines.next().await {
///     println!("{}", line?);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is done before items are asked for"]
pub struct Stream<T>(State<T>);

enum State<T> {
    Resting(Box<Feed<T>>),
    Fetching(Pin<Box<dyn Future<Output = Box<Feed<T>>> + Send>>),
    /// Only while it changes from one to the other.
    Between,
}

impl<T: DeserializeOwned + Send + 'static> Stream<T> {
    pub(crate) fn new(call: RawCall) -> Self {
        Self(State::Resting(Box::new(Feed::new(call))))
    }

    /// Asks for each item by itself; see [`Iter::one_by_one`](crate::Iter::one_by_one).
    pub fn one_by_one(self) -> Self {
        self.batch(1)
    }

    /// Most items to ask for at once; see [`Iter::batch`](crate::Iter::batch).
    pub fn batch(self, most: usize) -> Self {
        self.set(|feed| feed.most_items = most.max(1))
    }

    /// How long to wait for an item; see [`Iter::timeout`](crate::Iter::timeout).
    pub fn timeout(self, limit: Duration) -> Self {
        self.set(|feed| feed.options.limit = Some(Limit::After(limit)))
    }

    /// How long all of it may take; see [`Iter::total_timeout`](crate::Iter::total_timeout).
    pub fn total_timeout(self, limit: Duration) -> Self {
        self.set(|feed| feed.total = Some(limit))
    }

    /// The next item; `None` at the end.
    ///
    /// # Cancel safety
    /// Safe: dropping the future of this loses no item, and the next call of `next` goes on where it stopped.
    pub async fn next(&mut self) -> Option<Result<T>> {
        poll_fn(|context| self.poll(context)).await
    }

    fn set(mut self, change: impl FnOnce(&mut Feed<T>)) -> Self {
        if let State::Resting(feed) = &mut self.0 {
            change(feed);
        }
        self
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        loop {
            match &mut self.0 {
                State::Fetching(fetching) => {
                    let feed = ready!(fetching.as_mut().poll(context));
                    self.0 = State::Resting(feed);
                }
                State::Resting(feed) => {
                    if let Some(item) = feed.ready() {
                        return Poll::Ready(item);
                    }
                    if let State::Resting(mut feed) = std::mem::replace(&mut self.0, State::Between)
                    {
                        self.0 = State::Fetching(Box::pin(async move {
                            feed.fetch::<Task>().await;
                            feed
                        }));
                    }
                }
                // A panic while items were read.
                State::Between => return Poll::Ready(None),
            }
        }
    }
}

impl<T: DeserializeOwned + Send + 'static> futures_core::Stream for Stream<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        self.poll(context)
    }
}

impl<T> Unpin for Stream<T> {}

impl<T> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}
