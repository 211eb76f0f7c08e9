//! How workers end, and what is said of it.

use std::fmt;
use std::process::ExitStatus;

use snakebridge_pool::WorkerKey;

use super::WorkerId;
use super::output::Tail;
use crate::error::{Error, ErrorKind};

/// How a worker ended.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    /// Its exit status, or that of its fork server if it was lost with that.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) with_fork_server: bool,
    /// The last that it wrote to its standard error.
    pub(crate) tail: Tail,
}

impl Loss {
    /// How the worker ended, after "the worker".
    pub(crate) fn describe(&self) -> String {
        let how = self.describe_status();
        match self.with_fork_server {
            true => format!("was lost with its fork server, which {how}"),
            false => how,
        }
    }

    fn describe_status(&self) -> String {
        use std::os::unix::process::ExitStatusExt as _;
        let Some(status) = self.status else { return "was given up".to_owned() };
        match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with code {code}"),
            (None, Some(signal)) => format!("was killed by {}", signal_name(signal)),
            (None, None) => format!("ended: {status}"),
        }
    }

    /// What it wrote to its standard error at last; waits a moment for the end of it, so this is not
    /// for the supervisor.
    pub(crate) fn last_words(&self) -> Option<LastWords> {
        Some(self.tail.last_text()).filter(|text| !text.is_empty()).map(LastWords)
    }
}

/// What a lost worker wrote to its standard error at last.
#[derive(Debug)]
pub(crate) struct LastWords(pub(crate) String);

impl fmt::Display for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the worker's last output was:\n{}", self.0)
    }
}

impl std::error::Error for LastWords {}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({name})")
}

pub(super) fn ref_lost(worker: WorkerKey, loss: Option<&Loss>) -> Error {
    let how = loss.map_or_else(|| "has ended".to_owned(), Loss::describe);
    Error::new(ErrorKind::RefLost, format!("the ref is lost: the worker that held it {how}"))
        .with_worker(WorkerId(worker.slot))
        .with_hint("make the object again; a new worker has taken the place of the old one")
}
