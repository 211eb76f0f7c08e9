//! Streams for threads.

use std::fmt;
use std::iter::FusedIterator;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::feed::Feed;
use crate::call::RawCall;
use crate::engine::waiting::{self, Thread};
use crate::error::Result;
use crate::options::Limit;

/// The items of whatever Python can iterate over: of a generator, a list, a file, a query.
///
/// Made by [`Call::iter`](crate::Call::iter) and [`Ref::iter`](crate::Ref::iter). Nothing happens in Python
/// before the first item is asked for.
///
/// Items come in batches that adapt: single ones where each takes its time, thousands where they come
/// fast. An item waits no longer for others of its batch than about a millisecond, unless one that
/// follows fast ones is suddenly slow. The iterator in Python is ahead of what was taken here by up to a
/// batch; [`one_by_one`](Self::one_by_one) keeps them in step. That is needed where the iterator waits for
/// what becomes of its items, and where something else goes on with it before it has ended.
///
/// Each item is a `Result`: one that does not fit `T` is an error, and the next one comes nevertheless. An
/// exception comes after the items that were made before it, once, and ends the stream; so do a lost worker and a
/// timeout. Dropping an `Iter` lets go of the iterator, so that a generator which nobody else
/// holds is closed and its `finally` blocks run.
///
/// ```
/// use snakebridge::Bridge;
///
/// let py = Bridge::new()?;
/// let mut sum = 0;
/// for number in py.call::<i64>("builtins", "range", (1, 101)).iter() {
///     sum += number?;
/// }
/// assert_eq!(sum, 5050);
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[must_use = "nothing is done before items are asked for"]
pub struct Iter<T>(pub(super) Feed<T>);

impl<T: DeserializeOwned + 'static> Iter<T> {
    pub(crate) fn new(call: RawCall) -> Self {
        Self(Feed::new(call))
    }

    /// Asks for each item by itself, so that Python makes none that is not taken. Slower where items
    /// come fast.
    pub fn one_by_one(self) -> Self {
        self.batch(1)
    }

    /// Most items to ask for at once; at least one. Default: 4096.
    pub fn batch(mut self, most: usize) -> Self {
        self.0.most_items = most.max(1);
        self
    }

    /// How long to wait for an item. Default: that of the call, else of the handle, else two minutes. When it
    /// is over the Python code is stopped, as in any call, and the stream ends.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.0.options.limit = Some(Limit::After(limit));
        self
    }

    /// How long all of it may take, from the first item that is asked for. Default: as long as it will. It
    /// is looked at when items are asked for.
    pub fn total_timeout(mut self, limit: Duration) -> Self {
        self.0.total = Some(limit);
        self
    }
}

impl<T: DeserializeOwned + 'static> Iterator for Iter<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        loop {
            if let Some(item) = self.0.ready() {
                return item;
            }
            waiting::now(self.0.fetch::<Thread>());
        }
    }
}

impl<T: DeserializeOwned + 'static> FusedIterator for Iter<T> {}

impl<T> fmt::Debug for Iter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}
