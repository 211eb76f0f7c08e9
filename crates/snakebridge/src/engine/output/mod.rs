//! What workers print: read from their standard output and error, and passed on.
//!
//! A thread of its own does this, because whoever reads the host's output may be slow, and that
//! must not hold up anything else.

mod event;
mod pump;
mod sink;
mod tail;
#[cfg(feature = "tracing")]
mod tracing;

use std::fmt;
use std::sync::Arc;

pub(crate) use event::parse_dropped;
pub use event::{LogRecord, OutputEvent, OutputPiece, WarningRecord};
pub(crate) use pump::{Approval, Event, Pump, Source};
pub(crate) use tail::{TAIL_LIMIT, Tail};

/// What becomes of that which Python code, C code or children of a worker print, and of what Python
/// code logs.
///
/// It never mixes with the protocol, which has pipes of its own.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use snakebridge::{Bridge, Output, OutputEvent};
///
/// let seen = Arc::new(Mutex::new(Vec::new()));
/// let sink = Arc::clone(&seen);
/// let output = Output::Handler(Arc::new(move |event| match event {
///     OutputEvent::Log(record) => sink.lock().unwrap().push(record.message),
///     _ => {}
/// }));
/// let py = Bridge::builder().output(output).build()?;
/// py.exec("logging", "error", ("no %s left", "disk")).wait()?;
/// py.shutdown(); // waits for the last of the output
/// assert_eq!(*seen.lock().unwrap(), ["no disk left"]);
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Output {
    /// Standard output goes to that of the host, standard error likewise. Log records and warnings
    /// go where Python's own configuration says: to standard error, where it says nothing. The
    /// default.
    #[default]
    Forward,
    /// Nothing is shown. The last lines of standard error still appear in errors about the loss of
    /// a worker.
    Discard,
    /// Each event is given to a function: what is printed, and every log record and warning that
    /// Python's own levels and filters let pass. Handlers that Python code has configured see log
    /// records too; where there are none, records and warnings are not printed as well.
    ///
    /// The function runs on a thread of the bridge, one event at a time. It must not call Python
    /// through the bridge: a worker that prints waits until its output is taken. It may drop the
    /// bridge or shut it down, which then goes on by itself. Log records and warnings never keep
    /// their worker waiting: of a worker that makes them faster than they are taken, some are left
    /// out, and [`OutputEvent::Dropped`] says how many.
    Handler(Arc<dyn Fn(OutputEvent<'_>) + Send + Sync>),
    /// Everything becomes events of the `tracing` crate, with the number of the `worker`:
    ///
    /// | target | level | message | fields |
    /// | --- | --- | --- | --- |
    /// | `snakebridge::stdout` | `INFO` | a line | |
    /// | `snakebridge::stderr` | `INFO` | a line | |
    /// | `snakebridge::log` | that of the record | that of the record | `logger`, `call`, `session`, `exception`, `python.level`, `python.file`, `python.line` |
    /// | `snakebridge::warning` | `WARN` | that of the warning | `category`, `call`, `session`, `python.file`, `python.line` |
    /// | `snakebridge::worker` | `WARN` | that a fork server was lost | |
    ///
    /// Python's `CRITICAL` becomes `ERROR`, levels below `DEBUG` become `TRACE`, and levels of one's
    /// own the next lower one. Needs the feature `tracing`.
    #[cfg(feature = "tracing")]
    Tracing,
}

pub(crate) type Handler = Arc<dyn Fn(OutputEvent<'_>) + Send + Sync>;

impl Output {
    /// Whether log records and warnings go anywhere.
    pub(crate) fn wants_events(&self) -> bool {
        !matches!(self, Self::Forward | Self::Discard)
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "Forward",
            Self::Discard => "Discard",
            Self::Handler(_) => "Handler(..)",
            #[cfg(feature = "tracing")]
            Self::Tracing => "Tracing",
        })
    }
}
