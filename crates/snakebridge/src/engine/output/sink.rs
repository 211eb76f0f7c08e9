//! Where output goes in the end.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::WorkerId;
use super::event::{OutputEvent, OutputPiece};
#[cfg(feature = "tracing")]
use super::tracing::{self, Tracing};
use super::{Handler, Output};

pub(super) struct Sink {
    output: Output,
    #[cfg(feature = "tracing")]
    tracing: Tracing,
}

impl Sink {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            #[cfg(feature = "tracing")]
            tracing: Tracing::default(),
        }
    }

    /// Passes on what a worker has printed.
    pub(super) fn printed(&mut self, worker: WorkerId, is_stderr: bool, data: &[u8]) {
        match &self.output {
            Output::Discard => {}
            Output::Handler(handler) => {
                handle(handler, OutputEvent::Printed(OutputPiece { worker, is_stderr, data }));
            }
            // Where the host's own output is closed there is nobody to tell.
            Output::Forward if is_stderr => {
                let _ = std::io::stderr().lock().write_all(data);
            }
            Output::Forward => {
                let mut stdout = std::io::stdout().lock();
                let _ = stdout.write_all(data).and_then(|()| stdout.flush());
            }
            #[cfg(feature = "tracing")]
            Output::Tracing => self.tracing.printed(worker, is_stderr, data),
        }
    }

    /// A worker has printed its last on this stream.
    pub(super) fn ended(&mut self, worker: WorkerId, is_stderr: bool) {
        #[cfg(feature = "tracing")]
        self.tracing.ended(worker, is_stderr);
        let _ = (worker, is_stderr);
    }

    /// Passes on what a worker has told beside that.
    pub(super) fn told(&mut self, event: OutputEvent<'_>) {
        match &self.output {
            Output::Handler(handler) => handle(handler, event),
            #[cfg(feature = "tracing")]
            Output::Tracing => match event {
                OutputEvent::Log(record) => tracing::logged(&record),
                OutputEvent::Warning(warning) => tracing::warned(&warning),
                OutputEvent::Dropped { worker, count } => tracing::dropped(worker, count),
                OutputEvent::ForkServerLost { worker, how } => {
                    tracing::fork_server_lost(worker, &how);
                }
                OutputEvent::Printed(_) => {}
            },
            // Workers tell nothing then.
            Output::Discard | Output::Forward => {}
        }
    }
}

fn handle(handler: &Handler, event: OutputEvent<'_>) {
    // The panic has printed itself. Without this thread, workers could print no more.
    let _ = catch_unwind(AssertUnwindSafe(|| handler(event)));
}
