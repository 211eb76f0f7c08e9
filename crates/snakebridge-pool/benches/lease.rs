//! What a decision costs: a lease and its return, without contention.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use snakebridge_pool::{
    Affinity, Outcome, PoolConfig, PoolId, Returned, Scheduler, SessionKey, Want,
};

/// A scheduler whose workers have all started, with this many sessions that have a home.
fn settled(workers: u32, sessions: u32, now: Instant) -> (Scheduler<()>, Vec<SessionKey>) {
    let config = PoolConfig { min: workers, max: workers, ..PoolConfig::default() };
    let mut scheduler = Scheduler::new(vec![config]);
    for worker in 0..workers {
        let worker = scheduler.key(worker);
        scheduler.worker_started(now, worker);
    }
    let sessions: Vec<SessionKey> = (0..sessions).map(|_| scheduler.open_session()).collect();
    for session in &sessions {
        lease(&mut scheduler, *session, now);
    }
    while scheduler.poll_action().is_some() {}
    (scheduler, sessions)
}

fn lease(scheduler: &mut Scheduler<()>, session: SessionKey, now: Instant) {
    let want = Want {
        pool: PoolId(0),
        session,
        pinned: None,
        affinity: Affinity::StrictQueue,
        until: None,
    };
    if let Outcome::Granted(worker) = scheduler.request(black_box(want)) {
        scheduler.give_back(now, worker, Returned::Clean, 0);
    }
}

fn leases(criterion: &mut Criterion) {
    #[expect(clippy::disallowed_methods, reason = "a benchmark needs some moment")]
    let now = Instant::now();
    for (workers, sessions) in [(1, 1), (8, 64), (8, 10_000), (64, 10_000)] {
        let (mut scheduler, sessions) = settled(workers, sessions, now);
        let name = format!("lease and return, {workers} workers, {} sessions", sessions.len());
        let mut turn = sessions.iter().cycle();
        criterion.bench_function(&name, |bencher| {
            bencher.iter(|| {
                if let Some(session) = turn.next() {
                    lease(&mut scheduler, *session, now);
                }
            });
        });
    }
}

criterion_group!(benches, leases);
criterion_main!(benches);
