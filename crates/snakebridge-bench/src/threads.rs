//! Many threads that call through one bridge.

use std::time::Instant;

use snakebridge::Bridge;

use crate::report::Report;
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
    Ok(())
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
