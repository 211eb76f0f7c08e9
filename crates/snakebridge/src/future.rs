//! Calls that are awaited.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::engine::waiting::task::Task;
use crate::error::Result;
use crate::pending::Pending;
use crate::pipeline::{Batch, Pipeline, Results};

/// A call that is being awaited: what `.await` makes of a [`Call`], a [`Pipeline`], or a [`Batch`].
///
/// It has to be polled on a tokio runtime with I/O and time enabled, of any flavor; elsewhere it gives an
/// error of kind [`Misuse`](crate::ErrorKind::Misuse). The call is made when it is polled for the first
/// time: by the task itself, with no other task or thread in between.
///
/// # Cancel safety
/// Dropping it cancels the call, never blocks, and harms nothing else: a call that waits for a worker leaves the
/// queue; one that runs is interrupted as at the end of its time, and stopped with its worker if it
/// does not end within the grace time of its pool. Whether Python had done its work already is not known
/// then, and its result is lost.
#[must_use = "a call does nothing until it is awaited"]
pub struct CallFuture<R>(Pin<Box<dyn Future<Output = Result<R>> + Send>>);

impl<R: DeserializeOwned + 'static> IntoFuture for Call<R> {
    type Output = Result<R>;
    type IntoFuture = CallFuture<R>;

    fn into_future(self) -> CallFuture<R> {
        CallFuture(Box::pin(self.make::<Task>()))
    }
}

impl<R: DeserializeOwned + 'static> IntoFuture for Pending<R> {
    type Output = Result<R>;
    type IntoFuture = CallFuture<R>;

    fn into_future(self) -> CallFuture<R> {
        CallFuture(Box::pin(self.finish::<Task>()))
    }
}

/// Cancelling it cancels what its calls have not done yet.
impl IntoFuture for Pipeline {
    type Output = Result<Results>;
    type IntoFuture = CallFuture<Results>;

    fn into_future(self) -> CallFuture<Results> {
        CallFuture(Box::pin(self.make::<Task>()))
    }
}

/// Cancelling it cancels what its calls have not done yet.
impl<R: DeserializeOwned + 'static> IntoFuture for Batch<R> {
    type Output = Result<Vec<Result<R>>>;
    type IntoFuture = CallFuture<Vec<Result<R>>>;

    fn into_future(self) -> CallFuture<Vec<Result<R>>> {
        CallFuture(Box::pin(self.make::<Task>()))
    }
}

impl<R> Future for CallFuture<R> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<R>> {
        self.0.as_mut().poll(context)
    }
}

impl<R> fmt::Debug for CallFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFuture").finish_non_exhaustive()
    }
}
