//! Failures, as people read them on standard error.

use std::io::{self, Write as _};

use snakebridge::{Error, ErrorKind};

use crate::exit_code;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line cannot be used.
    Usage(String),
    /// The bridge, or Python, failed.
    Call(Error),
    /// The result could not be written.
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

/// Prints the error, Python's traceback and a hint, and gives the exit code.
pub(crate) fn report(failure: &Failure) -> u8 {
    let (message, code) = match failure {
        Failure::Usage(message) => (message.clone(), exit_code::USAGE),
        Failure::Call(error) => (error.to_string(), code_of(error.kind())),
        Failure::Output(error) => (format!("cannot write the result: {error}"), exit_code::OTHER),
    };
    // The text of an exception may have many lines; the traceback below has them all.
    let mut text = format!("error: {}\n", message.lines().next().unwrap_or_default());
    if let Failure::Call(error) = failure {
        // The cause of a lost worker is what it printed last, which was passed on already.
        if let Some(traceback) = error.python().map(|python| python.traceback()) {
            // A single line says what the first one said.
            if traceback.trim_end().contains('\n') {
                text.push_str(&traceback);
            }
        }
        if let Some(hint) = hint(error) {
            text.push_str(&format!("\nhint: {hint}\n"));
        }
    }
    // Nobody is left to tell where standard error is closed.
    let _ = io::stderr().lock().write_all(text.as_bytes());
    code
}

fn code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Python => exit_code::RAISED,
        ErrorKind::Config => exit_code::USAGE,
        ErrorKind::Spawn | ErrorKind::Incompatible => exit_code::NO_PYTHON,
        ErrorKind::WorkerLost | ErrorKind::RefLost => exit_code::WORKER_LOST,
        ErrorKind::Timeout => exit_code::TIMEOUT,
        _ => exit_code::OTHER,
    }
}

/// The library's hints name its own API; here they name the options of the command.
fn hint(error: &Error) -> Option<String> {
    let raised = error.python().map(|python| python.type_name());
    let hint = error.hint()?;
    Some(match (error.kind(), raised) {
        (ErrorKind::Timeout, _) => "allow it more time with `--timeout SECONDS`".to_owned(),
        (ErrorKind::Spawn | ErrorKind::Incompatible, _) => {
            hint.replace("`Bridge::builder().python(..)`", "`--python SPEC`")
        }
        (ErrorKind::Python, Some("ModuleNotFoundError")) => {
            hint.replace("`module_path`", "`--path DIR`")
        }
        (ErrorKind::Python, Some("TypeError")) => {
            "Python wants bytes here: write them as `\"b'..'\"`".to_owned()
        }
        _ => hint.to_owned(),
    })
}
