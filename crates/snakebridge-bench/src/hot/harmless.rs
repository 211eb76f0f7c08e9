//! The second gear where it cannot win: it must not be worse than the first one there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use snakebridge::Bridge;

use super::{Gears, WARM, call};
use crate::cores::Cores;
use crate::report::Report;
use crate::stats::{Series, median};
use crate::{Result, Setup};

/// Between calls that are rare.
const APART: Duration = Duration::from_millis(2);
/// How long nothing is called.
const IDLE: Duration = Duration::from_secs(5);
const BUSY_LOOPS: usize = 4;

pub(super) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    let held = Cores::One.hold()?;
    report.barred("hot_pinned_over_pipe_pinned", ratio(&Gears::new(setup)?, setup)?, 1.25);
    drop(held);
    let gears = Gears::new(setup)?;
    (0..WARM).try_for_each(|_| call(&gears.hot))?;
    idle(&gears, report)?;
    sparse(&gears, setup, report)?;
    report.barred("two_hot_lanes_over_two_pipe_lanes", two_lanes(setup)?, 1.0);
    report.barred("hot_loaded_over_pipe_loaded", beside_busy_loops(|| ratio(&gears, setup))?, 1.25);
    Ok(())
}

/// How much longer the same calls take all in all: a few that wait for long count as well.
fn ratio(gears: &Gears, setup: &Setup) -> Result<f64> {
    let round = |py: &Bridge| -> Result<f64> {
        let begin = Instant::now();
        (0..1000).try_for_each(|_| call(py))?;
        Ok(begin.elapsed().as_secs_f64())
    };
    let mut ratios = Vec::new();
    for _ in 0..=setup.rounds(20, 60) {
        ratios.push(round(&gears.hot)? / round(&gears.pipe)?);
    }
    Ok(median(&ratios[1..]))
}

/// Measures while all cores have something else to do as well.
fn beside_busy_loops(measure: impl FnOnce() -> Result<f64>) -> Result<f64> {
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        for _ in 0..BUSY_LOOPS {
            threads.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let measured = measure();
        done.store(true, Ordering::Relaxed);
        measured
    })
}

/// The time that two callers take, each with a lane of its own, in second gear as against first gear.
fn two_lanes(setup: &Setup) -> Result<f64> {
    let pairs = [Gears::new(setup)?, Gears::new(setup)?];
    let both = |of: fn(&Gears) -> &Bridge| -> Result<f64> {
        let begin = Instant::now();
        thread::scope(|threads| {
            let callers = pairs.each_ref().map(|gears| {
                threads.spawn(move || (0..1000).try_for_each(|_| call(of(gears)).map_err(drop)))
            });
            callers.into_iter().try_for_each(|caller| caller.join().unwrap_or(Err(())))
        })
        .map_err(|()| "a call has failed")?;
        Ok(begin.elapsed().as_secs_f64())
    };
    let mut ratios = Vec::new();
    for _ in 0..=setup.rounds(20, 60) {
        ratios.push(both(|gears| &gears.hot)? / both(|gears| &gears.pipe)?);
    }
    Ok(median(&ratios[1..]))
}

/// Measures calls that are rare, and how long both processes run for them.
fn sparse(gears: &Gears, setup: &Setup, report: &mut Report) -> Result<()> {
    let mut hot = Sparse::new(&gears.hot);
    let mut pipe = Sparse::new(&gears.pipe);
    for _ in 0..setup.rounds(10, 40) {
        hot.round()?;
        pipe.round()?;
    }
    report.barred("hot_sparse_over_pipe_sparse", hot.times.over(&pipe.times), 1.1);
    report.barred("hot_sparse_cpu_over_pipe_sparse_cpu", hot.running.over(&pipe.running), 1.05);
    Ok(())
}

struct Sparse<'a> {
    py: &'a Bridge,
    times: Series,
    running: Series,
}

impl<'a> Sparse<'a> {
    fn new(py: &'a Bridge) -> Self {
        Self { py, times: Series::default(), running: Series::default() }
    }

    fn round(&mut self) -> Result<()> {
        let before = running(self.py)?;
        let mut times = Vec::new();
        for _ in 0..100 {
            thread::sleep(APART);
            let begin = Instant::now();
            call(self.py)?;
            times.push(begin.elapsed());
        }
        self.times.add_round(&times);
        self.running.add(running(self.py)? - before);
        Ok(())
    }
}

/// Measures how long both processes run while nothing is called, right after many calls.
fn idle(gears: &Gears, report: &mut Report) -> Result<()> {
    (0..WARM).try_for_each(|_| call(&gears.hot))?;
    let before = running(&gears.hot)?;
    thread::sleep(IDLE);
    let time = running(&gears.hot)? - before;
    report.barred("hot_idle_5s_cpu_ms", time.as_secs_f64() * 1e3, 5.0);
    Ok(())
}

/// How long this process and that of a worker have run.
///
/// By the clocks of the processes themselves: what `/proc` says of one that runs just now is up to ten
/// milliseconds old.
fn running(py: &Bridge) -> Result<Duration> {
    let worker = Duration::from_nanos(py.call("time", "process_time_ns", ()).wait()?);
    let here = clock_gettime(ClockId::ProcessCPUTime);
    Ok(worker + Duration::new(here.tv_sec.try_into()?, here.tv_nsec.try_into()?))
}
