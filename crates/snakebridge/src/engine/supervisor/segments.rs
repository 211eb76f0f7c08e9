//! Telling workers of segments of shared memory.

use std::os::fd::OwnedFd;
use std::time::Instant;

use snakebridge_pool::WorkerKey;
use snakebridge_wire::{Header, Kind};

use super::super::memory::{self, Introduction, Purpose};
use super::Supervisor;
use super::process::Process;

/// The largest segment that a worker gets for results.
const LARGEST: u64 = 1 << 36;

impl Supervisor {
    pub(super) fn introduce(
        &mut self,
        worker: WorkerKey,
        introductions: Vec<Introduction>,
        forgotten: &[u64],
    ) {
        self.age_memory_later();
        let Some(process) = self.process(worker) else { return };
        introductions.into_iter().for_each(|it| process.introduce(it));
        for id in forgotten {
            process.send(frame(Kind::SegmentForgotten, &id.to_le_bytes()), None);
        }
    }

    pub(super) fn free_segment(&mut self, worker: WorkerKey, id: u64) {
        let kind = match self.shared.memory.is_to_be_used_again(worker, id) {
            true => Kind::SegmentFreed,
            false => Kind::SegmentForgotten,
        };
        if let Some(process) = self.process(worker) {
            process.send(frame(kind, &id.to_le_bytes()), None);
        }
    }

    /// A worker wants a segment for results. It does without where there is none.
    pub(super) fn want_segment(&mut self, place: usize, size: u64) {
        self.age_memory_later();
        let Some(process) = &mut self.processes[place] else { return };
        let size = usize::try_from(size).ok().filter(|size| *size as u64 <= LARGEST);
        match size.and_then(|size| self.shared.memory.lend(process.key, size).ok()) {
            Some(introduction) => process.introduce(introduction),
            None => process.send(segment_frame(0, 0, Purpose::Results), None),
        }
    }

    /// A worker has given back what was wanted back.
    pub(super) fn segment_returned(&self, place: usize, id: u64) {
        if let Some(process) = &self.processes[place] {
            self.shared.memory.returned(process.key, id);
        }
    }

    /// Sees to it that memory which stays unused is given back.
    fn age_memory_later(&mut self) {
        let keep = self.shared.config.keep_memory;
        self.age_at = self.age_at.or_else(|| Instant::now().checked_add(keep));
    }

    pub(super) fn age_memory(&mut self) {
        if self.age_at.take_if(|at| *at <= Instant::now()).is_none() {
            return;
        }
        for (worker, id) in self.shared.memory.unused() {
            if let Some(process) = self.process(worker) {
                process.send(frame(Kind::SegmentRecalled, &id.to_le_bytes()), None);
            }
        }
        if memory::age() {
            self.age_memory_later();
        }
    }
}

impl Process {
    fn introduce(&mut self, introduction: Introduction) {
        let Introduction { id, size, descriptor, purpose } = introduction;
        let descriptor: Option<OwnedFd> = Some(descriptor);
        self.send(segment_frame(id, size as u64, purpose), descriptor);
    }
}

fn segment_frame(id: u64, size: u64, purpose: Purpose) -> Vec<u8> {
    let mut body = [id.to_le_bytes(), size.to_le_bytes()].concat();
    body.push(purpose as u8);
    frame(Kind::Segment, &body)
}

fn frame(kind: Kind, body: &[u8]) -> Vec<u8> {
    let header = Header { kind, flags: 0, session: 0, len: body.len() as u64 };
    [&header.to_bytes(), body].concat()
}
