//! Leases: a worker given to one call at a time, and the calls that wait for one.

use std::time::Instant;

use super::status::WorkerStage;
use super::workers::Timer;
use super::{Action, PoolId, Scheduler, SessionKey, WorkerKey};

/// Names a call that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Which worker a call goes to, where no ref decides it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete by nature: the three of the design")]
pub enum Affinity {
    /// The session's worker if it is free, else any.
    #[default]
    Hint,
    /// The session's worker; waits for it.
    StrictQueue,
    /// The session's worker; fails if it is not free.
    StrictFailFast,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "filled by one crate, in one place")]
pub struct Want {
    /// The pool of the call.
    pub pool: PoolId,
    /// Its session.
    pub session: SessionKey,
    /// The worker of the refs that it carries.
    pub pinned: Option<WorkerKey>,
    /// Which worker it goes to where no ref decides it.
    pub affinity: Affinity,
    /// Until when it may wait.
    pub until: Option<Instant>,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by nature")]
pub enum Outcome<E> {
    /// Here is a worker. It must be given back with [`Scheduler::give_back`].
    Granted(WorkerKey),
    /// The call waits: an [`Action`] with this ticket will follow.
    Queued(Ticket),
    /// There will be none.
    Refused(Refusal<E>),
}

/// Why a call gets no worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal<E> {
    /// The session's worker is busy, and the call does not wait.
    Busy(WorkerKey),
    /// The worker of its refs has ended.
    Lost(WorkerKey),
    /// Too many calls wait already: this many.
    Saturated(usize),
    /// No worker of the pool could be started.
    StartFailed(E),
    /// It waited as long as it may.
    TimedOut,
    /// The session was closed.
    SessionClosed,
    /// The scheduler was closed.
    Closed,
}

/// In which state a worker comes back from a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by nature")]
pub enum Returned {
    /// The reply was read.
    Clean,
    /// Nothing was sent.
    Unused,
    /// The call still runs, and nobody waits for it any more.
    Running,
    /// The lane cannot be used any more.
    Damaged,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pool: PoolId,
    session: SessionKey,
    /// The worker without which the call cannot do.
    needs: Option<WorkerKey>,
    /// The call carries refs, so it cannot go to any other worker.
    pinned: bool,
    /// The call goes to the worker of its session, as soon as that has one.
    strict: bool,
    until: Option<Instant>,
}

/// How many calls that have left it a queue may hold besides twice those that wait.
const MOST_LEFT: usize = 64;

impl<E: Clone> Scheduler<E> {
    /// Asks for a worker.
    pub fn request(&mut self, want: Want) -> Outcome<E> {
        if self.closed {
            return Outcome::Refused(Refusal::Closed);
        }
        if !self.sessions.is_open(want.session) {
            return Outcome::Refused(Refusal::SessionClosed);
        }
        let needed = match self.choose(&want) {
            Ok(needed) => needed,
            Err(outcome) => return outcome,
        };
        if needed.is_none()
            && let Some(slot) = self.idle_worker(want.pool)
        {
            let worker = self.take(slot);
            self.settle(want.session, worker);
            return Outcome::Granted(worker);
        }
        let pool = self.pool(want.pool);
        if pool.waiting >= pool.config.queue_limit {
            return Outcome::Refused(Refusal::Saturated(pool.waiting));
        }
        if needed.is_none()
            && !self.grow(want.pool)
            && let Some(failure) = self.pool(want.pool).failure.clone()
        {
            return Outcome::Refused(Refusal::StartFailed(failure));
        }
        Outcome::Queued(self.enqueue(&want, needed))
    }

