//! Where output goes in the end.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::WorkerId;
use super::{Output, OutputPiece};

pub(super) struct Sink {
    output: Output,
}

impl Sink {
    pub(super) fn new(output: Output) -> Self {
        Self { output }
    }

    /// Passes on what a worker has printed.
    pub(super) fn printed(&mut self, worker: WorkerId, is_stderr: bool, data: &[u8]) {
        match &self.output {
            Output::Discard => {}
            Output::Handler(handler) => {
                let piece = OutputPiece { worker, is_stderr, data };
                // The panic has printed itself. Without this thread, workers could print no more.
                let _ = catch_unwind(AssertUnwindSafe(|| handler(piece)));
            }
            // Where the host's own output is closed there is nobody to tell.
            Output::Forward if is_stderr => {
                let _ = std::io::stderr().lock().write_all(data);
            }
            Output::Forward => {
                let mut stdout = std::io::stdout().lock();
                let _ = stdout.write_all(data).and_then(|()| stdout.flush());
            }
        }
    }
}
