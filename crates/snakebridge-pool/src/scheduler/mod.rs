//! The state machine: its parts, what goes in, what comes out.

mod lanes;
mod leases;
mod sessions;
mod status;
mod workers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

pub use lanes::LaneKey;
pub use leases::{Affinity, Outcome, Refusal, Returned, Ticket, Want};
pub use sessions::SessionKey;
pub use status::{PoolStatus, WorkerStage};

use crate::config::PoolConfig;
use leases::Waiter;
use sessions::Sessions;
use workers::{Slot, Timer};

/// Names a pool: its place in the list of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "complete by nature: a number")]
pub struct PoolId(pub u16);

/// Names one life of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "complete by nature: a place and a count")]
pub struct WorkerKey {
    /// The place of the worker; places of all pools are numbered through.
    pub slot: u32,
    /// How many workers had this place before.
    pub generation: u32,
}

/// What has to be done for the scheduler, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action<E> {
    /// Start this worker; answer with [`Scheduler::worker_started`] or
    /// [`Scheduler::worker_failed`].
    Start(WorkerKey),
    /// Interrupt the call that runs on this lane; answer with [`Scheduler::recovered`].
    Interrupt(LaneKey),
    /// Let this worker end by itself: close its lanes. Answer with [`Scheduler::worker_ended`].
    End(WorkerKey),
    /// Kill this worker. Answer with [`Scheduler::worker_ended`].
    Kill(WorkerKey),
    /// A call that waited has its lane.
    Grant(Ticket, LaneKey),
    /// A call that waited will get none.
    Refuse(Ticket, Refusal<E>),
    /// It is time to look at this session; see [`Scheduler::look_at_session`].
    SessionDue(SessionKey),
}

/// All pools of a bridge. `E` is why a worker could not be started.
#[derive(Debug)]
pub struct Scheduler<E> {
    pools: Vec<Pool<E>>,
    slots: Vec<Slot>,
    sessions: Sessions,
    waiters: BTreeMap<Ticket, Waiter>,
    last_ticket: u64,
    timers: BTreeSet<(Instant, Timer)>,
    actions: VecDeque<Action<E>>,
    closed: bool,
}

#[derive(Debug)]
struct Pool<E> {
    config: PoolConfig,
    first_slot: u32,
    /// Workers with a free lane that take any call: how many lanes are used, sessions, place.
    ready: BTreeSet<(usize, u32, u32)>,
    /// Calls that any worker of the pool can take, oldest first. Cancelled ones are skipped.
    queue: VecDeque<Ticket>,
    /// How many calls wait, for whichever worker.
    waiting: usize,
    /// Why the last start failed, until one works.
    failure: Option<E>,
}

impl<E: Clone> Scheduler<E> {
    /// A scheduler of these pools; asks for their first workers.
    #[must_use]
    pub fn new(configs: Vec<PoolConfig>) -> Self {
        let mut scheduler = Self {
            pools: Vec::new(),
            slots: Vec::new(),
            sessions: Sessions::default(),
            waiters: BTreeMap::new(),
            last_ticket: 0,
            timers: BTreeSet::new(),
            actions: VecDeque::new(),
            closed: false,
        };
        for config in configs {
            scheduler.add_pool(config);
        }
        scheduler
    }

    fn add_pool(&mut self, config: PoolConfig) {
        let pool = PoolId(self.pools.len() as u16);
        let first_slot = self.slots.len() as u32;
        let (min, max, lanes) = (config.min, config.max, config.lanes);
        self.pools.push(Pool {
            config,
            first_slot,
            ready: BTreeSet::new(),
            queue: VecDeque::new(),
            waiting: 0,
            failure: None,
        });
        self.slots.extend((0..max).map(|_| Slot::new(pool, lanes)));
        for slot in first_slot..first_slot + min {
            self.start(slot);
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action<E>> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, timer)) = self.timers.first() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Wait(ticket) => self.waited_too_long(ticket),
                Timer::Grace(worker) => self.grace_over(worker),
                Timer::Stop(lane) => self.kill(lane.worker),
                Timer::Backoff(worker) => self.backoff_over(worker),
                Timer::Idle(worker) => self.idle_too_long(now, worker),
                Timer::Age(worker) => self.old_enough(now, worker),
                Timer::Drain(worker) => self.drained_too_long(now, worker),
                Timer::Watch(lane) => self.kill(lane.worker),
                Timer::Session(session) => self.session_due(session),
            }
        }
    }

    /// Refuses all calls, now and from now on, and lets all workers end.
    pub fn close(&mut self, now: Instant) {
        self.closed = true;
        let waiting: Vec<Ticket> = self.waiters.keys().copied().collect();
        for ticket in waiting {
            self.refuse(ticket, Refusal::Closed);
        }
        for slot in 0..self.slots.len() as u32 {
            self.end_for_close(now, slot);
        }
    }

    fn pool(&mut self, pool: PoolId) -> &mut Pool<E> {
        &mut self.pools[usize::from(pool.0)]
    }

    fn pool_of(&mut self, slot: u32) -> &mut Pool<E> {
        let pool = self.slots[slot as usize].pool;
        self.pool(pool)
    }

    fn config_of(&self, slot: u32) -> &PoolConfig {
        let pool = self.slots[slot as usize].pool;
        &self.pools[usize::from(pool.0)].config
    }

    fn slots_of(&self, pool: PoolId) -> std::ops::Range<u32> {
        let pool = &self.pools[usize::from(pool.0)];
        pool.first_slot..pool.first_slot + pool.config.max
    }
}
