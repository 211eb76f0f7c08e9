//! Workers: when they start, when they end, what follows.

use std::collections::VecDeque;
use std::time::Instant;

use super::leases::Ticket;
use super::status::WorkerStage;
use super::{Action, PoolId, Scheduler, SessionKey, WorkerKey};

/// The place of a worker.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) pool: PoolId,
    pub(super) generation: u32,
    pub(super) stage: WorkerStage,
    /// Calls that need this very worker, oldest first.
    pub(super) queue: VecDeque<Ticket>,
    /// Sessions that are at home here.
    pub(super) sessions: u32,
    /// Calls so far.
    pub(super) calls: u64,
    /// Refs to objects here that are not released. Below zero for a while: refs may be dropped
    /// before the call that made them gives its worker back.
    pub(super) refs: i64,
    draining: bool,
    /// It has drained for too long: what is held here holds it no more.
    overdue: bool,
    /// When the worker is killed if its call has not come back.
    pub(super) watched_until: Option<Instant>,
    /// When the worker has been idle for too long, if it may be ended for that.
    idle_until: Option<Instant>,
    /// Starts that failed, one after the other.
    failures: u32,
}

/// Something that is due at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Wait(Ticket),
    Grace(WorkerKey),
    Backoff(WorkerKey),
    Idle(WorkerKey),
    Age(WorkerKey),
    Drain(WorkerKey),
    Watch(WorkerKey),
    Session(SessionKey),
}

impl Slot {
    pub(super) fn new(pool: PoolId) -> Self {
        Self {
            pool,
            generation: 0,
            stage: WorkerStage::Absent,
            queue: VecDeque::new(),
            sessions: 0,
            calls: 0,
            refs: 0,
            draining: false,
            overdue: false,
            watched_until: None,
            idle_until: None,
            failures: 0,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.stage == WorkerStage::Idle
    }

    /// It takes no new calls but those that need it, and ends when nothing holds it.
    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(super) fn has_been_idle_too_long(&self, now: Instant) -> bool {
        self.idle_until.is_some_and(|until| until <= now)
    }

    /// Refs to objects here keep it.
    pub(super) fn is_held(&self) -> bool {
        self.refs > 0 && !self.overdue
    }

    fn is_live(&self) -> bool {
        matches!(
            self.stage,
            WorkerStage::Starting | WorkerStage::Idle | WorkerStage::Busy | WorkerStage::Stopping
        )
    }
}

impl<E: Clone> Scheduler<E> {
    /// A worker is ready.
    pub fn worker_started(&mut self, now: Instant, worker: WorkerKey) {
        if !self.is_at(worker, WorkerStage::Starting) {
            return;
        }
        let age = self.config_of(worker.slot).recycle.age;
        self.slots[worker.slot as usize].failures = 0;
        self.pool_of(worker.slot).failure = None;
        if let Some(age) = age {
            self.timers.insert((now + age, Timer::Age(worker)));
        }
        self.slots[worker.slot as usize].stage = WorkerStage::Busy;
        self.free(now, worker.slot);
    }

    /// A worker could not be started.
    pub fn worker_failed(&mut self, now: Instant, worker: WorkerKey, why: E) {
        if !self.is_at(worker, WorkerStage::Starting) {
            return;
        }
        let config = self.config_of(worker.slot);
        let (first, last) = (config.first_backoff, config.last_backoff);
        let slot = &mut self.slots[worker.slot as usize];
        let wait = first.saturating_mul(1 << slot.failures.min(16)).min(last);
        slot.failures += 1;
        slot.stage = WorkerStage::Backoff;
        let pool = slot.pool;
        self.timers.insert((now + wait, Timer::Backoff(worker)));
        self.pool(pool).failure = Some(why.clone());
        let live = self.slots_of(pool).any(|slot| self.slots[slot as usize].is_live());
        if !live {
            self.refuse_pool(pool, &why);
        }
        // There may be nobody left but workers that are to be replaced.
        self.dispatch(pool);
    }

    /// A worker has ended, for whatever reason.
    pub fn worker_ended(&mut self, worker: WorkerKey) {
        if !self.is_alive(worker) {
            return;
        }
        let slot = &mut self.slots[worker.slot as usize];
        let (sessions, pool) = (slot.sessions, slot.pool);
        slot.generation += 1;
        slot.stage = WorkerStage::Absent;
        (slot.sessions, slot.calls, slot.refs) = (0, 0, 0);
        (slot.draining, slot.overdue) = (false, false);
        slot.watched_until = None;
        self.pool(pool).idle.remove(&(sessions, worker.slot));
        self.forget_timers(worker);
        self.rehome(worker.slot, worker);
        self.dispatch(pool);
        if !self.closed && self.needs_worker(pool) {
            self.start(worker.slot);
        }
    }

    /// A worker is to be ended as soon as nothing holds it, and replaced.
    pub fn retire(&mut self, now: Instant, worker: WorkerKey) {
        if !self.is_alive(worker) || !self.slots[worker.slot as usize].is_live() {
            return;
        }
        self.drain(now, worker.slot);
        let slot = &self.slots[worker.slot as usize];
        if slot.is_idle() && slot.refs <= 0 {
            self.end(now, worker);
        }
    }

