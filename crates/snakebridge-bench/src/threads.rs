//! Many threads that call through one bridge.

use std::time::Instant;

use snakebridge::Bridge;

use crate::report::Report;
use crate::stats::Series;
use crate::{Result, Setup};

/// Measures how calls add up over threads and workers, and checks every result.
pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    let calls = setup.rounds(4_000, 20_000);
    for (workers, threads) in [(1, 1), (2, 2), (1, 8), (2, 8)] {
        let py = setup.bridge().workers(workers).build()?;
        py.ready()?;
        let start = Instant::now();
        let right = all_right(&py, threads, calls / threads)?;
        let rate = (calls as f64) / start.elapsed().as_secs_f64();
        report.number(format!("calls_per_s_{workers}_workers_{threads}_threads"), rate);
        if (workers, threads) == (2, 8) {
            report.fact("threads8_ok", right);
        }
    }
    two_workers(setup, report)
}

/// What a second worker adds. Where a call does next to nothing, its time is that of two changes of
/// context, of which two cores that do nothing else make fewer than one core does; so each call does a
/// little work here. The workers are left to the cores that the system gives them.
fn two_workers(setup: &Setup, report: &mut Report) -> Result<()> {
    std::fs::write(setup.folder.path().join("bench_threads.py"), WORK)?;
    let bridge = |workers| -> Result<Bridge> {
        let py = setup.bridge().workers(workers).module_path(setup.folder.path()).build()?;
        work(&py, workers, 50 * workers)?;
        Ok(py)
    };
    let (one, two) = (bridge(1)?, bridge(2)?);
    let [mut ones, mut twos] = [(); 2].map(|()| Series::default());
    for _ in 0..setup.rounds(10, 30) {
        ones.round(1, || work(&one, 1, 400))?;
        twos.round(1, || work(&two, 2, 400))?;
    }
    report.number("working_calls_per_s_1_worker", 400.0 * ones.per_second());
    report.number("working_calls_per_s_2_workers", 400.0 * twos.per_second());
    report.at_least("throughput_2w_over_1w", ones.over(&twos), 1.6);
    Ok(())
}

/// About a fifth of a millisecond.
const WORK: &str = "
def work(n):
    total = 0
    for i in range(4000):
        total += i
    return n
";

fn work(py: &Bridge, threads: usize, calls: usize) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(move || {
                    (0..calls / threads).try_for_each(|number| {
                        py.call::<usize>("bench_threads", "work", (number,)).wait().map(drop)
                    })
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(())
    })
}

/// Whether each thread gets its own results.
fn all_right(py: &Bridge, threads: usize, calls: usize) -> Result<bool> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || are_right(py, thread * calls, calls)))
            .collect();
        let mut right = true;
        for thread in threads {
            right &= thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(right)
    })
}

fn are_right(py: &Bridge, first: usize, calls: usize) -> snakebridge::Result<bool> {
    for number in first..first + calls {
        let found: usize = py.call("operator", "neg", (-(number as i64),)).wait()?;
        if found != number {
            return Ok(false);
        }
    }
    Ok(true)
}
