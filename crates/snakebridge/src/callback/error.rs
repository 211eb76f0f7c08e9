//! Why a callback failed, and which exception that becomes.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;

use crate::error::Error;

/// Why a callback failed. Python sees an exception.
///
/// Any error becomes one with `?`: its text is the message, its sources are the causes, and the class
/// is `RustError`, a `RuntimeError`. An [`Error`](crate::Error) that came from Python becomes an
/// exception of the same class again. [`python`](Self::python) names a class.
///
/// ```
/// use snakebridge::{Bridge, CallbackError};
///
/// let py = Bridge::new()?;
/// let parse = py.callback(|text: String| Ok(text.parse::<u16>()?));
/// let strict = py.callback(|n: i64| match n {
///     0.. => Ok(n),
///     _ => Err(CallbackError::python("builtins.ValueError", "expected no negative number")),
/// });
/// let error = py.call::<Vec<i64>>("builtins", "list", (["x"],)).wait();
/// # let _ = error;
/// let error = py.call::<i64>("builtins", "max", ([1, 2],)).wait()?;
/// # assert_eq!(error, 2);
/// let sorted = snakebridge::args![[3, -1], key = &strict];
/// let error = py.call::<Vec<i64>>("builtins", "sorted", sorted).wait().unwrap_err();
/// assert_eq!(error.python().unwrap().type_name(), "ValueError");
/// let sorted = snakebridge::args![["7", "x"], key = &parse];
/// let error = py.call::<Vec<String>>("builtins", "sorted", sorted).wait().unwrap_err();
/// assert_eq!(error.python().unwrap().message(), "invalid digit found in string");
/// # Ok::<(), snakebridge::Error>(())
/// ```
pub struct CallbackError {
    /// The exception's class with its module; empty for none in particular.
    pub(crate) class: String,
    pub(crate) message: String,
    /// What caused it, the nearest first.
    pub(crate) causes: Vec<String>,
}

impl CallbackError {
    /// A failure with this text.
    #[must_use]
    pub fn new(message: impl fmt::Display) -> Self {
        Self::python("", message)
    }

    /// A failure that is an exception of this class in Python. The class is given with its module,
    /// `builtins.ValueError`, which must have been imported, and is made with the text as its only
    /// argument; where that cannot be done it is a `RustError` with both in its text.
    #[must_use]
    pub fn python(class: &str, message: impl fmt::Display) -> Self {
        Self { class: class.to_owned(), message: message.to_string(), causes: Vec::new() }
    }
}

impl CallbackError {
    /// A failure of something that has panicked.
    pub(crate) fn panicked(what: &str, panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::new(format_args!("{what} panicked: {}", text.unwrap_or("no text")))
    }
}

impl<E: StdError + 'static> From<E> for CallbackError {
    fn from(error: E) -> Self {
        let mut out = Self::new(&error);
        let mut source = error.source();
        while let Some(cause) = source {
            out.causes.push(cause.to_string());
            source = cause.source();
        }
        let python = (&error as &dyn Any).downcast_ref::<Error>().and_then(Error::python);
        if let Some(python) = python {
            out.class = format!("{}.{}", python.module(), python.qualname());
            python.message().clone_into(&mut out.message);
        }
        out
    }
}

impl fmt::Debug for CallbackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.class {
            "" => f.write_str(&self.message)?,
            class => write!(f, "{class}: {}", self.message)?,
        }
        self.causes.iter().try_for_each(|cause| write!(f, "\n  caused by: {cause}"))
    }
}

impl fmt::Display for CallbackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
