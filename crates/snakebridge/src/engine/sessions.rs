//! The sessions of a bridge, by id.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use snakebridge_pool::{PoolId, SessionKey};

use super::placement::Placement;
use crate::refs::{Object, Registry};

/// What holds for a session from its opening on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionSettings {
    /// How long a ref may go unused.
    pub(crate) ttl: Option<Duration>,
    /// Most refs.
    pub(crate) max_refs: Option<usize>,
    /// What the user wants to see beside the session where sessions are listed.
    pub(crate) tags: BTreeMap<String, String>,
}

impl SessionSettings {
    /// These settings, and where they say nothing, those of `other`.
    pub(crate) fn or(self, other: &Self) -> Self {
        let mut tags = other.tags.clone();
        tags.extend(self.tags);
        Self { ttl: self.ttl.or(other.ttl), max_refs: self.max_refs.or(other.max_refs), tags }
    }

    /// Whether all that `asked` says is so here.
    pub(crate) fn agree_with(&self, asked: &Self) -> bool {
        asked.ttl.is_none_or(|ttl| self.ttl == Some(ttl))
            && asked.max_refs.is_none_or(|most| self.max_refs == Some(most))
            && asked.tags.iter().all(|(name, value)| self.tags.get(name) == Some(value))
    }
}

/// One session: refs with one lifetime, in one pool.
#[derive(Debug)]
pub(crate) struct SessionState {
    pub(crate) id: Arc<str>,
    pub(crate) pool: PoolId,
    pub(crate) settings: Arc<SessionSettings>,
    /// What the scheduler knows it by.
    pub(crate) key: SessionKey,
    /// The number on the wire. Never used twice in a bridge.
    pub(crate) number: u32,
    closed: AtomicBool,
    opened: Instant,
    /// The last call that named a session with a time limit, in the time of the session.
    last_named: AtomicU64,
    registry: Mutex<Registry>,
}

impl SessionState {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Marks the session as closed. False if it was already.
    pub(crate) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    /// The time of the session: microseconds since it was opened.
    pub(crate) fn time(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.opened).as_micros() as u64
    }

    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        // Nothing in there panics half-way through a change.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up new refs. Gives those that had to make room, for the caller to let go.
    pub(crate) fn enter<'a>(
        &self,
        objects: impl Iterator<Item = &'a Arc<Object>>,
        now: Instant,
    ) -> Vec<Arc<Object>> {
        let SessionSettings { ttl, max_refs, .. } = &*self.settings;
        let ordered = ttl.is_some() || max_refs.is_some();
        let mut registry = self.registry();
        objects.for_each(|object| registry.enter(object, ordered));
        match max_refs {
            Some(most) => registry.evict(*most, self.time(now)),
            None => Vec::new(),
        }
    }

    /// Ends the refs that were not used for too long. Gives them, for the caller to let go, and when
    /// to look again.
    pub(crate) fn expire(&self, now: Instant) -> (Vec<Arc<Object>>, Option<Instant>) {
        let Some(ttl) = self.settings.ttl else { return (Vec::new(), None) };
        let ttl = ttl.as_micros() as u64;
        let time = self.time(now);
        let mut registry = self.registry();
        let ended = match time.checked_sub(ttl) {
            Some(before) => registry.expire(before, time),
            None => Vec::new(),
        };
        let oldest = registry.oldest_use().unwrap_or(time);
        let next = Duration::from_micros((oldest + ttl).saturating_sub(time).max(LOOK_AGAIN));
        (ended, now.checked_add(next))
    }

    fn note_use(&self) {
        if self.settings.ttl.is_some() {
            self.last_named.store(self.time(Instant::now()), Ordering::Relaxed);
        }
    }

    /// Whether nobody has named it for longer than its refs may go unused.
    fn is_old(&self, now: Instant) -> bool {
        let ttl = self.settings.ttl.map_or(u64::MAX, |ttl| ttl.as_micros() as u64);
        self.time(now).saturating_sub(self.last_named.load(Ordering::Relaxed)) >= ttl
    }
}

/// Microseconds between two looks at a session, at least.
const LOOK_AGAIN: u64 = 1000;

/// All sessions that have an id of their own choice, and the numbers for all. One id in two pools
/// names two sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// Settings of sessions that have none of their own.
    defaults: Arc<SessionSettings>,
    /// All that are open.
    open: Mutex<BTreeMap<SessionKey, Weak<SessionState>>>,
    named: Mutex<HashMap<(PoolId, Arc<str>), Named>>,
    last_number: AtomicU32,
    /// Numbers and ids of those that were closed last, for what their calls have logged, which may
    /// come later.
    closed: Mutex<VecDeque<(u32, Arc<str>)>>,
}

