//! Context managers: `with`, around a closure.

#[cfg(feature = "tokio")]
mod task;

use std::any::Any;
use std::error::Error as StdError;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use serde::de::DeserializeOwned;
use snakebridge_wire::Kind;

use crate::call::Call;
use crate::callback::CallbackError;
use crate::draft::Draft;
use crate::error::{Error, ErrorKind};
use crate::refs::Ref;

impl Ref {
    /// `with object as value:`: enters the context manager, runs `body` with what `__enter__` gave, and
    /// leaves it, once, whatever becomes of the body. Gives what the body gave, or `None` where `__exit__`
    /// took care of the body's error.
    ///
    /// An [`Error`] of Python that leaves the body, as it is or boxed, reaches `__exit__` as the very
    /// exception that it was. Any other error is a `RustError` there, with its text; so is a panic, which
    /// goes on afterwards. An exception in `__exit__` takes the place of the body's error. Works for
    /// managers that are made for `async with` as well.
    ///
    /// ```
    /// use snakebridge::{Bridge, Error, Ref};
    ///
    /// let py = Bridge::new()?;
    /// let file: Ref = py.call("tempfile", "TemporaryFile", ("w+",)).wait()?;
    /// let text = file.with(|file: Ref| {
    ///     file.method::<i64>("write", ("hello",)).wait()?;
    ///     file.method::<i64>("seek", (0,)).wait()?;
    ///     file.method::<String>("read", ()).wait()
    /// })?;
    /// assert_eq!(text.as_deref(), Some("hello"));
    /// assert!(file.attr::<bool>("closed").wait()?);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// That of `__enter__`, and then the body does not run; that of the body; that of `__exit__`.
    ///
    /// # Panics
    /// If the body does.
    pub fn with<T, U, E>(&self, body: impl FnOnce(T) -> Result<U, E>) -> Result<Option<U>, E>
    where
        T: DeserializeOwned + 'static,
        E: From<Error> + Display + 'static,
    {
        let entered = match self.enter().wait() {
            Ok(entered) => entered,
            Err(error) => {
                if error.kind() == ErrorKind::Decode {
                    // It was entered, but what that gave does not fit.
                    self.exit(Some(&Failure::error(&error))).wait()?;
                }
                return Err(error.into());
            }
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| body(entered)));
        let left = self.exit(Failure::of(&outcome).as_ref()).wait();
        match outcome {
            Ok(outcome) => after(outcome, left),
            Err(panic) => resume_unwind(panic),
        }
    }

    pub(crate) fn enter<T: DeserializeOwned + 'static>(&self) -> Call<T> {
        Draft::on_ref(Kind::Enter, self).operation("entering").finish()
    }

    /// Whether the failure is taken care of.
    pub(crate) fn exit(&self, failure: Option<&Failure>) -> Call<bool> {
        let exception = failure.and_then(|failure| failure.raised.as_ref());
        let number = exception.and_then(|raised| raised.exception_on(self.worker())).unwrap_or(0);
        let failure = failure.map(|failure| {
            let CallbackError { class, message, causes } = &failure.error;
            (class, message, causes)
        });
        Draft::on_ref(Kind::Exit, self)
            .operation("leaving")
            .item("the number", &number)
            .item("the failure", &failure)
            .finish()
    }
}

/// Why a body did not end well.
pub(crate) struct Failure {
    /// For Python, where the exception is not there any more, or there never was one.
    error: CallbackError,
    /// The error that it was, if it is one of this crate.
    raised: Option<Error>,
}

impl Failure {
    /// That of a body that was run.
    fn of<U, E: Display + 'static>(outcome: &std::thread::Result<Result<U, E>>) -> Option<Self> {
        match outcome {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(Self::error(error)),
            Err(panic) => Some(Self::panic(&**panic)),
        }
    }

    pub(crate) fn error<E: Display + 'static>(error: &E) -> Self {
        match own_error(error) {
            Some(own) => Self { error: own.clone().into(), raised: Some(own.clone()) },
            None => Self { error: CallbackError::new(error), raised: None },
        }
    }

    fn panic(panic: &(dyn Any + Send)) -> Self {
        Self { error: CallbackError::panicked("the body", panic), raised: None }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn cancelled() -> Self {
        let message = "the body was cancelled by the host";
        Self { error: CallbackError::python("builtins.KeyboardInterrupt", message), raised: None }
    }
}

/// What comes of it all.
pub(crate) fn after<U, E: From<Error>>(
    outcome: Result<U, E>,
    left: Result<bool, Error>,
) -> Result<Option<U>, E> {
    match (outcome, left) {
        (Ok(value), Ok(_)) => Ok(Some(value)),
        (Err(_), Ok(true)) => Ok(None),
        (Err(error), Ok(false)) => Err(error),
        // What `__exit__` raises counts. That it could not be called says less than the body does.
        (Err(error), Err(left)) if left.kind() != ErrorKind::Python => Err(error),
        (_, Err(left)) => Err(left.into()),
    }
}

/// The error of this crate that an error is, or holds.
fn own_error<E: 'static>(error: &E) -> Option<&Error> {
    let error: &dyn Any = error;
    let boxed = error.downcast_ref::<Box<dyn StdError + Send + Sync>>();
    let boxed = boxed.and_then(|error| error.downcast_ref());
    let plain = error.downcast_ref::<Box<dyn StdError>>().and_then(|error| error.downcast_ref());
    error.downcast_ref().or(boxed).or(plain)
}
