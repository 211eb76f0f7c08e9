//! Rules of the scheduler, each shown by the shortest run that tells it from its opposite.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::time::{Duration, Instant};

use snakebridge_pool::{
    Action, Affinity, LaneKey, Outcome, PoolConfig, PoolId, Recycle, Returned, Scheduler,
    SessionKey, Want, WorkerKey,
};

/// One pool whose first worker is ready, and a session in it.
struct Bench {
    scheduler: Scheduler<&'static str>,
    session: SessionKey,
    worker: WorkerKey,
    now: Instant,
}

impl Bench {
    fn new(config: PoolConfig) -> Self {
        let mut scheduler = Scheduler::new(vec![config]);
        let session = scheduler.open_session();
        let Some(Action::Start(worker)) = scheduler.poll_action() else { panic!("no start") };
        #[expect(clippy::disallowed_methods, reason = "only the start of a made-up clock")]
        let now = Instant::now();
        scheduler.worker_started(now, worker);
        Self { scheduler, session, worker, now }
    }

    /// The lane of the worker, which has but one.
    fn lane(&self) -> LaneKey {
        LaneKey { worker: self.worker, lane: 0 }
    }

    fn request(&mut self, pinned: Option<WorkerKey>) -> Outcome<&'static str> {
        let (pool, session) = (PoolId(0), self.session);
        let affinity = Affinity::Hint;
        self.scheduler.request(Want { pool, session, pinned, affinity, until: None })
    }

    /// A call that makes so many refs.
    fn call(&mut self, made: u64) {
        assert_eq!(self.request(None), Outcome::Granted(self.lane()));
        self.give_back(made);
    }

    fn give_back(&mut self, made: u64) {
        let lane = self.lane();
        self.scheduler.give_back(self.now, lane, Returned::Clean, made);
    }

    fn refs(&self) -> u64 {
        self.scheduler.status(PoolId(0)).workers[0].3
    }
}

