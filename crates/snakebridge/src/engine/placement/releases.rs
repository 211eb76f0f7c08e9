//! Refs that have ended, until their workers know of it.
//!
//! What is to be released goes to its worker ahead of the next request. Where none comes soon the
//! supervisor sends it, on lanes that are idle; a busy one is looked at when it comes back.

use std::time::Instant;

use snakebridge_pool::WorkerKey;

use super::{Command, Grant, Lane, Place, Placement, SessionState, State};

impl Placement {
    /// Notes that a ref has ended, and that its object is to be released, unless its session was
    /// closed and the object is gone already. Never waits.
    pub(crate) fn release(&self, worker: WorkerKey, session: &SessionState, id: u64) {
        let mut state = self.lock();
        if !state.scheduler.is_alive(worker) {
            return;
        }
        if !session.is_closed() {
            state.note_releases(worker, [u64::from(session.number), id]);
        }
        state.scheduler.released(Instant::now(), worker, 1);
        self.done(state);
    }

    /// Notes that there are new refs which no call has made.
    pub(crate) fn made(&self, worker: WorkerKey, count: u64) {
        self.lock().scheduler.made(worker, count);
    }

    /// Notes objects to release for which there never was a ref: their ids, 0 for all of the session.
    pub(crate) fn release_unseen(&self, worker: WorkerKey, session: u32, ids: &[u64]) {
        let mut state = self.lock();
        if state.scheduler.is_alive(worker) && !ids.is_empty() {
            state.note_releases(worker, ids.iter().flat_map(|id| [u64::from(session), *id]));
        }
        self.done(state);
    }

    /// Closes a session, and notes that all its refs are to be released, wherever they are.
    pub(crate) fn close_session(&self, session: &SessionState) {
        let mut state = self.lock();
        state.scheduler.close_session(session.key);
        for slot in 0..state.places.len() as u32 {
            let worker = state.scheduler.key(slot);
            // What is noted for a place without a worker would never be sent.
            if state.scheduler.has_started(worker) {
                state.note_releases(worker, [u64::from(session.number), 0]);
            }
        }
        self.done(state);
    }

    /// Takes what this worker, whose lane the caller has, is to release.
    pub(crate) fn take_releases(&self, worker: WorkerKey) -> Vec<u64> {
        let mut state = self.lock();
        match state.scheduler.is_alive(worker) {
            true => std::mem::take(&mut state.place(worker).releases),
            false => Vec::new(),
        }
    }

    /// For the supervisor: takes an idle lane whose worker has something to release. Where there is none,
    /// the supervisor is told when there is one again.
    pub(crate) fn take_for_releases(&self) -> Option<Grant> {
        let mut state = self.lock();
        let Some(slot) = state.places.iter().position(Place::can_release) else {
            state.flushing = false;
            return None;
        };
        let worker = state.scheduler.key(slot as u32);
        let lane = state.scheduler.take_free(worker)?;
        state.grant(lane).ok()
    }
}

impl State {
    /// Has a lane again, with what was to be released on it while a call had it.
    pub(super) fn take_back(&mut self, worker: WorkerKey, lane: Box<Lane>) {
        let number = lane.number as usize;
        if let Some(place) = self.place(worker).lanes.get_mut(number) {
            *place = Some(lane);
        }
        self.flush_later(worker);
    }

    /// Session and id in turn.
    fn note_releases(&mut self, worker: WorkerKey, pairs: impl IntoIterator<Item = u64>) {
        self.place(worker).releases.extend(pairs);
        self.flush_later(worker);
    }

    fn flush_later(&mut self, worker: WorkerKey) {
        if !self.flushing && self.place(worker).can_release() {
            self.flushing = true;
            self.commands.push(Command::Flush);
        }
    }
}

impl Place {
    fn can_release(&self) -> bool {
        !self.releases.is_empty() && self.lanes.iter().any(Option::is_some)
    }
}
