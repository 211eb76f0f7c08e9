//! What the host knows about one object that stays in Python, and how that ends.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use snakebridge_pool::WorkerKey;

use crate::engine::sessions::SessionState;
use crate::engine::{Engine, WorkerId};
use crate::options::CallOptions;
use crate::status::RefStatus;

/// One registration of an object in Python. All clones of a ref share it.
#[derive(Debug)]
pub(crate) struct Object {
    pub(super) engine: Weak<Engine>,
    pub(super) session: Arc<SessionState>,
    pub(super) defaults: Arc<CallOptions>,
    pub(super) worker: WorkerKey,
    pub(super) id: u64,
    pub(super) module: Box<str>,
    pub(super) qualname: Box<str>,
    pub(super) traits: u32,
    /// How many running calls use it, and in the bits above [`USES`] how it has ended.
    life: AtomicU32,
    /// When it was made and when it was last used, in the time of its session.
    pub(super) made: u64,
    last_use: AtomicU64,
    /// Where it stands in the registry of its session.
    pub(super) place: AtomicU32,
}

/// Why an object cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum End {
    Released = 1 << 28,
    /// Its session had more refs than it may have.
    Evicted = 2 << 28,
    /// It was not used for longer than its session allows.
    Expired = 3 << 28,
}

const USES: u32 = (1 << 28) - 1;

/// What a worker says about an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Described<'a> {
    pub(crate) id: u64,
    pub(crate) module: &'a str,
    pub(crate) qualname: &'a str,
    pub(crate) traits: u32,
}

impl Object {
    pub(super) fn new(
        engine: Weak<Engine>,
        session: Arc<SessionState>,
        defaults: Arc<CallOptions>,
        worker: WorkerKey,
        described: Described<'_>,
        now: Instant,
    ) -> Self {
        let made = session.time(now);
        Self {
            engine,
            session,
            defaults,
            worker,
            id: described.id,
            module: described.module.into(),
            qualname: described.qualname.into(),
            traits: described.traits,
            life: AtomicU32::new(0),
            made,
            last_use: AtomicU64::new(made),
            place: AtomicU32::new(0),
        }
    }

    /// Marks it as used by a call, so that no limit ends it meanwhile. `Err` if it has ended.
    pub(super) fn begin_use(&self, now: Instant) -> Result<(), End> {
        let before = self.life.fetch_add(1, Ordering::AcqRel);
        match end_of(before) {
            None => {
                self.last_use.store(self.session.time(now), Ordering::Relaxed);
                Ok(())
            }
            Some(end) => {
                self.end_use();
                Err(end)
            }
        }
    }

    pub(super) fn end_use(&self) {
        if self.session.settings.ttl.is_some() {
            self.last_use.store(self.session.time(Instant::now()), Ordering::Relaxed);
        }
        self.life.fetch_sub(1, Ordering::AcqRel);
    }

    /// Ends it if no call uses it. Whether it was this that ended it.
    pub(super) fn end_unused(&self, end: End) -> bool {
        self.life.compare_exchange(0, end as u32, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Ends it, whoever uses it. Whether it was this that ended it.
    pub(super) fn release(&self) -> bool {
        let update = |life| end_of(life).is_none().then_some(life | End::Released as u32);
        self.life.fetch_update(Ordering::AcqRel, Ordering::Acquire, update).is_ok()
    }

    pub(super) fn last_use(&self) -> u64 {
        self.last_use.load(Ordering::Relaxed)
    }

    pub(super) fn is_used(&self) -> bool {
        self.life.load(Ordering::Acquire) & USES > 0
    }

    pub(crate) fn status(&self, time: u64) -> RefStatus {
        let since = |then: u64| Duration::from_micros(time.saturating_sub(then));
        RefStatus {
            type_module: self.module.to_string(),
            type_qualname: self.qualname.to_string(),
            worker: WorkerId(self.worker.slot),
            age: since(self.made),
            unused: since(self.last_use()),
        }
    }

    /// Lets the object in Python go; the caller has ended this one.
    pub(crate) fn let_go(&self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.shared.placement.release(self.worker, &self.session, self.id);
        }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        if self.release() {
            self.session.registry().leave(*self.place.get_mut());
            self.let_go();
        }
    }
}

fn end_of(life: u32) -> Option<End> {
    match life & !USES {
        0 => None,
        end if end == End::Evicted as u32 => Some(End::Evicted),
        end if end == End::Expired as u32 => Some(End::Expired),
        _ => Some(End::Released),
    }
}
