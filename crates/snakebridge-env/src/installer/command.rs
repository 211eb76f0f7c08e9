//! Running a tool to its end, with a limit of time, and telling what it prints.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Instant;

use crate::diagnosis::diagnose;
use crate::error::{EnvError, EnvErrorKind};
use crate::progress::{Progress, ProgressEvent};
use crate::secrets::redacted;

/// How a tool is run.
pub(crate) struct Run<'a> {
    /// What it is for: "cannot install packages" is what an error begins with, without "cannot".
    pub(crate) what: &'a str,
    pub(crate) lock: Option<&'a File>,
    pub(crate) until: Instant,
    pub(crate) progress: &'a Progress,
}

/// How many of the last lines are kept for errors.
const KEPT_LINES: usize = 200;

impl Run<'_> {
    /// Gives the last lines that it has printed.
    pub(crate) fn run(&self, command: &mut Command) -> Result<Vec<String>, EnvError> {
        // The lock is held by whoever has the open file, so by the tool too: when this process is
        // killed, nobody else begins before the tool has ended. What it reads there is the end.
        let stdin = match self.lock.map(File::try_clone) {
            Some(Ok(lock)) => Stdio::from(lock),
            Some(Err(_)) | None => Stdio::null(),
        };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|error| {
            let message = format!("cannot {}: `{name}` cannot be run: {error}", self.what);
            EnvError::new(EnvErrorKind::Other, message)
        })?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            read_lines(stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            read_lines(stderr, sender);
        }
        let mut kept: Vec<String> = Vec::new();
        loop {
            match lines.recv_timeout(self.until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let line = redacted(&line);
                    self.progress.tell(&ProgressEvent::Line(&line));
                    if kept.len() == KEPT_LINES {
                        kept.remove(0);
                    }
                    kept.push(line);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    // Not what it has started: that would need a process group of its own, which the
                    // Ctrl-C of a terminal does not reach.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(self.too_slow(&kept));
                }
            }
        }
        let status = child.wait().map_err(|error| {
            EnvError::new(EnvErrorKind::Other, format!("cannot {}: {error}", self.what))
        })?;
        match status.success() {
            true => Ok(kept),
            false => Err(self.failed(&kept)),
        }
    }

    fn too_slow(&self, said: &[String]) -> EnvError {
        let kind = EnvErrorKind::Timeout;
        let last = said.last().map(|line| format!(", the last it said is `{line}`"));
        let message =
            format!("cannot {} in the time there is{}", self.what, last.unwrap_or_default());
        EnvError::new(kind, message).with_hint(kind.hint()).with_said(said.join("\n"))
    }

    fn failed(&self, said: &[String]) -> EnvError {
        let found = diagnose(said);
        let why = match found.kind {
            EnvErrorKind::Network => "the package index cannot be reached: ",
            EnvErrorKind::Credentials => "the package index refuses access: ",
            EnvErrorKind::NoSpace => "there is no space left: ",
            EnvErrorKind::Conflict => "the packages cannot be installed together: ",
            _ => "",
        };
        EnvError::new(found.kind, format!("cannot {}: {why}{}", self.what, found.line))
            .with_hint(found.kind.hint())
            .with_said(said.join("\n"))
    }
}

fn read_lines(from: impl Read + Send + 'static, to: Sender<String>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        // An error is an end: the process says how it has ended.
        while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if !text.is_empty() && to.send(text).is_err() {
                return;
            }
        }
    });
}
