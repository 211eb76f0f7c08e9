//! Who gets which lane: the simplest fair rule.
//!
//! A call that carries refs goes to their worker. Any other goes to the worker of its session, and
//! where that is busy and the affinity allows it, to a free one. Calls that wait are served in
//! order, except that one which needs a certain worker is passed over by those that do not.
//!
//! All state is behind one lock, which is never held during I/O or while code of a user runs.

use std::collections::{HashMap, VecDeque};
use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::lane::Lane;
use super::sessions::SessionState;
use super::{PythonInfo, WorkerKey, closed};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::options::Affinity;

/// What a call asks for.
#[derive(Clone, Debug)]
pub(crate) struct Want<'a> {
    pub(crate) session: &'a Arc<SessionState>,
    /// The worker of the refs that the call carries.
    pub(crate) pinned: Option<WorkerKey>,
    pub(crate) affinity: Affinity,
}

/// A lane for one call, and the releases to send ahead of it: session and id in turn.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) worker: WorkerKey,
    pub(crate) lane: Box<Lane>,
    pub(crate) releases: Vec<u64>,
}

/// How a worker ended.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    pub(crate) status: Option<ExitStatus>,
    /// The last lines that it wrote to its standard error.
    pub(crate) stderr: String,
}

#[derive(Debug)]
pub(crate) struct Placement {
    state: Mutex<State>,
    /// A worker was lost, for those who wait to know how.
    lost: Condvar,
}

#[derive(Debug, Default)]
struct State {
    slots: Vec<Slot>,
    queue: VecDeque<Waiter>,
    /// What waiters were given, until they wake up and take it.
    outcomes: HashMap<u64, Result<Grant>>,
    last_ticket: u64,
    closed: bool,
    python: Option<PythonInfo>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    stage: Stage,
    /// Sessions that have this worker as their home.
    sessions: usize,
    releases: Vec<u64>,
    losses: VecDeque<(u32, Arc<Loss>)>,
}

#[derive(Debug)]
enum Stage {
    Starting,
    Idle(Box<Lane>),
    Busy,
    Failed { error: Error, since: Instant },
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    session: Arc<SessionState>,
    pinned: Option<WorkerKey>,
    affinity: Affinity,
    woken: Arc<Condvar>,
}

/// After a failed start the next call tries again, but not more often than this.
const START_AGAIN: Duration = Duration::from_secs(1);
/// How many past lives of a slot are remembered, for refs that come back late.
const REMEMBERED_LOSSES: usize = 16;

impl Placement {
    pub(crate) fn new(workers: u32) -> Self {
        let slots = (0..workers).map(|_| Slot {
            generation: 0,
            stage: Stage::Starting,
            sessions: 0,
            releases: Vec::new(),
            losses: VecDeque::new(),
        });
        let state = State {
            slots: slots.collect(),
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            lost: Condvar::new(),
        }
    }

    /// Gives a lane at once if one is free, else waits for one. Gives nothing, and the slots that
    /// must be started again, if all have failed a while ago.
    pub(crate) fn lease(
        &self,
        want: &Want<'_>,
        deadline: Option<Instant>,
    ) -> (Option<Result<Grant>>, Vec<u32>) {
        let mut state = self.lock();
        match state.try_lease(want) {
            Some(outcome) => (Some(outcome), Vec::new()),
            None => match state.revive() {
                slots if slots.is_empty() => (Some(self.wait_locked(state, want, deadline)), slots),
                slots => (None, slots),
            },
        }
    }

    /// Waits for a lane.
    pub(crate) fn wait(&self, want: &Want<'_>, deadline: Option<Instant>) -> Result<Grant> {
        let mut state = self.lock();
        match state.try_lease(want) {
            Some(outcome) => outcome,
            None => self.wait_locked(state, want, deadline),
        }
    }

