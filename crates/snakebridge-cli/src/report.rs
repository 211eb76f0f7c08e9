//! Failures, as people read them on standard error.

use std::io::{self, Write as _};

use snakebridge::{Error, ErrorKind};

use crate::color::{ERROR, FAINT, HINT};
use crate::{exit_code, python};

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line cannot be used.
    Usage(String),
    /// The bridge, or Python, failed.
    Call(Error),
    /// The result could not be written.
    Output(io::Error),
    /// Something else.
    Other(String),
    /// All has been said already.
    Exit(u8),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl Failure {
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::Other(message.into())
    }
}

/// Prints the error, Python's traceback and a hint, and gives the exit code.
pub(crate) fn report(failure: &Failure) -> u8 {
    let (message, code) = match failure {
        Failure::Usage(message) => (message.clone(), exit_code::USAGE),
        Failure::Call(error) => (of_command(error), code_of(error.kind())),
        Failure::Output(error) => (format!("cannot write the result: {error}"), exit_code::OTHER),
        Failure::Other(message) => (message.clone(), exit_code::OTHER),
        Failure::Exit(code) => return *code,
    };
    // The text of an exception may have many lines; the traceback below has them all.
    let first = message.lines().next().unwrap_or_default();
    let mut text = format!("{ERROR}error:{ERROR:#} {first}\n");
    if let Failure::Call(error) = failure {
        text.push_str(&traceback(error));
        text.push_str(&said(error));
        if let Some(hint) = hint(error) {
            text.push_str(&format!("\n{HINT}hint:{HINT:#} {hint}\n"));
        }
    }
    // Nobody is left to tell where standard error is closed.
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
    code
}

/// The message, without names of our own code.
fn of_command(error: &Error) -> String {
    let message = error.to_string();
    match error.target().filter(|target| target.starts_with("snakebridge_cli.")) {
        Some(target) => {
            let rest = message.strip_prefix(target).unwrap_or(&message);
            let rest = rest.strip_prefix(": ").or_else(|| rest.strip_prefix(" raised "));
            rest.unwrap_or(&message).to_owned()
        }
        None => message,
    }
}

fn code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Python => exit_code::RAISED,
        ErrorKind::Config | ErrorKind::HelperNotFound | ErrorKind::NotAllowed => exit_code::USAGE,
        ErrorKind::Spawn | ErrorKind::Incompatible => exit_code::NO_PYTHON,
        ErrorKind::WorkerLost | ErrorKind::RefLost => exit_code::WORKER_LOST,
        ErrorKind::Timeout => exit_code::TIMEOUT,
        _ => exit_code::OTHER,
    }
}

/// Python's traceback, if it says more than the message: without the frames of our own code.
fn traceback(error: &Error) -> String {
    // The cause of a lost worker is what it printed last, which was passed on already.
    let whole = error.python().map(|python| python.traceback()).unwrap_or_default();
    let own = format!("  File \"{}\", line ", python::FILE);
    let lines: Vec<&str> = whole.lines().filter(|line| !line.starts_with(&own)).collect();
    let frames = lines.iter().filter(|line| line.starts_with("  File ")).count();
    match (frames, lines.len()) {
        (_, 0 | 1) => String::new(),
        // Nothing is left below its heading.
        (0, 2) if lines[0].starts_with("Traceback") => String::new(),
        _ => lines.join("\n") + "\n",
    }
}

/// The last that uv or pip said, where one of them could not make an environment.
fn said(error: &Error) -> String {
    if error.kind() != ErrorKind::Environment {
        return String::new();
    }
    let whole = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    // The first line is a heading.
    let lines: Vec<&str> = whole.lines().skip(1).collect();
    let last = &lines[lines.len().saturating_sub(SAID_LINES)..];
    last.iter().map(|line| format!("  {FAINT}{line}{FAINT:#}\n")).collect()
}

/// About a screen: `snakebridge setup --verbose` shows all.
const SAID_LINES: usize = 30;

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
