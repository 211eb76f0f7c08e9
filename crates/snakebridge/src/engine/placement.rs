//! The scheduler, and what it has no eyes for: the lanes themselves, the threads that wait, the
//! refs that are to be released, and how workers ended.
//!
//! All of it is behind one lock, which is never held during I/O or while code of a user runs. The
//! decisions are those of `snakebridge-pool`.

mod readiness;
mod releases;
#[cfg(feature = "tokio")]
mod task;
mod waiting;

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use snakebridge_pool::{
    Action, Affinity, LaneKey, Outcome, PoolConfig, PoolId, PoolStatus, Refusal, Returned,
    Scheduler, SessionKey, Ticket, WorkerKey,
};

use super::lane::Lane;
use super::loss::{Loss, ref_lost};
use super::monitor::{Latency, Meter};
use super::sessions::SessionState;
use super::{Command, PythonInfo, WorkerId, closed, platform};
use crate::error::{Error, ErrorKind, Result, Retry};
#[cfg(feature = "tokio")]
pub(crate) use task::Lease;
use waiting::Waiter;

/// What a call asks for.
#[derive(Clone, Debug)]
pub(crate) struct Want<'a> {
    pub(crate) session: &'a Arc<SessionState>,
    /// The worker of the refs that the call carries.
    pub(crate) pinned: Option<WorkerKey>,
    pub(crate) affinity: Affinity,
    /// How long it may wait, and until when at the latest.
    pub(crate) queue_limit: Option<Duration>,
    pub(crate) deadline: Option<Instant>,
}

impl<'a> Want<'a> {
    /// Any worker of the pool of a session, however long it takes.
    pub(crate) fn any(session: &'a Arc<SessionState>) -> Self {
        let affinity = Affinity::Hint;
        Self { session, pinned: None, affinity, queue_limit: None, deadline: None }
    }
}

/// A lane for one call, and the releases to send ahead of it: session and id in turn.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) worker: WorkerKey,
    pub(crate) lane: Box<Lane>,
    pub(crate) releases: Vec<u64>,
}

impl Grant {
    pub(crate) fn key(&self) -> LaneKey {
        self.lane.key_on(self.worker)
    }
}

#[derive(Debug)]
pub(crate) struct Placement {
    state: Mutex<State>,
    /// A worker was lost, for those who wait to know how.
    lost: Condvar,
    /// Wakes the supervisor.
    bell: OwnedFd,
}

#[derive(Debug)]
struct State {
    scheduler: Scheduler<Error>,
    places: Vec<Place>,
    waiters: HashMap<Ticket, Waiter>,
    /// Tasks to wake once the lock is free, because whatever they are woken by may be a user's.
    wakers: Vec<Waker>,
    /// Tasks that want to know how a worker ended.
    loss_wakers: Vec<Waker>,
    /// What the supervisor has to do.
    commands: Vec<Command>,
    pythons: Vec<Option<PythonInfo>>,
    /// The supervisor knows that something is to be released.
    flushing: bool,
    /// When the supervisor will look at the timers by itself.
    looks_at: Option<Instant>,
    closed: bool,
    /// How long calls take, where somebody may ask.
    meter: Option<Meter>,
}

/// What belongs to the place of a worker.
#[derive(Debug, Default)]
struct Place {
    /// By their numbers; there while no call has them.
    lanes: Vec<Option<Box<Lane>>>,
    /// Lanes of calls that nobody waits for any more, with the numbers of their sessions.
    stopping: Vec<(u32, Box<Lane>)>,
    releases: Vec<u64>,
    losses: VecDeque<(u32, Arc<Loss>)>,
}

/// How many past lives of a place are remembered, for refs that come back late.
const REMEMBERED_LOSSES: usize = 16;

impl Placement {
    pub(crate) fn new(pools: Vec<PoolConfig>, bell: OwnedFd, metered: bool) -> Self {
        let places = pools.iter().map(|pool| pool.max as usize).sum();
        let meter = metered.then(|| Meter::new(pools.len(), places));
        let mut state = State {
            pythons: vec![None; pools.len()],
            scheduler: Scheduler::new(pools),
            places: (0..places).map(|_| Place::default()).collect(),
            waiters: HashMap::new(),
            wakers: Vec::new(),
            loss_wakers: Vec::new(),
            commands: Vec::new(),
            flushing: false,
            looks_at: None,
            closed: false,
            meter,
        };
        state.act();
        Self { state: Mutex::new(state), lost: Condvar::new(), bell }
    }

