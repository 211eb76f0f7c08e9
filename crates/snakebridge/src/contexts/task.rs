//! Context managers around async code.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{Failure, after};
use crate::engine::waiting::task::no_runtime;
use crate::error::{Error, ErrorKind};
use crate::refs::Ref;

impl Ref {
    /// [`with`](Self::with) around async code.
    ///
    /// A task of its own enters and leaves the context manager, so that `__exit__` runs, once, also where the
    /// body panics and where the future is dropped; it sees a `KeyboardInterrupt` then. Only the end of the
    /// runtime can keep it from that.
    ///
    /// ```
    /// use snakebridge::{Bridge, Ref};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> snakebridge::Result<()> {
    /// let py = Bridge::new()?;
    /// let file: Ref = py.call("tempfile", "TemporaryFile", ("w+",)).await?;
    /// let count = file
    ///     .with_async(async |file: Ref| file.method::<i64>("write", ("hello",)).await)
    ///     .await?;
    /// assert_eq!(count, Some(5));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Dropping the future cancels the body; `__exit__` runs nevertheless.
    ///
    /// # Errors
    /// As for [`with`](Self::with).
    pub async fn with_async<T, U, E>(
        &self,
        body: impl AsyncFnOnce(T) -> Result<U, E>,
    ) -> Result<Option<U>, E>
    where
        T: DeserializeOwned + Send + 'static,
        E: From<Error> + Display + 'static,
    {
        Handle::try_current().map_err(|_| no_runtime())?;
        let (give, entered) = oneshot::channel();
        let (leave, left) = oneshot::channel();
        let keeper = tokio::spawn(keep(self.clone(), give, left));
        let entered = entered.await.map_err(|_| gone())??;
        let outcome = body(entered).await;
        // Where it is dropped instead, the body has not come to its end.
        let _ = leave.send(outcome.as_ref().err().map(Failure::error));
        after(outcome, keeper.await.unwrap_or_else(|_| Err(gone())))
    }
}

/// Enters a context manager and leaves it when the body has ended, or is no more.
async fn keep<T: DeserializeOwned + Send + 'static>(
    manager: Ref,
    give: oneshot::Sender<Result<T, Error>>,
    left: oneshot::Receiver<Option<Failure>>,
) -> Result<bool, Error> {
    let failure = match manager.enter().await {
        Ok(entered) => match give.send(Ok(entered)) {
            Ok(()) => left.await.unwrap_or_else(|_| Some(Failure::cancelled())),
            Err(_) => Some(Failure::cancelled()),
        },
        Err(error) => {
            // It was entered if only what that gave does not fit.
            let failure = (error.kind() == ErrorKind::Decode).then(|| Failure::error(&error));
            let _ = give.send(Err(error));
            match failure {
                Some(failure) => Some(failure),
                None => return Ok(false),
            }
        }
    };
    manager.exit(failure.as_ref()).await
}

fn gone() -> Error {
    Error::new(ErrorKind::Misuse, "the tokio runtime was shut down inside of a context manager")
}