    fn wait_locked(
        &self,
        mut state: MutexGuard<'_, State>,
        want: &Want<'_>,
        deadline: Option<Instant>,
    ) -> Result<Grant> {
        state.last_ticket += 1;
        let ticket = state.last_ticket;
        let woken = Arc::new(Condvar::new());
        state.queue.push_back(Waiter {
            ticket,
            session: Arc::clone(want.session),
            pinned: want.pinned,
            affinity: want.affinity,
            woken: Arc::clone(&woken),
        });
        loop {
            if let Some(outcome) = state.outcomes.remove(&ticket) {
                return outcome;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                state.queue.retain(|waiter| waiter.ticket != ticket);
                return Err(
                    Error::new(ErrorKind::Timeout, state.why_waiting(want)).with_retry(Retry::Safe)
                );
            }
            state = match left {
                Some(left) => {
                    woken
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => woken.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Takes a lane back and gives it to the next that waits for it.
    pub(crate) fn give_back(&self, worker: WorkerKey, lane: Box<Lane>) {
        let mut state = self.lock();
        // The lane of a lost worker, or of a closed bridge, is closed here.
        if state.closed || state.slot(worker).is_none() {
            drop(state);
            drop(lane);
            return;
        }
        state.offer(worker, lane);
    }

    /// Takes a lane back on which nothing was sent.
    pub(crate) fn give_back_unused(&self, grant: Grant) {
        if let Some(slot) = self.lock().slot(grant.worker) {
            slot.releases.extend(grant.releases);
        }
        self.give_back(grant.worker, grant.lane);
    }

    /// Notes a ref to release on its worker. Whether anything has to be sent for it.
    pub(crate) fn release(&self, worker: WorkerKey, session: u32, id: u64) -> bool {
        let mut state = self.lock();
        match state.slot(worker) {
            Some(slot) => {
                slot.releases.extend([u64::from(session), id]);
                true
            }
            None => false,
        }
    }

    /// Notes that all refs of a session are to be released, wherever they are.
    pub(crate) fn release_everywhere(&self, session: u32) {
        for slot in &mut self.lock().slots {
            slot.releases.extend([u64::from(session), 0]);
        }
    }

    /// Takes an idle lane whose worker has something to release. Whether more wait elsewhere.
    pub(crate) fn take_for_releases(&self) -> (Option<Grant>, bool) {
        let mut state = self.lock();
        let waiting = |slot: &&mut Slot| !slot.releases.is_empty();
        let left = state.slots.iter_mut().filter(waiting).count();
        let ready =
            state.slots.iter_mut().enumerate().find(|(_, slot)| {
                !slot.releases.is_empty() && matches!(slot.stage, Stage::Idle(_))
            });
        match ready {
            Some((index, slot)) => (slot.take(index), true),
            None => (None, left > 0),
        }
    }

    /// Whether refs wait for release on any worker.
    pub(crate) fn has_releases(&self) -> bool {
        self.lock()
            .slots
            .iter()
            .any(|slot| !slot.releases.is_empty())
    }

    /// The present life of a slot.
    pub(crate) fn current(&self, slot: u32) -> Option<WorkerKey> {
        let generation = self.lock().slots.get(slot as usize)?.generation;
        Some(WorkerKey { slot, generation })
    }

    /// Notes which Python the workers run on: version and executable.
    pub(crate) fn set_python(&self, python: PythonInfo) {
        self.lock().python.get_or_insert(python);
    }

    /// Which Python the workers run on, once one has started.
    pub(crate) fn python(&self) -> Option<PythonInfo> {
        self.lock().python.clone()
    }

    /// A worker is ready.
    pub(crate) fn started(&self, worker: WorkerKey, lane: Box<Lane>) {
        self.give_back(worker, lane);
    }

    /// A worker could not be started.
    pub(crate) fn failed(&self, worker: WorkerKey, error: &Error) {
        let mut state = self.lock();
        let Some(slot) = state.slot(worker) else {
            return;
        };
        slot.stage = Stage::Failed {
            error: error.clone(),
            since: Instant::now(),
        };
        let all = state
            .slots
            .iter()
            .all(|slot| matches!(slot.stage, Stage::Failed { .. }));
        state.refuse(error, |waiter| all || waiter.needs() == Some(worker));
    }

    /// A worker has ended. Gives its successor.
    pub(crate) fn lost(&self, worker: WorkerKey, loss: Loss) -> Option<WorkerKey> {
        let mut state = self.lock();
        let loss = Arc::new(loss);
        let slot = state.slot(worker)?;
        slot.losses
            .push_back((worker.generation, Arc::clone(&loss)));
        if slot.losses.len() > REMEMBERED_LOSSES {
            slot.losses.pop_front();
        }
        slot.generation += 1;
        slot.stage = Stage::Starting;
        slot.sessions = 0;
        slot.releases = Vec::new();
        let successor = WorkerKey {
            generation: slot.generation,
            ..worker
        };
        state.refuse(&ref_lost(worker, Some(&loss)), |waiter| {
            waiter.pinned == Some(worker)
        });
        self.lost.notify_all();
        Some(successor)
    }

    /// How a worker ended; waits a while for the supervisor to find out.
    pub(crate) fn loss_of(&self, worker: WorkerKey, limit: Duration) -> Option<Arc<Loss>> {
        let state = self.lock();
        let unknown = |state: &mut State| !state.closed && state.slot(worker).is_some();
        let (state, _) = self
            .lost
            .wait_timeout_while(state, limit, unknown)
            .unwrap_or_else(PoisonError::into_inner);
        state.known_loss(worker)
    }

    /// Ends everything: nobody gets a lane any more, and idle ones are closed.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let mut lanes = Vec::new();
        for slot in &mut state.slots {
            if let Stage::Idle(lane) = std::mem::replace(&mut slot.stage, Stage::Busy) {
                lanes.push(lane);
            }
        }
        state.refuse(&closed(), |_| true);
        self.lost.notify_all();
        drop(state);
        drop(lanes);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A lane or an error at once; nothing if the call has to wait.
    fn try_lease(&mut self, want: &Want<'_>) -> Option<Result<Grant>> {
        if self.closed {
            return Some(Err(closed()));
        }
        let home = want.session.home().filter(|home| self.is_alive(*home));
        if let Some(worker) = want.pinned.or(home) {
            let index = worker.slot as usize;
            if want.pinned.is_some() && !self.is_alive(worker) {
                let loss = self.known_loss(worker);
                return Some(Err(ref_lost(worker, loss.as_deref())));
            }
            let slot = &mut self.slots[index];
            if let Some(grant) = slot.take(index) {
                return Some(Ok(grant));
            }
            if want.affinity == Affinity::StrictFailFast {
                return Some(Err(Error::new(
                    ErrorKind::Busy,
                    "the session's worker is busy",
                )
                .with_worker(worker.id())
                .with_hint("use `Affinity::StrictQueue` to wait for it")));
            }
            if want.pinned.is_some() || want.affinity == Affinity::StrictQueue {
                return self.slots[index].failure().map(Err);
            }
        }
        let free = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| matches!(slot.stage, Stage::Idle(_)))
            .min_by_key(|(_, slot)| slot.sessions);
        if let Some((index, _)) = free {
            return self.slots[index]
                .take(index)
                .map(|grant| Ok(self.settle(want.session, grant)));
        }
        let failures: Option<Vec<Error>> = self.slots.iter().map(Slot::failure).collect();
        match failures {
            Some(failures) if !self.slots.iter().any(Slot::failed_long_ago) => {
                failures.into_iter().next().map(Err)
            }
            _ => None,
        }
    }

    /// Makes the worker of a grant the home of a session that has none.
    fn settle(&mut self, session: &SessionState, grant: Grant) -> Grant {
        if session.home().is_none_or(|home| !self.is_alive(home)) {
            session.set_home(grant.worker);
            self.slots[grant.worker.slot as usize].sessions += 1;
        }
        grant
    }

    /// Gives a lane to the first that can use it, else lets it lie idle.
    fn offer(&mut self, worker: WorkerKey, lane: Box<Lane>) {
        let index = worker.slot as usize;
        self.slots[index].stage = Stage::Idle(lane);
        let fits = |waiter: &Waiter| self.is_for(waiter, worker);
        let Some(place) = self.queue.iter().position(fits) else {
            return;
        };
        let Some(waiter) = self.queue.remove(place) else {
            return;
        };
        if let Some(grant) = self.slots[index].take(index) {
            let grant = match waiter.pinned {
                Some(_) => grant,
                None => self.settle(&waiter.session, grant),
            };
            self.outcomes.insert(waiter.ticket, Ok(grant));
            waiter.woken.notify_one();
        }
    }

    fn is_for(&self, waiter: &Waiter, worker: WorkerKey) -> bool {
        match waiter.needs().filter(|needed| self.is_alive(*needed)) {
            Some(needed) => needed == worker,
            None => waiter.pinned.is_none(),
        }
    }

    fn refuse(&mut self, error: &Error, whom: impl Fn(&Waiter) -> bool) {
        let outcomes = &mut self.outcomes;
        self.queue.retain(|waiter| {
            let refused = whom(waiter);
            if refused {
                outcomes.insert(waiter.ticket, Err(error.clone()));
                waiter.woken.notify_one();
            }
            !refused
        });
    }

    /// Turns slots that failed a while ago back to starting.
    fn revive(&mut self) -> Vec<u32> {
        let mut revived = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.failed_long_ago() {
                slot.stage = Stage::Starting;
                revived.push(index as u32);
            }
        }
        revived
    }

    fn slot(&mut self, worker: WorkerKey) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(worker.slot as usize)?;
        (slot.generation == worker.generation).then_some(slot)
    }

    fn is_alive(&self, worker: WorkerKey) -> bool {
        let slot = self.slots.get(worker.slot as usize);
        slot.is_some_and(|slot| slot.generation == worker.generation)
    }

    fn known_loss(&self, worker: WorkerKey) -> Option<Arc<Loss>> {
        let losses = &self.slots.get(worker.slot as usize)?.losses;
        let found = losses
            .iter()
            .find(|(generation, _)| *generation == worker.generation);
        found.map(|(_, loss)| Arc::clone(loss))
    }

    fn why_waiting(&self, want: &Want<'_>) -> &'static str {
        let starting = |slot: &Slot| matches!(slot.stage, Stage::Starting);
        match want.pinned {
            _ if self.slots.iter().all(starting) => {
                "no worker had started when the time for the call was over"
            }
            Some(_) => {
                "the worker of the call's refs was busy until the time for the call was over"
            }
            None => "no worker was free until the time for the call was over",
        }
    }
}

impl Slot {
    /// Takes the lane if it is idle, with what is to be released.
    fn take(&mut self, index: usize) -> Option<Grant> {
        match std::mem::replace(&mut self.stage, Stage::Busy) {
            Stage::Idle(lane) => Some(Grant {
                worker: WorkerKey {
                    slot: index as u32,
                    generation: self.generation,
                },
                lane,
                releases: std::mem::take(&mut self.releases),
            }),
            other => {
                self.stage = other;
                None
            }
        }
    }

    fn failure(&self) -> Option<Error> {
        match &self.stage {
            Stage::Failed { error, .. } => Some(error.clone()),
            _ => None,
        }
    }

    fn failed_long_ago(&self) -> bool {
        matches!(self.stage, Stage::Failed { since, .. } if since.elapsed() >= START_AGAIN)
    }
}

impl Waiter {
    /// The worker that the waiter cannot do without.
    fn needs(&self) -> Option<WorkerKey> {
        match (self.pinned, self.affinity) {
            (Some(worker), _) => Some(worker),
            (None, Affinity::Hint) => None,
            (None, _) => self.session.home(),
        }
    }
}

impl Loss {
    /// How the worker ended, after "the worker".
    pub(crate) fn describe(&self) -> String {
        use std::os::unix::process::ExitStatusExt as _;
        let Some(status) = self.status else {
            return "was given up".to_owned();
        };
        match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with code {code}"),
            (None, Some(signal)) => format!("was killed by {}", signal_name(signal)),
            (None, None) => format!("ended: {status}"),
        }
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({name})")
}

fn ref_lost(worker: WorkerKey, loss: Option<&Loss>) -> Error {
    let how = loss.map_or_else(|| "has ended".to_owned(), Loss::describe);
    Error::new(
        ErrorKind::RefLost,
        format!("the ref is lost: the worker that held it {how}"),
    )
    .with_worker(worker.id())
    .with_hint("make the object again; a new worker has taken the place of the old one")
}
