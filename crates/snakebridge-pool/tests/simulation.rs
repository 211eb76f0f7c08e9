//! The scheduler among fake workers and fake callers, with a clock of its own.
//!
//! Each run is decided by one number. A run that fails prints it; to repeat only that run:
//! `SNAKEBRIDGE_SIM_SEED=NUMBER cargo test -p snakebridge-pool --test simulation`. How many runs
//! are made is set with `SNAKEBRIDGE_SIM_RUNS` (default 10000).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use snakebridge_pool::{
    Action, Affinity, LaneKey, Outcome, PoolConfig, PoolId, Recycle, Refusal, Returned, Scheduler,
    SessionKey, Ticket, Want, WorkerKey,
};

/// A small random generator (splitmix64): the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn millis(&mut self, limit: u64) -> Duration {
        Duration::from_micros(self.below(limit * 1000))
    }
}

/// What happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Started(WorkerKey),
    Failed(WorkerKey),
    Died(WorkerKey),
    Recovered(LaneKey),
    Arrives(u32),
    Ends(u32, LaneKey),
    GivesUp(Ticket),
    /// The future of a call is dropped, wherever it is.
    Dropped(u32),
    /// Further items of a stream are asked for, or it is dropped.
    Next(u32),
}

/// A stream between two batches of its items: an iterator that is held by a ref.
#[derive(Clone, Copy)]
struct Stream {
    pool: PoolId,
    session: SessionKey,
    worker: WorkerKey,
    /// How many more batches there are.
    left: u64,
}

struct World {
    dice: Dice,
    now: Instant,
    scheduler: Scheduler<&'static str>,
    events: BTreeSet<(Instant, u64, Event)>,
    count: u64,
    /// Calls that wait, and calls that hold a lane.
    waiting: BTreeMap<Ticket, u32>,
    /// What calls asked for.
    wants: BTreeMap<u32, Want>,
    holding: BTreeMap<LaneKey, u32>,
    /// Lanes whose call was interrupted and has not ended.
    stopping: BTreeSet<LaneKey>,
    /// Processes that are there, as the supervisor would know them.
    alive: BTreeSet<WorkerKey>,
    /// Refs that calls made: by worker.
    refs: Vec<WorkerKey>,
    sessions: Vec<(PoolId, SessionKey)>,
    /// When sessions are to be looked at.
    due: BTreeMap<SessionKey, Instant>,
    answered: BTreeSet<u32>,
    /// How many calls there were, those that streams have made included.
    asked: u32,
    /// Streams that rest, and calls that get the first or further items of one.
    streams: Vec<Option<Stream>>,
    feeds: BTreeMap<u32, Feed>,
    faults: bool,
}

/// What a call that gets items of a stream does.
#[derive(Clone, Copy)]
enum Feed {
    Begins(u64),
    GoesOn(usize),
}

