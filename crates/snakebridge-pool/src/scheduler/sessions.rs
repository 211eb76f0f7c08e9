//! Sessions: which worker is at home to their calls, and when they have to be looked at.

use std::time::Instant;

use super::workers::Timer;
use super::{Action, Scheduler, WorkerKey};

/// Names a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    place: u32,
    /// How many sessions had this place before, so that a closed one is not taken for the next.
    serial: u32,
}

/// All open sessions. Places of closed ones are used again.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    places: Vec<Place>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place {
    serial: u32,
    open: bool,
    /// A session has no home before its first call.
    home: Option<WorkerKey>,
    /// Strict calls that wait, while the session has no home.
    homeless: u32,
    /// When the session is to be looked at.
    due: Option<Instant>,
}

impl Sessions {
    fn open(&mut self) -> SessionKey {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { serial: 0, open: false, home: None, homeless: 0, due: None });
            self.places.len() as u32 - 1
        });
        let entry = &mut self.places[place as usize];
        entry.open = true;
        SessionKey { place, serial: entry.serial }
    }

    fn close(&mut self, session: SessionKey) -> Option<WorkerKey> {
        let place = self.place_mut(session)?;
        place.open = false;
        place.serial = place.serial.wrapping_add(1);
        place.homeless = 0;
        let home = place.home.take();
        self.free.push(session.place);
        home
    }

    fn place_mut(&mut self, session: SessionKey) -> Option<&mut Place> {
        let place = self.places.get_mut(session.place as usize)?;
        (place.open && place.serial == session.serial).then_some(place)
    }

    pub(super) fn is_open(&self, session: SessionKey) -> bool {
        let place = self.places.get(session.place as usize);
        place.is_some_and(|place| place.open && place.serial == session.serial)
    }

    fn home(&self, session: SessionKey) -> Option<WorkerKey> {
        if !self.is_open(session) {
            return None;
        }
        self.places[session.place as usize].home
    }

    pub(super) fn count_homeless(&mut self, session: SessionKey, change: i32) {
        if let Some(place) = self.place_mut(session) {
            place.homeless = place.homeless.saturating_add_signed(change);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

impl<E: Clone> Scheduler<E> {
    /// Opens a session. It gets its worker with its first call.
    pub fn open_session(&mut self) -> SessionKey {
        self.sessions.open()
    }

    /// Asks for an [`Action::SessionDue`] at this time, in place of an earlier wish for the session.
    pub fn look_at_session(&mut self, session: SessionKey, at: Instant) {
        let Some(place) = self.sessions.place_mut(session) else { return };
        if let Some(before) = place.due.replace(at) {
            self.timers.remove(&(before, Timer::Session(session)));
        }
        self.timers.insert((at, Timer::Session(session)));
    }

    pub(super) fn session_due(&mut self, session: SessionKey) {
        if let Some(place) = self.sessions.place_mut(session) {
            place.due = None;
            self.actions.push_back(Action::SessionDue(session));
        }
    }

    /// Closes a session. Calls that wait in it are served, later ones are refused.
    pub fn close_session(&mut self, session: SessionKey) {
        let due = self.sessions.place_mut(session).and_then(|place| place.due.take());
        if let Some(due) = due {
            self.timers.remove(&(due, Timer::Session(session)));
        }
        let home = self.sessions.close(session);
        if let Some(home) = home.filter(|home| self.is_alive(*home)) {
            self.change_sessions(home.slot, |sessions| sessions - 1);
        }
    }

    /// The worker of a session, if that is still the same one.
    #[must_use]
    pub fn home_of(&self, session: SessionKey) -> Option<WorkerKey> {
        self.sessions.home(session).filter(|home| self.is_alive(*home))
    }

    /// Makes a worker the home of a session that has none.
    pub(super) fn settle(&mut self, session: SessionKey, worker: WorkerKey) {
        if self.home_of(session).is_some() {
            return;
        }
        if let Some(place) = self.sessions.place_mut(session) {
            place.home = Some(worker);
            let homeless = place.homeless;
            self.change_sessions(worker.slot, |sessions| sessions + 1);
            if homeless > 0 {
                self.take_home(session, worker);
            }
        }
    }

    /// Changes the number of sessions, by which workers are ordered.
    fn change_sessions(&mut self, slot: u32, change: impl Fn(u32) -> u32) {
        self.unlist(slot);
        let sessions = &mut self.slots[slot as usize].sessions;
        *sessions = change(*sessions);
        self.list(slot);
    }
}
