//! Callbacks that no call waits for: from the worker to a thread, and back.

use snakebridge_pool::WorkerKey;

use super::super::background::Background;
use super::Supervisor;
use super::process::Process;
use crate::exchange::{Asked, BRIDGE_ENDED, refusal};
use crate::refs::Ref;

impl Supervisor {
    pub(super) fn call_back(&mut self, place: usize, asked: Asked) {
        if let Some(process) = &mut self.processes[place] {
            process.background.insert(asked.number, Vec::new());
            Background::submit(&self.shared, asked);
        }
    }

    /// Sends the answer of a callback, if its worker still lives.
    pub(super) fn tell(&mut self, worker: WorkerKey, number: u64, frame: Vec<u8>, refs: Vec<Ref>) {
        let Some(process) = self.process(worker) else { return };
        if refs.is_empty() {
            process.background.remove(&number);
        } else {
            process.background.insert(number, refs);
        }
        process.send(frame, None);
    }

    pub(super) fn taken(&mut self, place: usize, number: u64) {
        if let Some(process) = &mut self.processes[place] {
            process.background.remove(&number);
        }
    }
}

impl Process {
    /// Ends the waiting of threads whose functions have not come back.
    pub(super) fn refuse_callbacks(&mut self) {
        for number in std::mem::take(&mut self.background).into_keys() {
            self.refuse_callback(number);
        }
    }

    pub(super) fn refuse_callback(&mut self, number: u64) {
        self.send(refusal(number, BRIDGE_ENDED), None);
    }
}
