//! What workers put out, for programs that take it.

use std::fmt;

use snakebridge_wire::{Limits, Tape};

use super::super::WorkerId;

/// Something that a worker puts out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutputEvent<'a> {
    /// It printed something.
    Printed(OutputPiece<'a>),
    /// Its code has logged something, with Python's `logging`.
    Log(LogRecord),
    /// Its code was warned of something, with Python's `warnings`.
    Warning(WarningRecord),
    /// It has logged, or was warned, so often that some of that was left out.
    Dropped {
        /// The worker.
        worker: WorkerId,
        /// How many log records and warnings were left out.
        count: u64,
    },
    /// The process that the workers of its pool are forked from has ended, and they with it; see
    /// [`Pool::fork_server`](crate::Pool::fork_server). The next worker begins a new one.
    ForkServerLost {
        /// The worker for which it was started.
        worker: WorkerId,
        /// How it has ended: "was killed by signal 9 (SIGKILL)".
        how: String,
    },
}

/// A piece of what a worker printed: as many bytes as came at once, not necessarily whole lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutputPiece<'a> {
    /// Who printed it.
    pub worker: WorkerId,
    /// Whether it was printed to standard error.
    pub is_stderr: bool,
    /// What was printed.
    pub data: &'a [u8],
}

/// A log record. Text of more than 100,000 characters is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRecord {
    /// The worker whose code has logged it.
    pub worker: WorkerId,
    /// The level as a number: 10 for `DEBUG`, 20 for `INFO`, 30 for `WARNING`, 40 for `ERROR`, 50
    /// for `CRITICAL`, or any other.
    pub level: i64,
    /// The name of the level.
    pub level_name: String,
    /// The name of the logger.
    pub logger: String,
    /// The message, with its arguments in it.
    pub message: String,
    /// The traceback of an exception that was logged along.
    pub exception: Option<String>,
    /// The source file that has logged it.
    pub file: String,
    /// The line in the file.
    pub line: u32,
    /// The call during which it came, as `module.function` or `module.Class.method`; `None` for
    /// code of other threads than that of the call, and where there is no call.
    pub call: Option<String>,
    /// Id of the session of that call.
    pub session: Option<String>,
}

/// A warning. Text of more than 100,000 characters is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarningRecord {
    /// The worker whose code was warned.
    pub worker: WorkerId,
    /// The class of the warning: `DeprecationWarning`.
    pub category: String,
    /// What it says.
    pub message: String,
    /// The source file that it is about.
    pub file: String,
    /// The line in the file.
    pub line: u32,
    /// The call during which it came; see [`LogRecord::call`].
    pub call: Option<String>,
    /// Id of the session of that call.
    pub session: Option<String>,
}

impl OutputEvent<'_> {
    /// The worker that it comes from.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        match self {
            Self::Printed(piece) => piece.worker,
            Self::Log(record) => record.worker,
            Self::Warning(warning) => warning.worker,
            Self::Dropped { worker, .. } | Self::ForkServerLost { worker, .. } => *worker,
        }
    }

    pub(super) fn set_session(&mut self, id: Option<String>) {
        match self {
            Self::Log(record) => record.session = id,
            Self::Warning(warning) => warning.session = id,
            Self::Printed(_) | Self::Dropped { .. } | Self::ForkServerLost { .. } => {}
        }
    }
}

impl LogRecord {
    /// The body of a frame of this kind.
    pub(crate) fn parse(worker: WorkerId, body: &[u8]) -> Option<Self> {
        let tape = Tape::scan(body, Limits::DEFAULT).ok()?;
        let (level, level_name, logger, message, exception, file, line, call) =
            tape.decode().ok()?;
        let session = None;
        Some(Self {
            worker,
            level,
            level_name,
            logger,
            message,
            exception,
            file,
            line,
            call,
            session,
        })
    }
}

impl WarningRecord {
    /// The body of a frame of this kind.
    pub(crate) fn parse(worker: WorkerId, body: &[u8]) -> Option<Self> {
        let tape = Tape::scan(body, Limits::DEFAULT).ok()?;
        let (category, message, file, line, call) = tape.decode().ok()?;
        Some(Self { worker, category, message, file, line, call, session: None })
    }
}

/// The count in the body of a frame of this kind.
pub(crate) fn parse_dropped(body: &[u8]) -> Option<u64> {
    let (count,) = Tape::scan(body, Limits::DEFAULT).ok()?.decode().ok()?;
    Some(count)
}

/// As Python prints it where nothing else is configured.
impl fmt::Display for LogRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.level_name, self.logger, self.message)?;
        self.exception.as_ref().map_or(Ok(()), |exception| write!(f, "\n{exception}"))
    }
}

/// As Python prints it, but for the line of source.
impl fmt::Display for WarningRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.category, self.message)
    }
}