    /// A worker uses this many bytes of memory.
    pub fn measured(&mut self, now: Instant, worker: WorkerKey, bytes: u64) {
        let limit = self.slots.get(worker.slot as usize).map(|_| self.config_of(worker.slot));
        if limit.and_then(|config| config.recycle.bytes).is_some_and(|limit| bytes > limit) {
            self.retire(now, worker);
        }
    }

    /// Whether this life of the worker has not ended yet.
    #[must_use]
    pub fn is_alive(&self, worker: WorkerKey) -> bool {
        let slot = self.slots.get(worker.slot as usize);
        slot.is_some_and(|slot| {
            slot.generation == worker.generation && slot.stage != WorkerStage::Absent
        })
    }

    /// Whether the worker has started, and has not been ended: it may hold objects.
    #[must_use]
    pub fn has_started(&self, worker: WorkerKey) -> bool {
        let stage = self.slots[worker.slot as usize].stage;
        self.is_alive(worker)
            && matches!(stage, WorkerStage::Idle | WorkerStage::Busy | WorkerStage::Stopping)
    }

    /// Whether a worker of the pool has started, be it busy or not.
    #[must_use]
    pub fn has_started_one(&self, pool: PoolId) -> bool {
        self.slots_of(pool).any(|slot| self.has_started(self.key(slot)))
    }

    /// The pool of a worker.
    #[must_use]
    pub fn pool_of_worker(&self, worker: WorkerKey) -> PoolId {
        self.slots[worker.slot as usize].pool
    }

    /// The present life of a place.
    #[must_use]
    pub fn key(&self, slot: u32) -> WorkerKey {
        WorkerKey { slot, generation: self.slots[slot as usize].generation }
    }

    pub(super) fn start(&mut self, slot: u32) {
        self.slots[slot as usize].stage = WorkerStage::Starting;
        self.actions.push_back(Action::Start(self.key(slot)));
    }

    /// Starts one more worker if calls wait for it. False if none is coming.
    pub(super) fn grow(&mut self, pool: PoolId) -> bool {
        let stage = |slot: u32| self.slots[slot as usize].stage;
        let live = self.slots_of(pool).any(|slot| self.slots[slot as usize].is_live());
        let starting =
            self.slots_of(pool).filter(|slot| stage(*slot) == WorkerStage::Starting).count();
        let absent = self.slots_of(pool).find(|slot| stage(*slot) == WorkerStage::Absent);
        match absent {
            Some(slot) if starting <= self.pools[usize::from(pool.0)].waiting => {
                self.start(slot);
                true
            }
            _ => live || self.slots_of(pool).any(|slot| stage(slot) == WorkerStage::Ending),
        }
    }

    /// Whether all that a pool has, and can have soon, are workers that are to be replaced.
    pub(super) fn has_only_draining(&self, pool: PoolId) -> bool {
        self.slots_of(pool).all(|slot| {
            let slot = &self.slots[slot as usize];
            slot.stage == WorkerStage::Backoff || (slot.draining && slot.is_live())
        })
    }

    pub(super) fn take(&mut self, slot: u32) -> WorkerKey {
        let sessions = self.slots[slot as usize].sessions;
        self.pool_of(slot).idle.remove(&(sessions, slot));
        let worker = self.key(slot);
        self.slots[slot as usize].stage = WorkerStage::Busy;
        if let Some(at) = self.slots[slot as usize].idle_until.take() {
            self.timers.remove(&(at, Timer::Idle(worker)));
        }
        worker
    }

    pub(super) fn idle(&mut self, now: Instant, slot: u32) {
        let worker = self.key(slot);
        let (sessions, draining) = {
            let slot = &mut self.slots[slot as usize];
            slot.stage = WorkerStage::Idle;
            (slot.sessions, slot.draining)
        };
        if draining {
            return;
        }
        let limit = self.config_of(slot).idle_limit;
        let pool = self.pool_of(slot);
        pool.idle.insert((sessions, slot));
        if pool.config.max > pool.config.min {
            self.slots[slot as usize].idle_until = Some(now + limit);
            self.timers.insert((now + limit, Timer::Idle(worker)));
        }
    }

    /// Lets an idle worker end by itself, and kills it if it takes too long.
    pub(super) fn end(&mut self, now: Instant, worker: WorkerKey) {
        let grace = self.config_of(worker.slot).grace;
        let sessions = self.slots[worker.slot as usize].sessions;
        self.pool_of(worker.slot).idle.remove(&(sessions, worker.slot));
        self.slots[worker.slot as usize].stage = WorkerStage::Ending;
        self.timers.insert((now + grace, Timer::Grace(worker)));
        self.actions.push_back(Action::End(worker));
    }

    pub(super) fn kill(&mut self, worker: WorkerKey) {
        self.slots[worker.slot as usize].stage = WorkerStage::Ending;
        self.actions.push_back(Action::Kill(worker));
    }