    // For callers.

    /// Takes back a lane whose call has ended, and has made this many new refs.
    pub(crate) fn give_back(&self, worker: WorkerKey, lane: Box<Lane>, made: u64) {
        let mut state = self.lock();
        // The lane of a lost worker, or of a closed bridge, is closed here.
        if !state.scheduler.is_alive(worker) {
            return;
        }
        let key = lane.key_on(worker);
        state.take_back(worker, lane);
        state.measure(key, true);
        state.scheduler.give_back(Instant::now(), key, Returned::Clean, made);
        self.done(state);
    }

    /// Takes back a lane on which nothing was sent.
    pub(crate) fn give_back_unused(&self, grant: Grant) {
        let mut state = self.lock();
        if state.scheduler.is_alive(grant.worker) {
            let key = grant.key();
            state.place(grant.worker).releases.extend(grant.releases);
            state.take_back(grant.worker, grant.lane);
            state.measure(key, false);
            state.scheduler.give_back(Instant::now(), key, Returned::Unused, 0);
        }
        self.done(state);
    }

    /// Takes back a lane on which a call still runs that nobody waits for any more.
    pub(crate) fn give_back_running(
        &self,
        worker: WorkerKey,
        session: u32,
        lane: Box<Lane>,
        made: u64,
    ) {
        let mut state = self.lock();
        if !state.scheduler.is_alive(worker) {
            return;
        }
        let key = lane.key_on(worker);
        state.place(worker).stopping.push((session, lane));
        state.scheduler.give_back(Instant::now(), key, Returned::Running, made);
        self.done(state);
    }

    /// This lane cannot be used any more, nor its worker.
    pub(crate) fn give_back_damaged(&self, lane: LaneKey) {
        let mut state = self.lock();
        state.measure(lane, true);
        state.scheduler.give_back(Instant::now(), lane, Returned::Damaged, 0);
        self.done(state);
    }

    /// Has a worker killed if the call on this lane does not come back by this time and the grace time
    /// after it.
    pub(crate) fn watch(&self, lane: LaneKey, deadline: Instant) {
        let mut state = self.lock();
        state.scheduler.watch(lane, deadline);
        self.done(state);
    }

    pub(crate) fn open_session(&self) -> SessionKey {
        self.lock().scheduler.open_session()
    }

    /// Has the supervisor look at a session at this time.
    pub(crate) fn look_at_session(&self, session: SessionKey, at: Instant) {
        let mut state = self.lock();
        state.scheduler.look_at_session(session, at);
        self.done(state);
    }

    /// Which Python the workers of a pool run on, once one has started.
    pub(crate) fn python(&self, pool: PoolId) -> Option<PythonInfo> {
        self.lock().pythons[usize::from(pool.0)].clone()
    }

    pub(crate) fn status(&self, pool: PoolId) -> PoolStatus {
        self.lock().scheduler.status(pool)
    }

    /// How long the calls of a pool took, and how long its workers had some.
    pub(crate) fn measured_times(&self, pool: PoolId, workers: &[u32]) -> (Latency, Vec<Duration>) {
        match &self.lock().meter {
            Some(meter) => {
                let busy = workers.iter().map(|slot| meter.busy(*slot));
                (meter.latency(usize::from(pool.0)), busy.collect())
            }
            None => (Latency::default(), vec![Duration::ZERO; workers.len()]),
        }
    }

    // For the supervisor.

    pub(crate) fn take_commands(&self) -> Vec<Command> {
        std::mem::take(&mut self.lock().commands)
    }