    /// The worker that the call needs, an idle one of those at once, or none in particular.
    fn choose(&mut self, want: &Want) -> Result<Option<WorkerKey>, Outcome<E>> {
        let home = self.home_of(want.session).filter(|home| self.is_in(want.pool, *home));
        let Some(worker) = want.pinned.or(home) else {
            return Ok(None);
        };
        if !self.is_alive(worker) {
            return Err(Outcome::Refused(Refusal::Lost(worker)));
        }
        // A worker that is to be replaced serves those that cannot do without it, to the end.
        let slot = &self.slots[worker.slot as usize];
        let bound = want.pinned.is_some() || want.affinity != Affinity::Hint;
        if slot.is_idle() && (bound || !slot.is_draining()) {
            return Err(Outcome::Granted(self.take(worker.slot)));
        }
        match (want.pinned, want.affinity) {
            (_, Affinity::StrictFailFast) => Err(Outcome::Refused(Refusal::Busy(worker))),
            (Some(_), _) | (None, Affinity::StrictQueue) => Ok(Some(worker)),
            (None, Affinity::Hint) => Ok(None),
        }
    }

    /// The idle worker that takes a call of this pool. One that is to be replaced takes it only where
    /// no other is left and none will come: held by refs, it could keep the calls waiting for ever.
    fn idle_worker(&self, pool: PoolId) -> Option<u32> {
        match self.pools[usize::from(pool.0)].idle.first() {
            Some(&(_, slot)) => Some(slot),
            None if self.has_only_draining(pool) => {
                self.slots_of(pool).find(|slot| self.slots[*slot as usize].is_idle())
            }
            None => None,
        }
    }

