//! Workers: when they start, when they end, what follows.

use std::collections::VecDeque;
use std::time::Instant;

use super::lanes::{LaneKey, Lanes};
use super::leases::Ticket;
use super::status::WorkerStage;
use super::{Action, PoolId, Scheduler, SessionKey, WorkerKey};

/// The place of a worker.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) pool: PoolId,
    pub(super) generation: u32,
    pub(super) stage: WorkerStage,
    pub(super) lanes: Lanes,
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
    Stop(LaneKey),
    Backoff(WorkerKey),
    Idle(WorkerKey),
    Age(WorkerKey),
    Drain(WorkerKey),
    Watch(LaneKey),
    Session(SessionKey),
}

impl Slot {
    pub(super) fn new(pool: PoolId, lanes: u32) -> Self {
        Self {
            pool,
            generation: 0,
            stage: WorkerStage::Absent,
            lanes: Lanes::new(lanes),
            queue: VecDeque::new(),
            sessions: 0,
            calls: 0,
            refs: 0,
            draining: false,
            overdue: false,
            idle_until: None,
            failures: 0,
        }
    }

    /// It has started, and was not asked to end.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.stage, WorkerStage::Idle | WorkerStage::Busy | WorkerStage::Stopping)
    }

    /// No call has a lane of it.
    pub(super) fn is_idle(&self) -> bool {
        self.stage == WorkerStage::Idle
    }

    /// A lane is free.
    pub(super) fn has_room(&self) -> bool {
        self.is_up() && self.lanes.has_free()
    }

    /// Lanes of a worker that is up were taken, stopped or freed.
    pub(super) fn update_stage(&mut self) {
        self.stage = match self.lanes.used() {
            0 => WorkerStage::Idle,
            _ if self.lanes.are_all_stopping() => WorkerStage::Stopping,
            _ => WorkerStage::Busy,
        };
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

    /// It ends as soon as the calls have come back that have lanes of it.
    pub(super) fn is_leaving(&self) -> bool {
        self.draining && !self.is_held()
    }

    fn is_live(&self) -> bool {
        self.stage == WorkerStage::Starting || self.is_up()
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
        self.slots[worker.slot as usize].update_stage();
        self.serve(now, worker.slot);
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
        let pool = self.slots[worker.slot as usize].pool;
        self.unlist(worker.slot);
        let slot = &mut self.slots[worker.slot as usize];
        slot.generation += 1;
        slot.stage = WorkerStage::Absent;
        slot.lanes.reset();
        (slot.sessions, slot.calls, slot.refs) = (0, 0, 0);
        (slot.draining, slot.overdue) = (false, false);
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
        self.is_alive(worker) && self.slots[worker.slot as usize].is_up()
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

    /// Takes a free lane of a worker that is up.
    pub(super) fn take(&mut self, slot: u32) -> Option<LaneKey> {
        if !self.slots[slot as usize].has_room() {
            return None;
        }
        self.unlist(slot);
        let worker = self.key(slot);
        let entry = &mut self.slots[slot as usize];
        let lane = entry.lanes.take()?;
        entry.update_stage();
        if let Some(at) = entry.idle_until.take() {
            self.timers.remove(&(at, Timer::Idle(worker)));
        }
        self.list(slot);
        Some(LaneKey { worker, lane })
    }

    /// Adds a worker to those that take any call, if it does.
    pub(super) fn list(&mut self, slot: u32) {
        let entry = &self.slots[slot as usize];
        if entry.has_room() && !entry.draining {
            let place = (entry.lanes.used(), entry.sessions, slot);
            self.pool_of(slot).ready.insert(place);
        }
    }

    /// Takes a worker out of that list. Has to come before a change of what it is ordered by.
    pub(super) fn unlist(&mut self, slot: u32) {
        let entry = &self.slots[slot as usize];
        let place = (entry.lanes.used(), entry.sessions, slot);
        self.pool_of(slot).ready.remove(&place);
    }

    /// No call has a lane of a worker any more.
    pub(super) fn idle(&mut self, now: Instant, slot: u32) {
        let config = self.config_of(slot);
        let limit = config.idle_limit;
        if config.max > config.min && !self.slots[slot as usize].draining {
            self.slots[slot as usize].idle_until = Some(now + limit);
            let worker = self.key(slot);
            self.timers.insert((now + limit, Timer::Idle(worker)));
        }
    }

    /// Lets an idle worker end by itself, and kills it if it takes too long.
    pub(super) fn end(&mut self, now: Instant, worker: WorkerKey) {
        let grace = self.config_of(worker.slot).grace;
        self.unlist(worker.slot);
        self.slots[worker.slot as usize].stage = WorkerStage::Ending;
        self.timers.insert((now + grace, Timer::Grace(worker)));
        self.actions.push_back(Action::End(worker));
    }

    pub(super) fn kill(&mut self, worker: WorkerKey) {
        self.unlist(worker.slot);
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
        if self.slots[slot as usize].draining {
            return;
        }
        self.unlist(slot);
        self.slots[slot as usize].draining = true;
        if let Some(limit) = limit {
            self.timers.insert((now + limit, Timer::Drain(worker)));
        }
        // It may have been the last one that was not.
        let pool = self.slots[slot as usize].pool;
        self.dispatch(pool);
    }

    /// A worker that was asked to end has not.
    pub(super) fn grace_over(&mut self, worker: WorkerKey) {
        if self.is_at(worker, WorkerStage::Ending) {
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
            | Timer::Drain(key) => *key != worker,
            Timer::Stop(lane) | Timer::Watch(lane) => lane.worker != worker,
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
            let listed = pool.ready.iter().filter(|(.., slot)| *slot == index as u32);
            let listed: Vec<_> = listed.map(|(used, sessions, _)| (*used, *sessions)).collect();
            let right = Some((slot.lanes.used(), slot.sessions));
            let right = right.filter(|_| slot.has_room() && !slot.draining);
            assert_eq!(listed, right.into_iter().collect::<Vec<_>>(), "list of ready workers");
            slot.lanes.check();
            let homes = slot.stage != WorkerStage::Absent || slot.sessions == 0;
            assert!(homes, "sessions at home where nobody lives");
            if slot.is_idle() && slot.draining {
                assert!(slot.refs > 0, "a drained worker goes on");
            }
        }
    }
}