fn recycled_after(calls: u64) -> PoolConfig {
    let recycle = Recycle { calls: Some(calls), ..Recycle::default() };
    PoolConfig { recycle, ..PoolConfig::default() }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn refs_that_are_dropped_before_their_call_has_ended_are_counted_once() {
    let mut bench = Bench::new(PoolConfig::default());
    assert_eq!(bench.request(None), Outcome::Granted(bench.lane()));
    bench.scheduler.released(bench.now, bench.worker, 2);
    bench.give_back(3);
    assert_eq!(bench.refs(), 1);
}

#[test]
fn the_limit_of_draining_holds_for_refs_of_the_call_that_ran_when_it_was_over() {
    let mut config = recycled_after(1);
    config.recycle.drain_limit = Some(Duration::from_secs(1));
    let mut bench = Bench::new(config);
    bench.call(1);
    assert_eq!(bench.request(Some(bench.worker)), Outcome::Granted(bench.lane()));
    bench.now += Duration::from_secs(2);
    bench.scheduler.handle_timeout(bench.now);
    bench.give_back(1);
    assert_eq!(bench.scheduler.poll_action(), Some(Action::End(bench.worker)));
}

#[test]
fn a_worker_that_is_due_but_held_serves_where_there_is_no_other() {
    let mut bench = Bench::new(recycled_after(1));
    for _ in 0..3 {
        bench.call(1);
    }
    bench.scheduler.released(bench.now, bench.worker, 3);
    assert_eq!(bench.scheduler.poll_action(), Some(Action::End(bench.worker)));
}

#[test]
fn a_worker_that_is_due_but_held_serves_when_no_other_could_be_started() {
    let mut bench = Bench::new(PoolConfig { max: 2, ..recycled_after(1) });
    bench.call(1);
    let Outcome::Queued(ticket) = bench.request(None) else { panic!("another one can start") };
    let Some(Action::Start(other)) = bench.scheduler.poll_action() else { panic!("no start") };
    bench.scheduler.worker_failed(bench.now, other, "no such interpreter");
    assert_eq!(bench.scheduler.poll_action(), Some(Action::Grant(ticket, bench.lane())));
}

#[test]
fn a_session_is_looked_at_once_at_the_last_time_that_was_asked_for() {
    let mut bench = Bench::new(PoolConfig::default());
    let (session, now) = (bench.session, bench.now);
    let second = Duration::from_secs(1);
    bench.scheduler.look_at_session(session, now + second);
    bench.scheduler.look_at_session(session, now + second * 2);
    bench.scheduler.handle_timeout(now + second);
    assert_eq!(bench.scheduler.poll_action(), None);
    bench.scheduler.handle_timeout(now + second * 2);
    assert_eq!(bench.scheduler.poll_action(), Some(Action::SessionDue(session)));
    assert_eq!(bench.scheduler.poll_timeout(), None);
}

#[test]
fn a_closed_session_is_not_looked_at() {
    let mut bench = Bench::new(PoolConfig::default());
    bench.scheduler.look_at_session(bench.session, bench.now + Duration::from_secs(1));
    bench.scheduler.close_session(bench.session);
    assert_eq!(bench.scheduler.poll_timeout(), None);
    // Another session in its place does not inherit the wish.
    bench.scheduler.open_session();
    bench.scheduler.handle_timeout(bench.now + Duration::from_secs(2));
    assert_eq!(bench.scheduler.poll_action(), None);
}

#[test]
fn a_watched_call_that_does_not_come_back_costs_the_worker() {
    let mut bench = Bench::new(PoolConfig { grace: SECOND, ..PoolConfig::default() });
    let worker = bench.worker;
    assert_eq!(bench.request(None), Outcome::Granted(bench.lane()));
    bench.scheduler.watch(bench.lane(), bench.now + SECOND);
    bench.scheduler.handle_timeout(bench.now + SECOND);
    assert_eq!(bench.scheduler.poll_action(), None, "within the grace time");
    bench.scheduler.handle_timeout(bench.now + 2 * SECOND);
    assert_eq!(bench.scheduler.poll_action(), Some(Action::Kill(worker)));
}

#[test]
fn a_watched_call_that_comes_back_is_watched_no_more() {
    let mut bench = Bench::new(PoolConfig::default());
    assert_eq!(bench.request(None), Outcome::Granted(bench.lane()));
    bench.scheduler.watch(bench.lane(), bench.now + SECOND);
    bench.give_back(0);
    assert_eq!(bench.scheduler.poll_timeout(), None);
    bench.call(0);
}

#[test]
fn a_spare_worker_that_was_held_ends_when_it_is_held_no_more() {
    let config = PoolConfig { min: 0, max: 1, idle_limit: SECOND, ..PoolConfig::default() };
    let mut scheduler = Scheduler::<&str>::new(vec![config]);
    let session = scheduler.open_session();
    let (pool, affinity) = (PoolId(0), Affinity::Hint);
    let want = Want { pool, session, pinned: None, affinity, until: None };
    assert!(matches!(scheduler.request(want), Outcome::Queued(_)));
    let Some(Action::Start(worker)) = scheduler.poll_action() else { panic!("no start") };
    #[expect(clippy::disallowed_methods, reason = "only the start of a made-up clock")]
    let now = Instant::now();
    scheduler.worker_started(now, worker);
    assert!(matches!(scheduler.poll_action(), Some(Action::Grant(..))));
    scheduler.give_back(now, LaneKey { worker, lane: 0 }, Returned::Clean, 1);
    // Its time has come, but there is an object in it.
    scheduler.handle_timeout(now + 2 * SECOND);
    assert_eq!(scheduler.poll_action(), None);
    scheduler.released(now + 3 * SECOND, worker, 1);
    assert_eq!(scheduler.poll_action(), Some(Action::End(worker)));
}

#[test]
fn a_worker_that_is_held_no_more_before_its_time_stays_until_then() {
    let config = PoolConfig { min: 0, max: 1, idle_limit: SECOND, ..PoolConfig::default() };
    let mut scheduler = Scheduler::<&str>::new(vec![config]);
    let session = scheduler.open_session();
    let (pool, affinity) = (PoolId(0), Affinity::Hint);
    let want = Want { pool, session, pinned: None, affinity, until: None };
    assert!(matches!(scheduler.request(want), Outcome::Queued(_)));
    let Some(Action::Start(worker)) = scheduler.poll_action() else { panic!("no start") };
    #[expect(clippy::disallowed_methods, reason = "only the start of a made-up clock")]
    let now = Instant::now();
    scheduler.worker_started(now, worker);
    scheduler.give_back(now, LaneKey { worker, lane: 0 }, Returned::Clean, 1);
    assert!(matches!(scheduler.poll_action(), Some(Action::Grant(..))));
    scheduler.released(now + SECOND / 2, worker, 1);
    assert_eq!(scheduler.poll_action(), None);
    scheduler.handle_timeout(now + 2 * SECOND);
    assert_eq!(scheduler.poll_action(), Some(Action::End(worker)));
}

#[test]
fn calls_that_have_left_the_queue_start_no_worker() {
    let config = PoolConfig { min: 0, max: 2, ..PoolConfig::default() };
    let mut scheduler = Scheduler::<&str>::new(vec![config]);
    let session = scheduler.open_session();
    let (pool, affinity) = (PoolId(0), Affinity::Hint);
    let want = Want { pool, session, pinned: None, affinity, until: None };
    let Outcome::Queued(ticket) = scheduler.request(want) else { panic!("not queued") };
    let Some(Action::Start(worker)) = scheduler.poll_action() else { panic!("no start") };
    scheduler.cancel(ticket);
    scheduler.worker_ended(worker);
    assert_eq!(scheduler.poll_action(), None, "nobody waits for a worker");
}

#[test]
fn a_worker_with_many_lanes_carries_out_as_many_calls_and_ends_with_the_last() {
    let mut bench = Bench::new(PoolConfig { lanes: 2, ..recycled_after(2) });
    let lane = |lane| LaneKey { worker: bench.worker, lane };
    let (first, second) = (lane(0), lane(1));
    assert_eq!(bench.request(None), Outcome::Granted(first));
    assert_eq!(bench.request(None), Outcome::Granted(second));
    let Outcome::Queued(ticket) = bench.request(None) else { panic!("there are two lanes") };
    bench.scheduler.give_back(bench.now, second, Returned::Clean, 0);
    assert_eq!(bench.scheduler.poll_action(), Some(Action::Grant(ticket, second)));
    bench.scheduler.give_back(bench.now, second, Returned::Clean, 0);
    assert_eq!(bench.scheduler.poll_action(), None, "a call still runs");
    bench.scheduler.give_back(bench.now, first, Returned::Clean, 0);
    assert_eq!(bench.scheduler.poll_action(), Some(Action::End(bench.worker)));
}

#[test]
fn stopping_one_call_leaves_the_others_alone_unless_it_does_not_end() {
    let mut bench = Bench::new(PoolConfig { lanes: 2, grace: SECOND, ..PoolConfig::default() });
    let [first, second] = [0, 1].map(|lane| LaneKey { worker: bench.worker, lane });
    assert_eq!(bench.request(None), Outcome::Granted(first));
    assert_eq!(bench.request(None), Outcome::Granted(second));
    bench.scheduler.give_back(bench.now, first, Returned::Running, 0);
    assert_eq!(bench.scheduler.poll_action(), Some(Action::Interrupt(first)));
    bench.scheduler.recovered(bench.now, first);
    assert_eq!(bench.request(None), Outcome::Granted(first));
    bench.scheduler.give_back(bench.now, second, Returned::Running, 0);
    assert_eq!(bench.scheduler.poll_action(), Some(Action::Interrupt(second)));
    bench.scheduler.handle_timeout(bench.now + SECOND);
    assert_eq!(bench.scheduler.poll_action(), Some(Action::Kill(bench.worker)));
}
