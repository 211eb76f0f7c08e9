//! The sessions of a bridge, by id.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use snakebridge_pool::{PoolId, SessionKey};

use super::placement::Placement;

/// One session: refs with one lifetime, in one pool.
#[derive(Debug)]
pub(crate) struct SessionState {
    pub(crate) id: Arc<str>,
    pub(crate) pool: PoolId,
    /// What the scheduler knows it by.
    pub(crate) key: SessionKey,
    /// The number on the wire. Never used twice in a bridge.
    pub(crate) number: u32,
    closed: AtomicBool,
}

impl SessionState {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Marks the session as closed. False if it was already.
    pub(crate) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }
}

/// All sessions that have an id of their own choice, and the numbers for all. One id in two pools
/// names two sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    named: Mutex<HashMap<(PoolId, Arc<str>), Named>>,
    last_number: AtomicU32,
}

#[derive(Debug)]
struct Named {
    state: Arc<SessionState>,
    /// Guards that hold the session open. It outlives them once a call has named it.
    guards: usize,
    kept: bool,
}

/// What keeps a named session open.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Held {
    /// One guard more.
    ByGuard,
    /// A session with the same id in another pool, whose life it shares.
    Elsewhere,
    /// Nothing in particular: it lasts until somebody releases it.
    UntilReleased,
}

impl Sessions {
    /// A new session under an id that nobody chose.
    pub(crate) fn anonymous(
        &self,
        placement: &Placement,
        pool: PoolId,
        prefix: &str,
    ) -> Arc<SessionState> {
        self.make(placement, pool, new_id(prefix))
    }

    /// The session with this id, made if there is none.
    pub(crate) fn named(
        &self,
        placement: &Placement,
        pool: PoolId,
        id: &Arc<str>,
        held: Held,
    ) -> Arc<SessionState> {
        let mut named = self.lock();
        let entry = named.entry((pool, Arc::clone(id))).or_insert_with(|| Named {
            state: self.make(placement, pool, Arc::clone(id)),
            guards: 0,
            kept: false,
        });
        match held {
            Held::ByGuard => entry.guards += 1,
            Held::Elsewhere => {}
            Held::UntilReleased => entry.kept = true,
        }
        Arc::clone(&entry.state)
    }

    /// One guard less. Gives the sessions that have to be closed now: those with the id of this one
    /// that nothing holds any more, in whichever pool.
    pub(crate) fn unhold(&self, state: &Arc<SessionState>) -> Vec<Arc<SessionState>> {
        let mut named = self.lock();
        match named.get_mut(&(state.pool, Arc::clone(&state.id))) {
            Some(entry) if entry.state.number == state.number => {
                entry.guards -= 1;
                if entry.guards > 0 || entry.kept {
                    return Vec::new();
                }
            }
            // It was released by its id, which may name another session by now.
            Some(_) => return Vec::new(),
            None => {}
        }
        let mut ended = Vec::new();
        named.retain(|(_, id), entry| {
            let ends = *id == state.id && entry.guards == 0 && !entry.kept;
            if ends {
                ended.push(Arc::clone(&entry.state));
            }
            !ends
        });
        ended
    }

    /// Takes the sessions with this id out of the register, in whichever pool.
    pub(crate) fn remove(&self, id: &str) -> Vec<Arc<SessionState>> {
        let mut removed = Vec::new();
        self.lock().retain(|(_, name), entry| {
            let found = &**name == id;
            if found {
                removed.push(Arc::clone(&entry.state));
            }
            !found
        });
        removed
    }

    pub(crate) fn make(
        &self,
        placement: &Placement,
        pool: PoolId,
        id: Arc<str>,
    ) -> Arc<SessionState> {
        Arc::new(SessionState {
            id,
            pool,
            key: placement.open_session(),
            number: self.last_number.fetch_add(1, Ordering::Relaxed) + 1,
            closed: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(PoolId, Arc<str>), Named>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id that no other session has, of this process or another one.
pub(crate) fn new_id(prefix: &str) -> Arc<str> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}_{}_{millis}_{count}", std::process::id()).into()
}
