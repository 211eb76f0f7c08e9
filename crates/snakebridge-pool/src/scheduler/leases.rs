//! Leases: a lane of a worker given to one call at a time, and the calls that wait for one.

use std::time::Instant;

use super::lanes::{LaneKey, LaneState};
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
    /// Here is a lane. It must be given back with [`Scheduler::give_back`].
    Granted(LaneKey),
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
            && let Some(lane) = self.ready_worker(want.pool).and_then(|slot| self.take(slot))
        {
            self.settle(want.session, lane.worker);
            return Outcome::Granted(lane);
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

    /// The worker that the call needs, a free lane of that at once, or none in particular.
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
        if (bound && !slot.is_leaving() || !slot.is_draining())
            && let Some(lane) = self.take(worker.slot)
        {
            return Err(Outcome::Granted(lane));
        }
        match (want.pinned, want.affinity) {
            (_, Affinity::StrictFailFast) => Err(Outcome::Refused(Refusal::Busy(worker))),
            (Some(_), _) | (None, Affinity::StrictQueue) => Ok(Some(worker)),
            (None, Affinity::Hint) => Ok(None),
        }
    }

    /// The worker that takes a call of this pool now. One that is to be replaced takes it only where
    /// no other is left and none will come: held by refs, it could keep the calls waiting for ever.
    fn ready_worker(&self, pool: PoolId) -> Option<u32> {
        match self.pools[usize::from(pool.0)].ready.first() {
            Some(&(.., slot)) => Some(slot),
            None if self.has_only_draining(pool) => self.slots_of(pool).find(|slot| {
                let slot = &self.slots[*slot as usize];
                slot.has_room() && !slot.is_leaving()
            }),
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

    /// Takes a free lane of this worker for something that is no call.
    pub fn take_free(&mut self, worker: WorkerKey) -> Option<LaneKey> {
        if self.is_alive(worker) { self.take(worker.slot) } else { None }
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

    /// Kills a worker if the call that has this lane does not give it back within the grace time after
    /// its deadline. For calls that run code of the host, which nothing can interrupt.
    pub fn watch(&mut self, lane: LaneKey, deadline: Instant) {
        if !self.is_taken(lane) {
            return;
        }
        self.unwatch(lane);
        let until = deadline + self.config_of(lane.worker.slot).grace;
        self.slots[lane.worker.slot as usize].lanes.watch(lane.lane, Some(until));
        self.timers.insert((until, Timer::Watch(lane)));
    }

    fn unwatch(&mut self, lane: LaneKey) {
        let lanes = &mut self.slots[lane.worker.slot as usize].lanes;
        if let LaneState::Taken { watched_until: Some(until) } = lanes.state(lane.lane) {
            lanes.watch(lane.lane, None);
            self.timers.remove(&(until, Timer::Watch(lane)));
        }
    }

    /// Whether a call has this lane.
    fn is_taken(&self, lane: LaneKey) -> bool {
        let slot = &self.slots[lane.worker.slot as usize];
        let state = slot.lanes.state(lane.lane);
        self.is_alive(lane.worker) && slot.is_up() && matches!(state, LaneState::Taken { .. })
    }

    /// Takes a lane back from a call that ended, and that made `made` new refs.
    pub fn give_back(&mut self, now: Instant, lane: LaneKey, how: Returned, made: u64) {
        if !self.is_taken(lane) {
            return;
        }
        self.unwatch(lane);
        let place = lane.worker.slot;
        let until = now + self.config_of(place).grace;
        let slot = &mut self.slots[place as usize];
        slot.calls += u64::from(how != Returned::Unused);
        slot.refs += made as i64;
        match how {
            Returned::Clean | Returned::Unused => self.free(now, lane),
            Returned::Running => {
                slot.lanes.stop(lane.lane, until);
                slot.update_stage();
                self.timers.insert((until, Timer::Stop(lane)));
                self.actions.push_back(Action::Interrupt(lane));
            }
            Returned::Damaged => self.kill(lane.worker),
        }
    }

    /// The call of a lane that was interrupted has come to its end.
    pub fn recovered(&mut self, now: Instant, lane: LaneKey) {
        let slot = &self.slots[lane.worker.slot as usize];
        if !self.is_alive(lane.worker) || !slot.is_up() {
            return;
        }
        if let LaneState::Stopping { until } = slot.lanes.state(lane.lane) {
            self.timers.remove(&(until, Timer::Stop(lane)));
            self.free(now, lane);
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

    /// A lane is free: for the next call, if there is one.
    fn free(&mut self, now: Instant, lane: LaneKey) {
        let place = lane.worker.slot;
        self.unlist(place);
        let slot = &mut self.slots[place as usize];
        slot.lanes.free(lane.lane);
        slot.update_stage();
        self.serve(now, place);
    }

    /// Gives the free lanes of a worker to calls that wait; lets it be idle, or end, if none is used then.
    pub(super) fn serve(&mut self, now: Instant, slot: u32) {
        self.check_recycling(now, slot);
        let entry = &self.slots[slot as usize];
        if entry.is_leaving() || (entry.is_draining() && self.closed) {
            if self.slots[slot as usize].is_idle() {
                let worker = self.key(slot);
                self.end(now, worker);
            }
            return;
        }
        while self.slots[slot as usize].has_room()
            && let Some(ticket) = self.next_for(slot)
        {
            self.grant(ticket, slot);
        }
        self.list(slot);
        if self.slots[slot as usize].is_idle() {
            self.idle(now, slot);
        }
    }

    /// The oldest call that this worker can take.
    fn next_for(&mut self, slot: u32) -> Option<Ticket> {
        let own = self.next_own(slot);
        let pool = self.slots[slot as usize].pool;
        let entry = &self.slots[slot as usize];
        if entry.is_leaving() || (entry.is_draining() && !self.has_only_draining(pool)) {
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

    /// The oldest call that needs this very worker.
    fn next_own(&mut self, slot: u32) -> Option<Ticket> {
        let waiters = &self.waiters;
        let own = &mut self.slots[slot as usize].queue;
        while own.front().is_some_and(|ticket| !waiters.contains_key(ticket)) {
            own.pop_front();
        }
        own.front().copied()
    }

    fn grant(&mut self, ticket: Ticket, slot: u32) {
        let Some(lane) = self.take(slot) else { return };
        if let Some(waiter) = self.forget(ticket) {
            if !waiter.pinned {
                self.settle(waiter.session, lane.worker);
            }
            self.actions.push_back(Action::Grant(ticket, lane));
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
        // It may have further lanes for them.
        while self.slots[worker.slot as usize].has_room()
            && !self.slots[worker.slot as usize].is_leaving()
            && let Some(ticket) = self.next_own(worker.slot)
        {
            self.grant(ticket, worker.slot);
        }
    }

    /// Gives free lanes of a pool to calls that have come into its queue.
    pub(super) fn dispatch(&mut self, pool: PoolId) {
        while let Some(slot) = self.ready_worker(pool) {
            let Some(ticket) = self.next_for(slot) else {
                break;
            };
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
            assert!(!any || self.ready_worker(id).is_none(), "a call waits while a lane is free");
            let coming = self.slots_of(id).any(|slot| self.is_coming(slot));
            assert!(!any || coming, "a call waits, and no worker will come");
        }
        for (ticket, waiter) in &self.waiters {
            let queue = match waiter.needs {
                Some(worker) => {
                    assert!(self.is_alive(worker), "a call waits for a worker that has ended");
                    let slot = &self.slots[worker.slot as usize];
                    let is_free = slot.has_room() && !slot.is_leaving();
                    assert!(!is_free, "a call waits for a worker with a free lane");
                    &slot.queue
                }
                None => &self.pools[usize::from(waiter.pool.0)].queue,
            };
            let found = queue.iter().filter(|other| *other == ticket).count();
            assert_eq!(found, 1, "a waiting call stands in one queue, once");
        }
    }
}
