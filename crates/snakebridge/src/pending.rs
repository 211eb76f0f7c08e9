//! Calls that were sent, and whose results are wanted later.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::call::{Begun, Call, RawCall};
use crate::engine::waiting::{self, Thread, Wait};
use crate::error::Result;

/// A call that was sent: what [`Call::start`] gives. Its result can be waited for once.
///
/// The call keeps its worker until it is waited for or dropped. Its time goes on from when it was started,
/// but is looked at only by who waits; functions of the program that it calls run when it is waited for.
///
/// Dropping it cancels the call, never blocks, and harms nothing else: Python is interrupted as at the end of
/// its time, and stopped with its worker if it does not end within the grace time of its pool.
///
/// A call that is started inside of a callback, and would be served by the worker that waits for that, is
/// not sent before it is waited for.
#[must_use = "dropping it cancels the call"]
pub struct Pending<R> {
    call: RawCall,
    begun: Result<Begun>,
    result: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned + 'static> Pending<R> {
    pub(crate) async fn start<W: Wait>(call: Call<R>) -> Self {
        let mut call = call.into_raw();
        let begun = call.begin::<W>().await;
        Self { call, begun, result: PhantomData }
    }

    /// Blocks until the result is there.
    ///
    /// # Errors
    /// As for [`Call::wait`].
    pub fn wait(self) -> Result<R> {
        waiting::now(self.finish::<Thread>())
    }

    pub(crate) async fn finish<W: Wait>(mut self) -> Result<R> {
        self.call.finish::<R, W>(self.begun?).await
    }
}

impl<R> fmt::Debug for Pending<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("target", &self.call.target()).finish_non_exhaustive()
    }
}