const CALLS: u32 = 60;

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let pools: Vec<PoolConfig> = (0..=dice.below(2)).map(|_| config(&mut dice)).collect();
        let mut scheduler = Scheduler::new(pools.clone());
        let sessions = (0..=dice.below(6))
            .map(|_| (PoolId(dice.below(pools.len() as u64) as u16), scheduler.open_session()))
            .collect();
        let faults = dice.chance(70);
        // The clock of the run begins anywhere.
        #[expect(clippy::disallowed_methods, reason = "only the start of a made-up clock")]
        let now = Instant::now();
        let mut world = Self {
            dice,
            now,
            scheduler,
            events: BTreeSet::new(),
            count: 0,
            waiting: BTreeMap::new(),
            wants: BTreeMap::new(),
            holding: BTreeMap::new(),
            stopping: BTreeSet::new(),
            alive: BTreeSet::new(),
            refs: Vec::new(),
            sessions,
            due: BTreeMap::new(),
            answered: BTreeSet::new(),
            asked: CALLS,
            streams: Vec::new(),
            feeds: BTreeMap::new(),
            faults,
        };
        for call in 0..CALLS {
            let after = world.dice.millis(3000);
            world.at(after, Event::Arrives(call));
        }
        world
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.count += 1;
        self.events.insert((self.now + after, self.count, event));
    }

    fn run(mut self) {
        self.act();
        for step in 0.. {
            assert!(step < 100_000, "the world does not come to rest");
            let event = self.events.first().map(|(at, ..)| *at);
            let timer = self.scheduler.poll_timeout();
            let Some(next) = event.into_iter().chain(timer).min() else {
                break;
            };
            if event.is_none() && self.answered.len() == self.asked as usize && step > 5000 {
                break; // Only the scheduler's own clockwork is left.
            }
            self.now = self.now.max(next);
            if timer.is_some_and(|timer| timer <= self.now) {
                self.scheduler.handle_timeout(self.now);
            } else if let Some((_, _, event)) = self.events.pop_first() {
                self.happen(event);
            }
            self.act();
            self.check();
        }
        assert_eq!(self.answered.len(), self.asked as usize, "every call has ended");
        assert!(self.streams.iter().all(Option::is_none), "a stream has not ended");
        assert!(self.waiting.is_empty() && self.holding.is_empty());
        // A timer that is forgotten would leave a session open for ever.
        assert!(self.due.values().all(|at| *at > self.now), "a session was not looked at");
        self.close();
    }

    fn close(&mut self) {
        self.scheduler.close(self.now);
        self.act();
        for _ in 0..10_000 {
            let event = self.events.first().map(|(at, ..)| *at);
            let Some(next) = event.into_iter().chain(self.scheduler.poll_timeout()).min() else {
                break;
            };
            self.now = self.now.max(next);
            self.scheduler.handle_timeout(self.now);
            if event.is_some_and(|event| event <= self.now)
                && let Some((_, _, event)) = self.events.pop_first()
            {
                self.happen(event);
            }
            self.act();
        }
        assert!(self.alive.is_empty(), "workers are left after the end: {:?}", self.alive);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Started(worker) => {
                if self.alive.contains(&worker) {
                    self.scheduler.worker_started(self.now, worker);
                    if self.faults && self.dice.chance(10) {
                        let after = self.dice.millis(2000);
                        self.at(after, Event::Died(worker));
                    }
                }
            }
            Event::Failed(worker) => {
                if self.alive.remove(&worker) {
                    self.scheduler.worker_failed(self.now, worker, "no such interpreter");
                }
            }
            Event::Died(worker) => {
                if self.alive.remove(&worker) {
                    self.refs.retain(|other| *other != worker);
                    self.scheduler.worker_ended(worker);
                    let held = self.holding.keys().filter(|lane| lane.worker == worker);
                    for lane in held.copied().collect::<Vec<_>>() {
                        let call = self.holding.remove(&lane).expect("it was there");
                        self.answer(call);
                        self.scheduler.give_back(self.now, lane, Returned::Damaged, 0);
                    }
                }
            }
            Event::Recovered(lane) => {
                self.stopping.remove(&lane);
                if self.alive.contains(&lane.worker) {
                    self.scheduler.recovered(self.now, lane);
                }
            }
            Event::Dropped(call) => self.drop_call(call),
            Event::Next(stream) => self.go_on(stream as usize),
            Event::Arrives(call) => self.arrive(call),
            Event::Ends(call, lane) => self.end(call, lane),
            Event::GivesUp(ticket) => {
                if let Some(call) = self.waiting.remove(&ticket) {
                    self.scheduler.cancel(ticket);
                    self.answer(call);
                }
            }
        }
    }

    fn arrive(&mut self, call: u32) {
        let which = self.dice.below(self.sessions.len() as u64) as usize;
        let (pool, session) = self.sessions[which];
        let pinned = match self.refs.len() as u64 {
            0 => None,
            count if self.dice.chance(30) => Some(self.refs[self.dice.below(count) as usize]),
            _ => None,
        };
        let affinity = match self.dice.below(3) {
            0 => Affinity::Hint,
            1 => Affinity::StrictQueue,
            _ => Affinity::StrictFailFast,
        };
        let until = self.dice.chance(70).then(|| self.now + self.dice.millis(500));
        let want = Want { pool, session, pinned, affinity, until };
        if self.dice.chance(20) {
            let batches = self.dice.below(5);
            self.feeds.insert(call, Feed::Begins(batches));
        }
        if self.dice.chance(20) {
            // Its refs have a time to live; what was said last counts.
            let at = self.now + self.dice.millis(300);
            self.due.insert(session, at);
            self.scheduler.look_at_session(session, at);
        }
        self.request(call, want);
        if self.dice.chance(10) {
            let after = self.dice.millis(100);
            self.at(after, Event::Dropped(call));
        }
    }

    fn request(&mut self, call: u32, want: Want) {
        self.wants.insert(call, want);
        match self.scheduler.request(want) {
            Outcome::Granted(lane) => self.begin(call, lane),
            Outcome::Queued(ticket) => {
                self.waiting.insert(ticket, call);
                // Someone who waits without a limit gives up at some time.
                let patience = if want.until.is_some() { 5000 } else { 3000 };
                let after = self.dice.millis(patience);
                self.at(after, Event::GivesUp(ticket));
            }
            Outcome::Refused(refusal) => {
                if let Refusal::Lost(lost) = refusal {
                    assert!(!self.alive.contains(&lost), "called lost, but it lives");
                }
                self.answer(call);
            }
        }
    }

    fn begin(&mut self, call: u32, lane: LaneKey) {
        let worker = lane.worker;
        assert!(self.alive.contains(&worker), "granted a worker that is not there");
        assert!(!self.stopping.contains(&lane), "granted a lane that is being stopped");
        let other = self.holding.insert(lane, call);
        assert_eq!(other, None, "two calls hold {lane:?}");
        let want = self.wants[&call];
        match want.pinned {
            Some(pinned) => assert_eq!(pinned, worker, "not the worker of the refs"),
            None if want.affinity == Affinity::Hint => {}
            // A call that waits is served though its session is closed meanwhile.
            None if !self.sessions.iter().any(|(_, open)| *open == want.session) => {}
            None => {
                let home = self.scheduler.home_of(want.session);
                assert_eq!(home, Some(worker), "not the worker of the session");
            }
        }
        let mut after = self.dice.millis(60);
        if self.faults && self.dice.chance(10) {
            // It runs a callback, which may be one that does not come back.
            let deadline = self.now + self.dice.millis(50);
            self.scheduler.watch(lane, deadline);
            if self.dice.chance(50) {
                after = Duration::from_secs(60);
            }
        }
        self.at(after, Event::Ends(call, lane));
    }

    fn end(&mut self, call: u32, lane: LaneKey) {
        if self.holding.get(&lane) != Some(&call) {
            return; // The worker was lost meanwhile.
        }
        self.holding.remove(&lane);
        let made = self.dice.below(3);
        let how = match self.dice.below(20) {
            0 if self.faults => Returned::Running,
            1 if self.faults => Returned::Damaged,
            _ => Returned::Clean,
        };
        let made = if how == Returned::Clean { made } else { 0 };
        self.refs.extend((0..made).map(|_| lane.worker));
        let made = made + u64::from(self.feed(call, lane.worker, how == Returned::Clean));
        self.answer(call);
        self.scheduler.give_back(self.now, lane, how, made);
        while self.refs.len() > 4 {
            let which = self.dice.below(self.refs.len() as u64) as usize;
            let worker = self.refs.swap_remove(which);
            self.scheduler.released(self.now, worker, 1);
        }
    }

    /// A call has items of a stream, or has failed. Whether it has made a ref to an iterator.
    fn feed(&mut self, call: u32, worker: WorkerKey, is_well: bool) -> bool {
        let Want { pool, session, .. } = self.wants[&call];
        match self.feeds.remove(&call) {
            Some(Feed::Begins(left)) if is_well && left > 0 => {
                self.streams.push(Some(Stream { pool, session, worker, left }));
                self.rest(self.streams.len() - 1);
                true
            }
            Some(Feed::GoesOn(stream)) => {
                self.rest(stream);
                false
            }
            _ => false,
        }
    }

    /// Whoever reads a stream takes its time.
    fn rest(&mut self, stream: usize) {
        let after = self.dice.millis(80);
        self.at(after, Event::Next(stream as u32));
    }

    /// Asks for further items, or drops the stream: at its end, early, or because its worker is gone.
    fn go_on(&mut self, place: usize) {
        let Some(stream) = &mut self.streams[place] else { return };
        stream.left = stream.left.saturating_sub(1);
        let Stream { pool, session, worker, left } = *stream;
        if left == 0 || self.dice.chance(20) || !self.alive.contains(&worker) {
            self.streams[place] = None;
            return self.scheduler.released(self.now, worker, 1);
        }
        let call = self.asked;
        self.asked += 1;
        self.feeds.insert(call, Feed::GoesOn(place));
        let affinity = Affinity::Hint;
        let want = Want { pool, session, pinned: Some(worker), affinity, until: None };
        self.request(call, want);
    }

    /// The future of a call is dropped: while it waits, or while it runs.
    fn drop_call(&mut self, call: u32) {
        let waiting = self.waiting.iter().find(|(_, other)| **other == call);
        if let Some(ticket) = waiting.map(|(ticket, _)| *ticket) {
            self.waiting.remove(&ticket);
            self.scheduler.cancel(ticket);
            return self.answer(call);
        }
        let holding = self.holding.iter().find(|(_, other)| **other == call);
        if let Some(lane) = holding.map(|(lane, _)| *lane) {
            self.holding.remove(&lane);
            self.answer(call);
            self.scheduler.give_back(self.now, lane, Returned::Running, 0);
        }
    }

    fn answer(&mut self, call: u32) {
        if let Some(Feed::GoesOn(stream)) = self.feeds.remove(&call) {
            self.rest(stream); // It has failed: whoever reads the stream drops it, or tries again.
        }
        assert!(self.answered.insert(call), "call {call} was answered twice");
    }

    /// Carries out what the scheduler asks for.
    fn act(&mut self) {
        while let Some(action) = self.scheduler.poll_action() {
            match action {
                Action::Start(worker) => {
                    assert!(self.alive.insert(worker), "started twice: {worker:?}");
                    let after = self.dice.millis(100);
                    match self.faults && self.dice.chance(25) {
                        true => self.at(after, Event::Failed(worker)),
                        false => self.at(after, Event::Started(worker)),
                    }
                }
                Action::Interrupt(lane) => {
                    assert!(!self.holding.contains_key(&lane));
                    self.stopping.insert(lane);
                    if self.dice.chance(60) {
                        let after = self.dice.millis(1500);
                        self.at(after, Event::Recovered(lane));
                    }
                }
                Action::End(worker) => {
                    let used = self.holding.keys().any(|lane| lane.worker == worker);
                    assert!(!used, "ended during a call");
                    if self.dice.chance(80) {
                        let after = self.dice.millis(50);
                        self.at(after, Event::Died(worker));
                    }
                }
                Action::Kill(worker) => {
                    let after = self.dice.millis(5);
                    self.at(after, Event::Died(worker));
                }
                Action::Grant(ticket, lane) => match self.waiting.remove(&ticket) {
                    Some(call) => self.begin(call, lane),
                    None => panic!("granted to a call that had given up"),
                },
                Action::Refuse(ticket, _) => match self.waiting.remove(&ticket) {
                    Some(call) => self.answer(call),
                    None => panic!("refused a call that had given up"),
                },
                Action::SessionDue(session) => {
                    let at = self.due.remove(&session);
                    assert!(at.is_some_and(|at| at <= self.now), "looked at too early");
                    if self.dice.chance(20) {
                        self.replace_session(session);
                    }
                }
                other => panic!("unknown action {other:?}"),
            }
        }
    }

    /// Nobody has used a session for too long: it is closed, and others come.
    fn replace_session(&mut self, session: SessionKey) {
        self.scheduler.close_session(session);
        if let Some(entry) = self.sessions.iter_mut().find(|entry| entry.1 == session) {
            entry.1 = self.scheduler.open_session();
        }
    }

    fn check(&self) {
        #[cfg(debug_assertions)]
        self.scheduler.check_invariants();
    }
}

