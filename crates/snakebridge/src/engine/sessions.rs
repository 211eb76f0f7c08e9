//! The sessions of a bridge, by id.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::WorkerKey;

/// One session: refs with one lifetime, and the worker where its calls go.
#[derive(Debug)]
pub(crate) struct SessionState {
    pub(crate) id: Arc<str>,
    /// The number on the wire. Never used twice in a bridge.
    pub(crate) number: u32,
    closed: AtomicBool,
    /// The worker of the session: slot + 1 and generation, or 0 before the first call.
    home: AtomicU64,
}

impl SessionState {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Marks the session as closed. False if it was already.
    pub(crate) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn home(&self) -> Option<WorkerKey> {
        let home = self.home.load(Ordering::Relaxed);
        let slot = ((home >> 32) as u32).checked_sub(1)?;
        Some(WorkerKey {
            slot,
            generation: home as u32,
        })
    }

    /// Called with the placement locked, so it never races with itself.
    pub(crate) fn set_home(&self, key: WorkerKey) {
        let home = u64::from(key.slot + 1) << 32 | u64::from(key.generation);
        self.home.store(home, Ordering::Relaxed);
    }
}

/// All sessions that have an id of their own choice, and the numbers for all.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    named: Mutex<HashMap<Arc<str>, Named>>,
    last_number: AtomicU32,
}

#[derive(Debug)]
struct Named {
    state: Arc<SessionState>,
    /// Guards that hold the session open. It outlives them once a call has named it.
    guards: usize,
    kept: bool,
}

impl Sessions {
    /// A new session under an id that nobody chose.
    pub(crate) fn anonymous(&self, prefix: &str) -> Arc<SessionState> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let millis = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_millis());
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        self.make(format!("{prefix}_{}_{millis}_{count}", std::process::id()).into())
    }

    /// The session with this id, made if there is none, for as long as nobody releases it.
    pub(crate) fn keep(&self, id: &Arc<str>) -> Arc<SessionState> {
        let mut named = self.lock();
        let entry = self.entry(&mut named, id);
        entry.kept = true;
        Arc::clone(&entry.state)
    }

    /// The session with this id, made if there is none, held by one guard more.
    pub(crate) fn hold(&self, id: &Arc<str>) -> Arc<SessionState> {
        let mut named = self.lock();
        let entry = self.entry(&mut named, id);
        entry.guards += 1;
        Arc::clone(&entry.state)
    }

    /// One guard less. True if the session has to be closed now.
    pub(crate) fn unhold(&self, state: &SessionState) -> bool {
        let mut named = self.lock();
        let Some(entry) = named
            .get_mut(&state.id)
            .filter(|entry| entry.state.number == state.number)
        else {
            return false;
        };
        entry.guards -= 1;
        let last = entry.guards == 0 && !entry.kept;
        if last {
            named.remove(&state.id);
        }
        last
    }

    /// Takes a session out of the register.
    pub(crate) fn remove(&self, id: &str) -> Option<Arc<SessionState>> {
        self.lock().remove(id).map(|entry| entry.state)
    }

    fn entry<'a>(&self, named: &'a mut HashMap<Arc<str>, Named>, id: &Arc<str>) -> &'a mut Named {
        named.entry(Arc::clone(id)).or_insert_with(|| Named {
            state: self.make(Arc::clone(id)),
            guards: 0,
            kept: false,
        })
    }

    fn make(&self, id: Arc<str>) -> Arc<SessionState> {
        Arc::new(SessionState {
            id,
            number: self.last_number.fetch_add(1, Ordering::Relaxed) + 1,
            closed: AtomicBool::new(false),
            home: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Named>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