/// How many of those are remembered.
const REMEMBERED: usize = 256;

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
    pub(crate) fn new(defaults: SessionSettings) -> Self {
        Self { defaults: Arc::new(defaults), ..Self::default() }
    }

    /// Settings of sessions that have none of their own.
    pub(crate) fn defaults(&self) -> &Arc<SessionSettings> {
        &self.defaults
    }

    /// A new session under an id that nobody chose.
    pub(crate) fn anonymous(
        &self,
        placement: &Placement,
        pool: PoolId,
        settings: &Arc<SessionSettings>,
    ) -> Arc<SessionState> {
        self.make(placement, pool, new_id("session"), settings)
    }

    /// The session with this id, made with these settings if there is none.
    pub(crate) fn by_id(
        &self,
        placement: &Placement,
        pool: PoolId,
        id: &Arc<str>,
        held: Held,
        settings: &Arc<SessionSettings>,
    ) -> Arc<SessionState> {
        let mut named = self.named();
        let entry = named.entry((pool, Arc::clone(id))).or_insert_with(|| Named {
            state: self.make(placement, pool, Arc::clone(id), settings),
            guards: 0,
            kept: false,
        });
        match held {
            Held::ByGuard => entry.guards += 1,
            Held::Elsewhere => {}
            Held::UntilReleased => entry.kept = true,
        }
        entry.state.note_use();
        Arc::clone(&entry.state)
    }

    /// Takes a session out of the register that nothing has used for longer than its time. Whether it
    /// is to be closed.
    pub(crate) fn forget(&self, state: &Arc<SessionState>, now: Instant) -> bool {
        let mut named = self.named();
        let key = (state.pool, Arc::clone(&state.id));
        let unused = named.get(&key).is_some_and(|entry| {
            // Refs and running calls have it too, and get it under this lock only.
            let known_here = Arc::strong_count(state) == 2;
            entry.state.number == state.number
                && entry.guards == 0
                && known_here
                && state.is_old(now)
        });
        unused && named.remove(&key).is_some()
    }

    /// All open sessions, in the order of their opening as far as places are not used again.
    pub(crate) fn all(&self) -> Vec<Arc<SessionState>> {
        self.open().values().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn with_key(&self, key: SessionKey) -> Option<Arc<SessionState>> {
        self.open().get(&key).and_then(Weak::upgrade)
    }

    /// The open session with this number.
    pub(crate) fn with_number(&self, number: u32) -> Option<Arc<SessionState>> {
        self.all().into_iter().find(|session| session.number == number)
    }

    /// Takes a session that was closed out of the list of open ones.
    pub(crate) fn closed(&self, state: &SessionState) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if closed.len() == REMEMBERED {
            closed.pop_front();
        }
        closed.push_back((state.number, Arc::clone(&state.id)));
        drop(closed);
        self.open().remove(&state.key);
    }

    /// The id of the session with this number, open or closed not long ago.
    pub(crate) fn id_of(&self, number: u32) -> Option<Arc<str>> {
        if let Some(session) = self.with_number(number) {
            return Some(Arc::clone(&session.id));
        }
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.iter().find(|(found, _)| *found == number).map(|(_, id)| Arc::clone(id))
    }

    /// One guard less. Gives the sessions that have to be closed now: those with the id of this one
    /// that nothing holds any more, in whichever pool.
    pub(crate) fn unhold(&self, state: &Arc<SessionState>) -> Vec<Arc<SessionState>> {
        let mut named = self.named();
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
        self.named().retain(|(_, name), entry| {
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
        settings: &Arc<SessionSettings>,
    ) -> Arc<SessionState> {
        let opened = Instant::now();
        let state = Arc::new(SessionState {
            id,
            pool,
            settings: Arc::clone(settings),
            key: placement.open_session(),
            number: self.last_number.fetch_add(1, Ordering::Relaxed) + 1,
            closed: AtomicBool::new(false),
            opened,
            last_named: AtomicU64::new(0),
            registry: Mutex::default(),
        });
        self.open().insert(state.key, Arc::downgrade(&state));
        if let Some(at) = settings.ttl.and_then(|ttl| opened.checked_add(ttl)) {
            placement.look_at_session(state.key, at);
        }
        state
    }

    fn named(&self) -> MutexGuard<'_, HashMap<(PoolId, Arc<str>), Named>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<SessionKey, Weak<SessionState>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id that no other session has, of this process or another one.
pub(crate) fn new_id(prefix: &str) -> Arc<str> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}_{}_{millis}_{count}", std::process::id()).into()
}