    fn enqueue(&mut self, want: &Want, needs: Option<WorkerKey>) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        match needs {
            Some(worker) => self.slots[worker.slot as usize].queue.push_back(ticket),
            None => self.pool(want.pool).queue.push_back(ticket),
        }
        if let Some(until) = want.until {
            self.timers.insert((until, Timer::Wait(ticket)));
        }
        self.pool(want.pool).waiting += 1;
        let strict = want.pinned.is_none() && want.affinity != Affinity::Hint;
        if strict && needs.is_none() {
            self.sessions.count_homeless(want.session, 1);
        }
        let waiter = Waiter {
            pool: want.pool,
            session: want.session,
            needs,
            pinned: want.pinned.is_some(),
            strict,
            until: want.until,
        };
        self.waiters.insert(ticket, waiter);
        ticket
    }

    /// Takes this worker, if it is idle, for something that is no call.
    pub fn take_idle(&mut self, worker: WorkerKey) -> bool {
        let idle = self.is_alive(worker) && self.slots[worker.slot as usize].is_idle();
        if idle {
            self.take(worker.slot);
        }
        idle
    }

    /// Takes a call out of the queue. A worker that it was granted meanwhile has to be given back.
    pub fn cancel(&mut self, ticket: Ticket) {
        if let Some(waiter) = self.forget(ticket) {
            self.tidy(&waiter);
        }
    }

    /// Takes calls that have left it out of a queue, where those make up most of it.
    fn tidy(&mut self, left: &Waiter) {
        let pool = &mut self.pools[usize::from(left.pool.0)];
        let queue = match left.needs {
            Some(worker) => &mut self.slots[worker.slot as usize].queue,
            None => &mut pool.queue,
        };
        if queue.len() > 2 * pool.waiting + MOST_LEFT {
            queue.retain(|ticket| self.waiters.contains_key(ticket));
        }
    }

    /// Kills a worker if the call that has it does not give it back within the grace time after its
    /// deadline. For calls that run code of the host, which nothing can interrupt.
    pub fn watch(&mut self, worker: WorkerKey, deadline: Instant) {
        if !self.is_alive(worker) || self.slots[worker.slot as usize].stage != WorkerStage::Busy {
            return;
        }
        self.unwatch(worker);
        let until = deadline + self.config_of(worker.slot).grace;
        self.slots[worker.slot as usize].watched_until = Some(until);
        self.timers.insert((until, Timer::Watch(worker)));
    }

    fn unwatch(&mut self, worker: WorkerKey) {
        if let Some(until) = self.slots[worker.slot as usize].watched_until.take() {
            self.timers.remove(&(until, Timer::Watch(worker)));
        }
    }

    pub(super) fn watched_too_long(&mut self, worker: WorkerKey) {
        self.slots[worker.slot as usize].watched_until = None;
        self.kill(worker);
    }

    /// Takes a worker back from a call that ended, and that made `made` new refs.
    pub fn give_back(&mut self, now: Instant, worker: WorkerKey, how: Returned, made: u64) {
        if !self.is_alive(worker) {
            return;
        }
        if self.slots[worker.slot as usize].stage != WorkerStage::Busy {
            return;
        }
        self.unwatch(worker);
        let grace = self.config_of(worker.slot).grace;
        let slot = &mut self.slots[worker.slot as usize];
        slot.calls += u64::from(how != Returned::Unused);
        slot.refs += made as i64;
        match how {
            Returned::Clean | Returned::Unused => self.free(now, worker.slot),
            Returned::Running => {
                slot.stage = WorkerStage::Stopping;
                self.timers.insert((now + grace, Timer::Grace(worker)));
                self.actions.push_back(Action::Interrupt(worker));
            }
            Returned::Damaged => self.kill(worker),
        }
    }

    /// A worker whose call was interrupted has come to its end.
    pub fn recovered(&mut self, now: Instant, worker: WorkerKey) {
        if !self.is_alive(worker) {
            return;
        }
        let slot = &mut self.slots[worker.slot as usize];
        if slot.stage == WorkerStage::Stopping {
            slot.stage = WorkerStage::Busy;
            self.timers.retain(|(_, timer)| *timer != Timer::Grace(worker));
            self.free(now, worker.slot);
        }
    }

    /// Refs were made on a worker that no call has made: arguments of callbacks on threads.
    pub fn made(&mut self, worker: WorkerKey, count: u64) {
        if self.is_alive(worker) {
            self.slots[worker.slot as usize].refs += count as i64;
        }
    }

    /// Refs on a worker were released.
    pub fn released(&mut self, now: Instant, worker: WorkerKey, count: u64) {
        if !self.is_alive(worker) {
            return;
        }
        let slot = &mut self.slots[worker.slot as usize];
        slot.refs -= count as i64;
        if slot.refs > 0 || !slot.is_idle() {
            return;
        }
        if slot.is_draining() {
            self.end(now, worker);
        } else if slot.has_been_idle_too_long(now) {
            self.idle_too_long(now, worker);
        }
    }

    /// Gives a worker that is done with a call to the next one, or lets it be idle.
    pub(super) fn free(&mut self, now: Instant, slot: u32) {
        self.check_recycling(now, slot);
        let held = self.slots[slot as usize].is_held() && !self.closed;
        if self.slots[slot as usize].is_draining() && !held {
            let worker = self.key(slot);
            return self.end(now, worker);
        }
        match self.next_for(slot) {
            Some(ticket) => self.grant(ticket, slot),
            None => self.idle(now, slot),
        }
    }

    /// The oldest call that this worker can take.
    fn next_for(&mut self, slot: u32) -> Option<Ticket> {
        let waiters = &self.waiters;
        let own = &mut self.slots[slot as usize].queue;
        while own.front().is_some_and(|ticket| !waiters.contains_key(ticket)) {
            own.pop_front();
        }
        let own = own.front().copied();
        let pool = self.slots[slot as usize].pool;
        if self.slots[slot as usize].is_draining() && !self.has_only_draining(pool) {
            return own;
        }
        let waiters = &self.waiters;
        let any = &mut self.pools[usize::from(pool.0)].queue;
        while any.front().is_some_and(|ticket| !waiters.contains_key(ticket)) {
            any.pop_front();
        }
        match (own, any.front().copied()) {
            (Some(own), Some(any)) => Some(own.min(any)),
            (own, any) => own.or(any),
        }
    }

    fn grant(&mut self, ticket: Ticket, slot: u32) {
        let worker = self.key(slot);
        self.slots[slot as usize].stage = WorkerStage::Busy;
        if let Some(waiter) = self.forget(ticket) {
            if !waiter.pinned {
                self.settle(waiter.session, worker);
            }
            self.actions.push_back(Action::Grant(ticket, worker));
        }
    }

    pub(super) fn refuse(&mut self, ticket: Ticket, refusal: Refusal<E>) {
        if self.forget(ticket).is_some() {
            self.actions.push_back(Action::Refuse(ticket, refusal));
        }
    }

    fn forget(&mut self, ticket: Ticket) -> Option<Waiter> {
        let waiter = self.waiters.remove(&ticket)?;
        self.pool(waiter.pool).waiting -= 1;
        if waiter.strict && waiter.needs.is_none() {
            self.sessions.count_homeless(waiter.session, -1);
        }
        if let Some(until) = waiter.until {
            self.timers.remove(&(until, Timer::Wait(ticket)));
        }
        Some(waiter)
    }

    pub(super) fn waited_too_long(&mut self, ticket: Ticket) {
        if let Some(waiter) = self.forget(ticket) {
            self.tidy(&waiter);
            self.actions.push_back(Action::Refuse(ticket, Refusal::TimedOut));
        }
    }

    /// The worker for which these calls waited has ended: those with refs are refused, the others
    /// go to any worker.
    pub(super) fn rehome(&mut self, slot: u32, lost: WorkerKey) {
        let queue = std::mem::take(&mut self.slots[slot as usize].queue);
        for ticket in queue {
            let Some(waiter) = self.waiters.get_mut(&ticket) else {
                continue;
            };
            if waiter.pinned {
                self.refuse(ticket, Refusal::Lost(lost));
                continue;
            }
            waiter.needs = None;
            let (pool, session) = (waiter.pool, waiter.session);
            self.sessions.count_homeless(session, 1);
            let queue = &mut self.pool(pool).queue;
            // Tickets are numbered by age, and those that have waited longest stay in front.
            let place = queue.partition_point(|other| *other < ticket);
            queue.insert(place, ticket);
        }
    }

    /// A session has got its worker: its strict calls that wait for any now wait for that one.
    pub(super) fn take_home(&mut self, session: SessionKey, worker: WorkerKey) {
        let pool = self.slots[worker.slot as usize].pool;
        let mut queue = std::mem::take(&mut self.pool(pool).queue);
        queue.retain(|ticket| {
            let Some(waiter) = self.waiters.get_mut(ticket) else { return false };
            if waiter.session != session || !waiter.strict {
                return true;
            }
            waiter.needs = Some(worker);
            self.sessions.count_homeless(session, -1);
            self.slots[worker.slot as usize].queue.push_back(*ticket);
            false
        });
        self.pool(pool).queue = queue;
    }

    /// Gives idle workers of a pool to calls that have come into its queue.
    pub(super) fn dispatch(&mut self, pool: PoolId) {
        while let Some(slot) = self.idle_worker(pool) {
            let Some(ticket) = self.next_for(slot) else {
                break;
            };
            self.take(slot);
            self.grant(ticket, slot);
        }
    }

    /// Refuses all calls that wait for any worker of a pool.
    pub(super) fn refuse_pool(&mut self, pool: PoolId, failure: &E) {
        for ticket in std::mem::take(&mut self.pool(pool).queue) {
            self.refuse(ticket, Refusal::StartFailed(failure.clone()));
        }
    }

    fn is_in(&self, pool: PoolId, worker: WorkerKey) -> bool {
        self.slots[worker.slot as usize].pool == pool
    }

    #[cfg(debug_assertions)]
    pub(super) fn check_queues(&self) {
        for (number, pool) in self.pools.iter().enumerate() {
            let id = PoolId(number as u16);
            let waiting = self.waiters.values().filter(|waiter| waiter.pool == id).count();
            assert_eq!(waiting, pool.waiting, "count of waiting calls");
            let any = self.waiters.values().any(|w| w.pool == id && w.needs.is_none());
            assert!(!any || self.idle_worker(id).is_none(), "a call waits while a worker is idle");
            let coming = self.slots_of(id).any(|slot| self.is_coming(slot));
            assert!(!any || coming, "a call waits, and no worker will come");
        }
        for (ticket, waiter) in &self.waiters {
            let queue = match waiter.needs {
                Some(worker) => {
                    assert!(self.is_alive(worker), "a call waits for a worker that has ended");
                    let slot = &self.slots[worker.slot as usize];
                    assert!(!slot.is_idle(), "a call waits for a worker that is idle");
                    &slot.queue
                }
                None => &self.pools[usize::from(waiter.pool.0)].queue,
            };
            let found = queue.iter().filter(|other| *other == ticket).count();
            assert_eq!(found, 1, "a waiting call stands in one queue, once");
        }
    }
}
