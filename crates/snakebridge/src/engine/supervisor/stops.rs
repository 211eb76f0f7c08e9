//! Stopping calls whose callers have gone: interrupt, wait a while, kill.

use std::time::{Duration, Instant};

use snakebridge_pool::WorkerKey;
use snakebridge_wire::frame::HEADER_LEN;
use snakebridge_wire::{DecodeError, DecodeErrorKind, Frame, Header, Kind, Limits, Tape};

use super::super::lane::{Lane, LaneError};
use super::Supervisor;
use crate::exchange::{read_pairs, stop_frame};

/// A call that is being stopped after its time was over. How long it may take is for the scheduler
/// to say.
pub(super) struct Stopping {
    pub(super) worker: WorkerKey,
    session: u32,
    pub(super) lane: Box<Lane>,
    /// What was sent could not be read, and is on its way once more; the session of its refs.
    again: Option<u32>,
    /// When to interrupt it once more.
    pub(super) interrupt_at: Option<Instant>,
    /// How to: a signal would be for all calls of a worker that has an event loop.
    by: Means,
}

#[derive(Clone, Copy)]
enum Means {
    Signal,
    Frame,
}

/// A signal is lost that comes before the code of the call has begun; one that comes when the code was
/// interrupted already does nothing.
const INTERRUPT_EVERY: Duration = Duration::from_millis(100);

impl Supervisor {
    /// Interrupts a call, and waits for the lane to become free.
    pub(super) fn stop_call(&mut self, worker: WorkerKey, session: u32, lane: Box<Lane>) {
        let Some(pool) = self.process(worker).map(|process| process.pool) else { return };
        let by = match self.shared.config.pool(pool).asyncio {
            Some(_) => Means::Frame,
            None => Means::Signal,
        };
        let interrupt_at = Some(Instant::now());
        let mut stopping = Stopping { worker, session, lane, again: None, interrupt_at, by };
        match self.interrupt(&mut stopping) {
            Ok(()) => self.stopping.push(stopping),
            Err(_) => self.kill(worker),
        }
    }

    /// Interrupts a call, if it is time for that. The worker has to have the whole request first.
    fn interrupt(&mut self, stopping: &mut Stopping) -> Result<(), LaneError> {
        let now = Instant::now();
        if stopping.lane.has_unsent() {
            let is_sent = stopping.lane.flush()?;
            stopping.interrupt_at = is_sent.then_some(now);
        }
        if stopping.interrupt_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        let is_done = match stopping.by {
            // It may come before the code of the call has begun.
            Means::Signal => {
                self.process(stopping.worker).into_iter().for_each(|process| process.interrupt());
                false
            }
            // There may be no room for it yet.
            Means::Frame => stopping.lane.write_at_once(&cancel_frame())?,
        };
        stopping.interrupt_at = (!is_done).then(|| now + INTERRUPT_EVERY);
        Ok(())
    }

    pub(super) fn check_stopping(&mut self) {
        for mut stopping in std::mem::take(&mut self.stopping) {
            match self.go_on(&mut stopping) {
                Ok(false) => match self.interrupt(&mut stopping) {
                    Ok(()) => self.stopping.push(stopping),
                    Err(_) => self.kill(stopping.worker),
                },
                Ok(true) if stopping.lane.finish() => {
                    self.shared.placement.recovered(stopping.worker, stopping.lane);
                }
                _ => self.kill(stopping.worker),
            }
        }
    }

    /// Reads what the worker has sent since. Whether that was the last reply.
    fn go_on(&self, stopping: &mut Stopping) -> Result<bool, LaneError> {
        let Stopping { worker, session, lane, again, interrupt_at, by: _ } = stopping;
        while let Some(frame) = lane.drain()? {
            let kind = frame.header.kind;
            if kind == Kind::CallbacksDropped {
                for (id, count) in read_pairs(frame.body).unwrap_or_default() {
                    self.shared.callbacks.dropped(*worker, id, count);
                }
                lane.advance();
                continue;
            }
            if matches!(kind, Kind::RegionsKept | Kind::RegionsGone) {
                let pairs = read_pairs(frame.body).unwrap_or_default();
                match kind {
                    Kind::RegionsKept => lane.kept.extend(pairs),
                    _ => self.shared.memory.gone(*worker, &pairs),
                }
                lane.advance();
                continue;
            }
            for (id, len) in segments_in(&frame) {
                drop(self.shared.memory.claim(&self.shared, *worker, id, len));
            }
            let of = if kind == Kind::Callback { frame.header.session } else { *session };
            let of = again.unwrap_or(of);
            match refs_in(&frame) {
                Ok(refs) => self.shared.placement.release_unseen(*worker, of, &refs),
                // Their ids are known to nobody.
                Err(error) if again.is_none() && is_careful(&error) => {
                    *again = Some(of);
                    // A reply is followed by another one in its place.
                    lane.open += i32::from(kind == Kind::Callback);
                    lane.advance();
                    if !lane.write_at_once(&again_frame(of))? {
                        return Err(LaneError::Lost);
                    }
                    continue;
                }
                Err(_) => {}
            }
            *again = None;
            if kind != Kind::Callback {
                lane.open -= 1;
                if lane.open <= 0 {
                    let used = lane.settle(0);
                    self.shared.memory.keep(*worker, used);
                    return Ok(true);
                }
            }
            // The worker waits for a callback, and nobody will answer it: this is its interrupt.
            *interrupt_at = None;
            lane.advance();
            if !lane.write_at_once(&stop_frame())? {
                return Err(LaneError::Lost);
            }
        }
        Ok(false)
    }
}

/// What cancels the call of one lane.
fn cancel_frame() -> [u8; HEADER_LEN] {
    Header { kind: Kind::Cancel, flags: 0, session: 0, len: 0 }.to_bytes()
}

fn is_careful(error: &DecodeError) -> bool {
    matches!(error.kind(), DecodeErrorKind::Careful(_))
}

fn again_frame(session: u32) -> [u8; HEADER_LEN] {
    Header { kind: Kind::Again, flags: 0, session, len: 0 }.to_bytes()
}

/// Segments of shared memory in a frame that nobody will read.
fn segments_in(reply: &Frame<'_>) -> Vec<(u64, u64)> {
    match Tape::scan(reply.body, Limits::DEFAULT) {
        Ok(tape) if reply.header.kind == Kind::Value => tape.segments().collect(),
        _ => Vec::new(),
    }
}

/// Ids of the refs in a frame that nobody will read.
fn refs_in(reply: &Frame<'_>) -> Result<Vec<u64>, DecodeError> {
    let tape = match reply.header.kind {
        Kind::Callback => Tape::scan(reply.body.get(8..).unwrap_or_default(), Limits::DEFAULT),
        Kind::Ref => Tape::scan_ref(reply.body, Limits::DEFAULT),
        Kind::Value => Tape::scan(reply.body, Limits::DEFAULT),
        _ => return Ok(Vec::new()),
    };
    tape.map(|tape| tape.refs().map(|(id, ..)| id).collect())
}
