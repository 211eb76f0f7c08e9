//! Stopping calls whose callers have gone: interrupt, wait a while, kill.

use snakebridge_pool::WorkerKey;
use snakebridge_wire::{Frame, Kind, Limits, Tape};

use super::super::lane::Lane;
use super::Supervisor;

/// A call that is being stopped after its time was over. How long it may take is for the scheduler
/// to say.
pub(super) struct Stopping {
    pub(super) worker: WorkerKey,
    session: u32,
    pub(super) lane: Box<Lane>,
}

impl Supervisor {
    /// Interrupts a call, and waits for the lane to become free.
    pub(super) fn stop_call(&mut self, worker: WorkerKey, session: u32, lane: Box<Lane>) {
        if let Some(process) = self.process(worker) {
            process.interrupt();
            self.stopping.push(Stopping { worker, session, lane });
        }
    }

    pub(super) fn check_stopping(&mut self) {
        let mut left = Vec::new();
        for mut stopping in std::mem::take(&mut self.stopping) {
            match stopping.lane.drain() {
                Ok(None) => left.push(stopping),
                Ok(Some(reply)) => {
                    let unseen = refs_in(&reply);
                    self.shared.release_unseen(stopping.worker, stopping.session, &unseen);
                    let placement = &self.shared.placement;
                    match stopping.lane.finish() {
                        true => placement.recovered(stopping.worker, stopping.lane),
                        false => self.kill(stopping.worker),
                    }
                }
                Err(_) => self.kill(stopping.worker),
            }
        }
        self.stopping.extend(left);
    }
}

/// Ids of the refs in a reply that nobody will read.
fn refs_in(reply: &Frame<'_>) -> Vec<u64> {
    let tape = match reply.header.kind {
        Kind::Ref => Tape::scan_ref(reply.body, Limits::DEFAULT),
        Kind::Value => Tape::scan(reply.body, Limits::DEFAULT),
        _ => return Vec::new(),
    };
    tape.map(|tape| tape.refs().map(|(id, ..)| id).collect()).unwrap_or_default()
}
