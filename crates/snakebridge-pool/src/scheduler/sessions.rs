//! Sessions: which worker is at home to their calls.

use super::{Scheduler, WorkerKey};

/// Names a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(u32);

/// All open sessions. Places of closed ones are used again.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// The home of each: a session has none before its first call.
    homes: Vec<Option<WorkerKey>>,
    free: Vec<u32>,
}

impl Sessions {
    pub(super) fn open(&mut self) -> SessionKey {
        if let Some(place) = self.free.pop() {
            return SessionKey(place);
        }
        self.homes.push(None);
        SessionKey(self.homes.len() as u32 - 1)
    }

    fn close(&mut self, session: SessionKey) -> Option<WorkerKey> {
        let home = self.homes[session.0 as usize].take();
        self.free.push(session.0);
        home
    }

    pub(super) fn home(&self, session: SessionKey) -> Option<WorkerKey> {
        self.homes[session.0 as usize]
    }

    pub(super) fn set_home(&mut self, session: SessionKey, worker: WorkerKey) {
        self.homes[session.0 as usize] = Some(worker);
    }

    pub(super) fn count(&self) -> usize {
        self.homes.len() - self.free.len()
    }
}

impl<E: Clone> Scheduler<E> {
    /// Opens a session. It gets its worker with its first call.
    pub fn open_session(&mut self) -> SessionKey {
        self.sessions.open()
    }

    /// Closes a session, which must not be used any more.
    pub fn close_session(&mut self, session: SessionKey) {
        let home = self.sessions.close(session);
        if let Some(home) = home.filter(|home| self.is_alive(*home)) {
            self.change_sessions(home.slot, |sessions| sessions - 1);
        }
    }

    /// The worker of a session, if that is still the same one.
    #[must_use]
    pub fn home_of(&self, session: SessionKey) -> Option<WorkerKey> {
        self.sessions
            .home(session)
            .filter(|home| self.is_alive(*home))
    }

    /// Makes a worker the home of a session that has none.
    pub(super) fn settle(&mut self, session: SessionKey, worker: WorkerKey) {
        if self.home_of(session).is_none() {
            self.sessions.set_home(session, worker);
            self.change_sessions(worker.slot, |sessions| sessions + 1);
        }
    }

    /// Changes the number of sessions, by which idle workers are ordered.
    fn change_sessions(&mut self, slot: u32, change: impl Fn(u32) -> u32) {
        let before = self.slots[slot as usize].sessions;
        let after = change(before);
        self.slots[slot as usize].sessions = after;
        let pool = self.pool_of(slot);
        if pool.idle.remove(&(before, slot)) {
            pool.idle.insert((after, slot));
        }
    }
}
