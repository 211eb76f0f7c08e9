//! One function with many arguments.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Pipeline;
use crate::args::IntoArgs;
use crate::bridge::Bridge;
use crate::engine::waiting::{self, Thread, Wait};
use crate::error::Result;
use crate::options::CallOptions;

/// One function that is called with many arguments, in one exchange: a [`Pipeline`] whose calls are all alike.
///
/// Made by [`Bridge::batch`].
#[must_use = "a batch does nothing until it is waited for"]
pub struct Batch<R> {
    pipeline: Pipeline,
    result: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned + 'static> Batch<R> {
    pub(crate) fn new(
        bridge: &Bridge,
        module: &str,
        function: &str,
        inputs: impl IntoIterator<Item: IntoArgs>,
    ) -> Self {
        let mut pipeline = Pipeline::new(bridge);
        for args in inputs {
            pipeline.add(bridge.call::<R>(module, function, args).into_raw());
        }
        Self { pipeline, result: PhantomData }
    }

    /// How long all of it may take; see [`Call::timeout`](crate::Call::timeout).
    pub fn timeout(self, limit: Duration) -> Self {
        Self { pipeline: self.pipeline.timeout(limit), ..self }
    }

    /// Lets it take as long as it will.
    pub fn no_timeout(self) -> Self {
        Self { pipeline: self.pipeline.no_timeout(), ..self }
    }

    /// Sets all options that `options` has a word on, for the batch as a whole.
    pub fn options(self, options: &CallOptions) -> Self {
        Self { pipeline: self.pipeline.options(options), ..self }
    }

    /// Makes the calls and blocks until all of them are done. Gives the outcome of each, in the order of the
    /// arguments.
    ///
    /// # Errors
    /// As for [`Pipeline::wait`].
    pub fn wait(self) -> Result<Vec<Result<R>>> {
        waiting::now(self.make::<Thread>())
    }

    pub(crate) async fn make<W: Wait>(self) -> Result<Vec<Result<R>>> {
        self.pipeline.outcomes::<R, W>(|_, value| R::deserialize(value)).await
    }
}

impl<R> fmt::Debug for Batch<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.pipeline.len()).finish_non_exhaustive()
    }
}
