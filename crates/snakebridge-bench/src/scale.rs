//! Whether a call takes longer where there is much of everything: sessions, workers, live refs.

use std::hint::black_box;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use snakebridge::{Ref, Session, WorkerState, WorkerStatus};
use snakebridge_pool::{
    Affinity, Outcome, PoolConfig, PoolId, Returned, Scheduler, SessionKey, Want,
};

use crate::cores::Cores;
use crate::report::Report;
use crate::stats::Series;
use crate::{Result, Setup};

pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    let _held = Cores::One.hold()?;
    leases(report);
    sessions(setup, report)?;
    refs(setup, report)
}

/// A lease and its return as the library makes them: two decisions, each under a lock that nobody else
/// wants, with a look for what else is to be done.
fn leases(report: &mut Report) {
    const COUNT: u32 = 1_000_000;
    let config = PoolConfig { min: 1, max: 1, ..PoolConfig::default() };
    let mut scheduler = Scheduler::<()>::new(vec![config]);
    scheduler.worker_started(Instant::now(), scheduler.key(0));
    let session = scheduler.open_session();
    let scheduler = Mutex::new(scheduler);
    let start = Instant::now();
    for _ in 0..COUNT {
        lease(&scheduler, session);
    }
    report.barred("lease_ns", start.elapsed().as_nanos() as f64 / f64::from(COUNT), 300.0);
}

fn lease(scheduler: &Mutex<Scheduler<()>>, session: SessionKey) {
    let want =
        Want { pool: PoolId(0), session, pinned: None, affinity: Affinity::Hint, until: None };
    let outcome = scheduler.lock().unwrap_or_else(PoisonError::into_inner).request(black_box(want));
    if let Outcome::Granted(worker) = outcome {
        let mut scheduler = scheduler.lock().unwrap_or_else(PoisonError::into_inner);
        scheduler.give_back(Instant::now(), worker, Returned::Clean, 0);
        while scheduler.poll_action().is_some() {}
        black_box(scheduler.poll_timeout());
    }
}

/// Measures calls in one session, and in 10,000, on one worker; and in 8, 64 and 10,000 on eight. On
/// eight workers each call goes to another process than the one before, whose memory has left the
/// caches; that is so with one session on each as well.
fn sessions(setup: &Setup, report: &mut Report) -> Result<()> {
    for (workers, counts) in [(1, [1, 64, 10_000]), (8, [8, 64, 10_000])] {
        let mut few = Turn::new(setup, workers, counts[0])?;
        let mut some = Turn::new(setup, workers, counts[1])?;
        let mut many = Turn::new(setup, workers, counts[2])?;
        for round in 0..=setup.rounds(20, 60) {
            for turn in [&mut few, &mut some, &mut many] {
                turn.round()?;
                if round == 0 {
                    turn.series.clear();
                }
            }
        }
        let on = if workers == 1 { "1_worker" } else { "8_workers" };
        report.number(format!("call_few_sessions_{on}_p50_us"), few.series.p50_us());
        let over = some.series.over(&few.series);
        report.barred(format!("call_64_sessions_over_few_{on}"), over, 1.1);
        let over = many.series.over(&few.series);
        report.barred(format!("call_10k_sessions_over_few_{on}"), over, 1.1);
    }
    Ok(())
}

/// Sessions that call one after the other.
struct Turn {
    sessions: Vec<Session>,
    next: usize,
    series: Series,
}

impl Turn {
    fn new(setup: &Setup, workers: usize, count: usize) -> Result<Self> {
        let py = setup.bridge().workers(workers).build()?;
        // Sessions are spread over the workers that are there.
        let is_idle = |worker: &WorkerStatus| worker.state == WorkerState::Idle;
        while !py.status()?.pools[0].workers.iter().all(is_idle) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let sessions: Vec<Session> =
            (0..count).map(|_| py.session().open()).collect::<Result<_, _>>()?;
        let mut workers_used: Vec<i32> = sessions
            .iter()
            .map(|session| session.call("os", "getpid", ()).wait())
            .collect::<Result<_, _>>()?;
        workers_used.sort_unstable();
        workers_used.dedup();
        match workers_used.len() == workers {
            true => Ok(Self { sessions, next: 0, series: Series::default() }),
            false => Err(format!("{count} sessions are on {} workers", workers_used.len()).into()),
        }
    }

    fn round(&mut self) -> Result<()> {
        self.series.round(1000, || {
            self.next = (self.next + 1) % self.sessions.len();
            call(&self.sessions[self.next])
        })
    }
}

fn call(session: &Session) -> Result<()> {
    match session.call::<f64>("math", "sqrt", (16,)).wait()? == 4.0 {
        true => Ok(()),
        false => Err("a wrong result".into()),
    }
}

/// Measures calls on a bridge without refs, and on one with a million, in turn.
fn refs(setup: &Setup, report: &mut Report) -> Result<()> {
    const COUNT: usize = 1_000_000;
    let bare = setup.bridge().build()?.session().open()?;
    let full = setup.bridge().session_max_refs(COUNT + 1).build()?.session().open()?;
    let mut refs: Vec<Ref> = Vec::with_capacity(COUNT);
    while refs.len() < COUNT {
        let code = "[object() for _ in range(10_000)]";
        refs.extend(full.call::<Vec<Ref>>("builtins", "eval", (code,)).wait()?);
    }
    let [mut bares, mut fulls] = [(); 2].map(|()| Series::default());
    for round in 0..=setup.rounds(20, 60) {
        bares.round(1000, || call(&bare))?;
        fulls.round(1000, || call(&full))?;
        if round == 0 {
            bares.clear();
            fulls.clear();
        }
    }
    report.barred("call_1m_refs_over_0", fulls.over(&bares), 1.1);
    Ok(())
}