    /// When something is due. The supervisor is woken if that becomes earlier.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let mut state = self.lock();
        state.looks_at = state.scheduler.poll_timeout();
        state.looks_at
    }

    pub(crate) fn handle_timeout(&self) {
        let mut state = self.lock();
        state.scheduler.handle_timeout(Instant::now());
        self.done(state);
    }

    pub(crate) fn started(&self, worker: WorkerKey, lanes: Vec<Lane>, python: PythonInfo) {
        let mut state = self.lock();
        let pool = state.scheduler.pool_of_worker(worker);
        state.pythons[usize::from(pool.0)].get_or_insert(python);
        if state.closed {
            return;
        }
        state.place(worker).lanes = lanes.into_iter().map(|lane| Some(Box::new(lane))).collect();
        state.scheduler.worker_started(Instant::now(), worker);
        state.wake_watching(pool);
        self.done(state);
    }

    /// A worker uses this many bytes of memory.
    pub(crate) fn measured(&self, worker: WorkerKey, bytes: u64) {
        let mut state = self.lock();
        state.scheduler.measured(Instant::now(), worker, bytes);
        self.done(state);
    }

    pub(crate) fn failed(&self, worker: WorkerKey, error: Error) {
        let mut state = self.lock();
        state.scheduler.worker_failed(Instant::now(), worker, error);
        self.done(state);
    }

    /// A worker has ended.
    pub(crate) fn ended(&self, worker: WorkerKey, loss: Loss) {
        let mut state = self.lock();
        if !state.scheduler.is_alive(worker) {
            return;
        }
        let place = state.place(worker);
        place.losses.push_back((worker.generation, Arc::new(loss)));
        if place.losses.len() > REMEMBERED_LOSSES {
            place.losses.pop_front();
        }
        place.lanes.clear();
        // What is lent on them tells of its end, for which the lock has to be free.
        let stopping = std::mem::take(&mut place.stopping);
        place.releases = Vec::new();
        if let Some(meter) = &mut state.meter {
            meter.forget(worker);
        }
        state.scheduler.worker_ended(worker);
        self.lost.notify_all();
        state.wake_for_loss();
        self.done(state);
        drop(stopping);
    }

    /// The interrupted call of a worker has ended.
    pub(crate) fn recovered(&self, worker: WorkerKey, lane: Box<Lane>) {
        let mut state = self.lock();
        if !state.scheduler.is_alive(worker) {
            return;
        }
        let key = lane.key_on(worker);
        state.take_back(worker, lane);
        state.measure(key, true);
        state.scheduler.recovered(Instant::now(), key);
        self.done(state);
    }

    /// Ends everything: nobody gets a lane any more, and idle ones are closed.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        state.closed = true;
        state.scheduler.close(Instant::now());
        // Also those of workers that are not idle, which would wait for their end.
        state.places.iter_mut().for_each(|place| place.lanes.clear());
        state.commands.push(Command::Shutdown);
        self.lost.notify_all();
        state.wake_for_loss();
        self.done(state);
    }

    /// Has the supervisor do something, unless the bridge is closed.
    pub(crate) fn ask(&self, command: Command) {
        let mut state = self.lock();
        if !state.closed {
            state.commands.push(command);
        }
        self.done(state);
    }

    /// Has the supervisor look around.
    pub(crate) fn wake_supervisor(&self) {
        platform::ring(&self.bell);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out what the scheduler wants, and wakes the supervisor if it has a part in that.
    fn done(&self, mut state: MutexGuard<'_, State>) {
        state.act();
        let wanted = !state.commands.is_empty() || state.is_due_earlier();
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        if wanted {
            platform::ring(&self.bell);
        }
    }
}

impl State {
    /// Whether something is due before the supervisor looks by itself.
    fn is_due_earlier(&self) -> bool {
        let due = self.scheduler.poll_timeout();
        due.is_some_and(|due| self.looks_at.is_none_or(|looks| due < looks))
    }

    fn request(&mut self, want: &Want<'_>) -> Outcome<Error> {
        self.scheduler.request(snakebridge_pool::Want {
            pool: want.session.pool,
            session: want.session.key,
            pinned: want.pinned,
            affinity: want.affinity,
            // The caller keeps its own time while it waits.
            until: None,
        })
    }

