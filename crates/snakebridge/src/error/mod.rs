//! Errors: one type, whose kind says who must act.

mod kind;
mod python;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

pub use kind::{ErrorKind, Retry};
pub use python::{PythonError, TracebackFrame};

use crate::engine::WorkerId;
use snakebridge_pool::WorkerKey;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
///
/// `Display` is one line; `Debug`, and so `unwrap` and a `main` that returns [`Result`], add the
/// traceback of a Python exception and the hint. Cheap to clone.
///
/// ```
/// use snakebridge::{Bridge, ErrorKind};
///
/// let py = Bridge::new()?;
/// let error = py.call::<f64>("math", "sqrt", (-1,)).wait().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Python);
/// assert!(error.to_string().starts_with("math.sqrt raised ValueError: "));
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    /// Without the target.
    message: String,
    target: Option<String>,
    worker: Option<WorkerId>,
    hint: Option<String>,
    python: Option<PythonError>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    retry: Retry,
    /// The exception itself, where its worker keeps it.
    exception: Option<(WorkerKey, u32)>,
}

impl Error {
    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The exception, if Python raised one.
    #[must_use]
    pub fn python(&self) -> Option<&PythonError> {
        self.0.python.as_ref()
    }

    /// What was called: `math.sqrt`, or `.append` for a method.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.0.target.as_deref()
    }

    /// The worker on which it happened.
    #[must_use]
    pub fn worker(&self) -> Option<WorkerId> {
        self.0.worker
    }

    /// Whether the call may be made again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// What can be done about it, in a sentence.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retry = match kind {
            ErrorKind::Timeout | ErrorKind::WorkerLost | ErrorKind::Protocol => Retry::IfIdempotent,
            ErrorKind::Busy | ErrorKind::Saturated => Retry::Safe,
            _ => Retry::Never,
        };
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            target: None,
            worker: None,
            hint: None,
            python: None,
            source: None,
            retry,
            exception: None,
        }))
    }

    pub(crate) fn raised(python: PythonError) -> Self {
        let hint = hint_for(&python);
        let mut error = Self::new(ErrorKind::Python, format!("raised {python}"));
        error.inner().python = Some(python);
        error.inner().hint = hint;
        error
    }

    /// The number under which this worker keeps the exception.
    pub(crate) fn exception_on(&self, worker: WorkerKey) -> Option<u32> {
        self.0.exception.filter(|(on, _)| *on == worker).map(|(_, number)| number)
    }

    #[must_use]
    pub(crate) fn with_exception(mut self, worker: WorkerKey, number: u32) -> Self {
        self.inner().exception = Some((worker, number));
        self
    }

    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.inner().hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn with_target(mut self, target: impl Into<String>) -> Self {
        self.inner().target = Some(target.into());
        self
    }

    #[must_use]
    pub(crate) fn with_worker(mut self, worker: WorkerId) -> Self {
        self.inner().worker = Some(worker);
        self
    }

    #[must_use]
    pub(crate) fn with_retry(mut self, retry: Retry) -> Self {
        self.inner().retry = retry;
        self
    }

    #[must_use]
    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.inner().source = Some(Arc::new(source));
        self
    }

    fn inner(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }
}

/// What helps with the exceptions that newcomers meet first.
fn hint_for(python: &PythonError) -> Option<String> {
    let message = python.message();
    match python.type_name() {
        "ModuleNotFoundError" => {
            let name = message.split('\'').nth(1)?;
            // Of `a.b` the module `a` is there: no package to install, but a name to correct.
            if name.contains('.') {
                return None;
            }
            Some(format!(
                "install the package that provides `{name}` for the worker's Python, or add the \
                 folder of the module with `module_path`; `snakebridge version` shows which \
                 Python is used"
            ))
        }
        "TypeError" if message.contains("encoded before") || message.contains("bytes-like") => {
            Some("Python wants bytes here: pass `Bytes::from(..)` instead of text".to_owned())
        }
        _ => None,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.target, self.0.kind) {
            (Some(target), ErrorKind::Python) => write!(f, "{target} {}", self.0.message),
            (Some(target), _) => write!(f, "{target}: {}", self.0.message),
            (None, _) => f.write_str(&self.0.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, "\n  caused by: {cause}")?;
            source = cause.source();
        }
        if let Some(python) = self.python() {
            write!(f, "\n\n{}", python.traceback().trim_end())?;
        }
        if let Some(hint) = self.hint() {
            write!(f, "\n\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
