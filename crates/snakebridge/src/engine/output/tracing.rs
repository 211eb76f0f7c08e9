//! What workers put out, as events of `tracing`.

use std::collections::HashMap;

use ::tracing::Level;

use super::super::WorkerId;
use super::event::{LogRecord, WarningRecord};

/// Passes on to `tracing` what workers print, line by line, and what they log.
#[derive(Debug, Default)]
pub(super) struct Tracing {
    /// Lines that have not ended yet, by worker and stream.
    begun: HashMap<(WorkerId, bool), Vec<u8>>,
}

/// From here on a line is passed on before its end.
const LONGEST_LINE: usize = 1 << 16;

impl Tracing {
    pub(super) fn printed(&mut self, worker: WorkerId, is_stderr: bool, data: &[u8]) {
        let begun = self.begun.entry((worker, is_stderr)).or_default();
        begun.extend_from_slice(data);
        let whole = begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in begun[..whole].split_inclusive(|byte| *byte == b'\n') {
            line_printed(worker, is_stderr, line);
        }
        begun.drain(..whole);
        if begun.len() >= LONGEST_LINE {
            line_printed(worker, is_stderr, begun);
            begun.clear();
        }
    }

    /// No more will come.
    pub(super) fn ended(&mut self, worker: WorkerId, is_stderr: bool) {
        if let Some(begun) = self.begun.remove(&(worker, is_stderr))
            && !begun.is_empty()
        {
            line_printed(worker, is_stderr, &begun);
        }
    }
}

fn line_printed(worker: WorkerId, is_stderr: bool, line: &[u8]) {
    let text = String::from_utf8_lossy(line);
    let line = text.trim_end_matches(['\r', '\n']);
    let worker = worker.0;
    match is_stderr {
        true => ::tracing::info!(target: "snakebridge::stderr", worker, "{line}"),
        false => ::tracing::info!(target: "snakebridge::stdout", worker, "{line}"),
    }
}

pub(super) fn logged(record: &LogRecord) {
    // A level has to be known when the program is compiled.
    macro_rules! event {
        ($level:expr) => {
            ::tracing::event!(
                target: "snakebridge::log",
                $level,
                worker = record.worker.0,
                logger = record.logger,
                call = record.call,
                session = record.session,
                exception = record.exception,
                python.level = record.level_name,
                python.file = record.file,
                python.line = record.line,
                "{}",
                record.message
            )
        };
    }
    match record.level {
        40.. => event!(Level::ERROR),
        30.. => event!(Level::WARN),
        20.. => event!(Level::INFO),
        10.. => event!(Level::DEBUG),
        _ => event!(Level::TRACE),
    }
}

pub(super) fn warned(warning: &WarningRecord) {
    ::tracing::warn!(
        target: "snakebridge::warning",
        worker = warning.worker.0,
        category = warning.category,
        call = warning.call,
        session = warning.session,
        python.file = warning.file,
        python.line = warning.line,
        "{}",
        warning.message
    );
}

pub(super) fn dropped(worker: WorkerId, count: u64) {
    ::tracing::warn!(
        target: "snakebridge::log",
        worker = worker.0,
        count,
        "log records and warnings were left out: there were too many"
    );
}

pub(super) fn fork_server_lost(worker: WorkerId, how: &str) {
    ::tracing::warn!(
        target: "snakebridge::worker",
        worker = worker.0,
        "the fork server {how}, and its workers with it"
    );
}