    fn act(&mut self) {
        while let Some(action) = self.scheduler.poll_action() {
            match action {
                Action::Start(worker) => {
                    let pool = self.scheduler.pool_of_worker(worker);
                    self.commands.push(Command::Start(worker, pool));
                }
                Action::Interrupt(key) => {
                    let worker = key.worker;
                    let stopping = &mut self.place(worker).stopping;
                    let found = stopping.iter().position(|(_, lane)| lane.number == key.lane);
                    if let Some((session, lane)) = found.map(|found| stopping.swap_remove(found)) {
                        self.commands.push(Command::Stop { worker, session, lane });
                    }
                }
                Action::End(worker) => {
                    self.place(worker).lanes.clear();
                    self.commands.push(Command::Look);
                }
                Action::Kill(worker) => self.commands.push(Command::Kill(worker)),
                Action::Grant(ticket, lane) => {
                    let outcome = self.grant(lane);
                    self.answer(ticket, outcome);
                }
                Action::Refuse(ticket, refusal) => {
                    let error = self.refusal(refusal);
                    self.answer(ticket, Err(error));
                }
                Action::SessionDue(session) => self.commands.push(Command::LookAt(session)),
                // The scheduler is of the same version.
                _ => {}
            }
        }
    }

    fn answer(&mut self, ticket: Ticket, outcome: Result<Grant>) {
        if let Some(waiter) = self.waiters.get_mut(&ticket) {
            waiter.outcome = Some(outcome);
            self.wake(ticket);
        }
    }

    fn grant(&mut self, key: LaneKey) -> Result<Grant> {
        let LaneKey { worker, lane } = key;
        let place = self.place(worker);
        match place.lanes.get_mut(lane as usize).and_then(Option::take) {
            Some(lane) => {
                let releases = std::mem::take(&mut place.releases);
                if let Some(meter) = &mut self.meter {
                    meter.begin(key);
                }
                Ok(Grant { worker, lane, releases })
            }
            None => Err(Error::new(ErrorKind::Protocol, "a free lane is not there")
                .with_worker(WorkerId(worker.slot))),
        }
    }

    /// Notes how long a call had a lane that comes back.
    fn measure(&mut self, lane: LaneKey, is_call: bool) {
        if let Some(meter) = &mut self.meter {
            let pool = self.scheduler.pool_of_worker(lane.worker);
            meter.end(lane, usize::from(pool.0), is_call);
        }
    }

    fn place(&mut self, worker: WorkerKey) -> &mut Place {
        &mut self.places[worker.slot as usize]
    }

    fn known_loss(&self, worker: WorkerKey) -> Option<Arc<Loss>> {
        let losses = &self.places.get(worker.slot as usize)?.losses;
        let found = losses.iter().find(|(generation, _)| *generation == worker.generation);
        found.map(|(_, loss)| Arc::clone(loss))
    }

    fn refusal(&self, refusal: Refusal<Error>) -> Error {
        match refusal {
            Refusal::Busy(worker) => {
                Error::new(ErrorKind::Busy, "the worker of the session or ref is busy")
                    .with_worker(WorkerId(worker.slot))
                    .with_hint("use `Affinity::StrictQueue` to wait for it")
            }
            Refusal::Lost(worker) => ref_lost(worker, self.known_loss(worker).as_deref()),
            Refusal::Saturated(waiting) => {
                Error::new(ErrorKind::Saturated, format!("{waiting} calls wait already"))
                    .with_hint("call less at once, or give the pool more workers or a longer queue")
            }
            Refusal::StartFailed(error) => error,
            Refusal::SessionClosed => {
                Error::new(ErrorKind::SessionClosed, "the session was closed")
            }
            _ => closed(),
        }
    }

    fn waited_too_long(&self, want: &Want<'_>) -> Error {
        use snakebridge_pool::WorkerStage::{Absent, Backoff, Starting};
        let status = self.scheduler.status(want.session.pool);
        let starting = |stage| matches!(stage, Absent | Backoff | Starting);
        let early = want.deadline.is_none_or(|deadline| Instant::now() < deadline);
        let limit = want.queue_limit.filter(|_| early);
        let until = match limit {
            Some(limit) => format!("within {limit:?}, as long as the call may wait"),
            None => "until the time for the call was over".to_owned(),
        };
        let message = match want.pinned {
            _ if status.workers.iter().all(|(_, stage, ..)| starting(*stage)) => {
                format!("no worker had started {until}")
            }
            Some(_) => {
                format!("the worker of the call's refs was busy {until}")
            }
            None => format!("no worker was free {until}"),
        };
        Error::new(ErrorKind::Timeout, message).with_retry(Retry::Safe)
    }
}