fn config(dice: &mut Dice) -> PoolConfig {
    let min = dice.below(3) as u32;
    let max = (min + dice.below(3) as u32).max(1);
    PoolConfig {
        min,
        max,
        lanes: 1 + dice.below(6).saturating_sub(3) as u32,
        idle_limit: dice.millis(500),
        queue_limit: 1 + dice.below(30) as usize,
        grace: Duration::from_millis(200),
        first_backoff: Duration::from_millis(50),
        last_backoff: Duration::from_millis(400),
        recycle: Recycle {
            calls: dice.chance(30).then(|| 1 + dice.below(8)),
            age: dice.chance(30).then(|| dice.millis(2000)),
            bytes: None,
            drain_limit: dice.chance(50).then(|| dice.millis(300)),
        },
    }
}

#[test]
fn every_seed_ends_well() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SNAKEBRIDGE_SIM_SEED") {
        return World::new(seed).run();
    }
    for seed in 0..number("SNAKEBRIDGE_SIM_RUNS").unwrap_or(10_000) {
        let outcome = std::panic::catch_unwind(|| World::new(seed).run());
        if let Err(panic) = outcome {
            eprintln!(
                "repeat this run with\n  SNAKEBRIDGE_SIM_SEED={seed} cargo test -p snakebridge-pool \
                 --test simulation"
            );
            std::panic::resume_unwind(panic);
        }
    }
}