    pub(super) fn end_for_close(&mut self, now: Instant, slot: u32) {
        let worker = self.key(slot);
        match self.slots[slot as usize].stage {
            WorkerStage::Idle => self.end(now, worker),
            WorkerStage::Starting | WorkerStage::Stopping => self.kill(worker),
            WorkerStage::Backoff => self.slots[slot as usize].stage = WorkerStage::Absent,
            // Busy ones are given back by their callers, and Ending ones are on their way.
            WorkerStage::Absent | WorkerStage::Busy | WorkerStage::Ending => {}
        }
    }

    /// Begins to drain a worker that has done its part.
    pub(super) fn check_recycling(&mut self, now: Instant, slot: u32) {
        let limit = self.config_of(slot).recycle.calls;
        let due = limit.is_some_and(|limit| self.slots[slot as usize].calls >= limit);
        if due || self.closed {
            self.drain(now, slot);
        }
    }

    fn drain(&mut self, now: Instant, slot: u32) {
        let worker = self.key(slot);
        let limit = self.config_of(slot).recycle.drain_limit;
        let entry = &mut self.slots[slot as usize];
        if entry.draining {
            return;
        }
        entry.draining = true;
        let sessions = entry.sessions;
        self.pool_of(slot).idle.remove(&(sessions, slot));
        if let Some(limit) = limit {
            self.timers.insert((now + limit, Timer::Drain(worker)));
        }
        // It may have been the last one that was not.
        let pool = self.slots[slot as usize].pool;
        self.dispatch(pool);
    }

    pub(super) fn grace_over(&mut self, worker: WorkerKey) {
        let ending = self.is_at(worker, WorkerStage::Ending);
        if ending || self.is_at(worker, WorkerStage::Stopping) {
            self.kill(worker);
        }
    }

    pub(super) fn backoff_over(&mut self, worker: WorkerKey) {
        if !self.is_at(worker, WorkerStage::Backoff) {
            return;
        }
        self.slots[worker.slot as usize].stage = WorkerStage::Absent;
        let pool = self.slots[worker.slot as usize].pool;
        if self.needs_worker(pool) {
            self.start(worker.slot);
        }
    }

    pub(super) fn idle_too_long(&mut self, now: Instant, worker: WorkerKey) {
        if !self.is_at(worker, WorkerStage::Idle) {
            return;
        }
        let slot = &self.slots[worker.slot as usize];
        let pool = slot.pool;
        let live = self.slots_of(pool).filter(|slot| self.slots[*slot as usize].is_live()).count();
        let spare = live > self.config_of(worker.slot).min as usize;
        if spare && slot.refs <= 0 {
            self.end(now, worker);
        }
    }

    pub(super) fn old_enough(&mut self, now: Instant, worker: WorkerKey) {
        self.retire(now, worker);
    }

    pub(super) fn drained_too_long(&mut self, now: Instant, worker: WorkerKey) {
        if self.is_at(worker, WorkerStage::Idle) {
            self.end(now, worker);
        } else if self.is_alive(worker) {
            // It is busy, and ends when it comes back.
            self.slots[worker.slot as usize].overdue = true;
        }
    }

    /// Whether the pool has fewer workers than it must have, or than the calls that wait could use.
    fn needs_worker(&self, pool: PoolId) -> bool {
        let entry = &self.pools[usize::from(pool.0)];
        let live = self.slots_of(pool).filter(|slot| self.slots[*slot as usize].is_live()).count();
        live < entry.config.min as usize
            || entry.queue.iter().any(|ticket| self.waiters.contains_key(ticket))
    }

    fn is_at(&self, worker: WorkerKey, stage: WorkerStage) -> bool {
        self.is_alive(worker) && self.slots[worker.slot as usize].stage == stage
    }

    fn forget_timers(&mut self, worker: WorkerKey) {
        self.timers.retain(|(_, timer)| match timer {
            Timer::Wait(_) | Timer::Session(_) => true,
            Timer::Grace(key)
            | Timer::Backoff(key)
            | Timer::Idle(key)
            | Timer::Age(key)
            | Timer::Drain(key)
            | Timer::Watch(key) => *key != worker,
        });
    }

    /// Whether the worker will be free at some time, by itself or because of a timer.
    #[cfg(debug_assertions)]
    pub(super) fn is_coming(&self, slot: u32) -> bool {
        self.slots[slot as usize].stage != WorkerStage::Absent
    }

    #[cfg(debug_assertions)]
    pub(super) fn check_slots(&self) {
        for (index, slot) in self.slots.iter().enumerate() {
            let pool = &self.pools[usize::from(slot.pool.0)];
            let listed = pool.idle.contains(&(slot.sessions, index as u32));
            assert_eq!(listed, slot.is_idle() && !slot.draining, "list of idle workers");
            let homes = slot.stage != WorkerStage::Absent || slot.sessions == 0;
            assert!(homes, "sessions at home where nobody lives");
            if slot.is_idle() && slot.draining {
                assert!(slot.refs > 0, "a drained worker goes on");
            }
        }
    }
}
