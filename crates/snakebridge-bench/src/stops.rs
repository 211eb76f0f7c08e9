//! How long it takes until Python has stopped, and until there is a worker again after a loss.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use snakebridge::{Bridge, ErrorKind};
use snakebridge_bench::process::cpu_time;

use crate::report::Report;
use crate::stats::Series;
use crate::{Result, Setup};

/// The time that the calls are given.
const LIMIT: Duration = Duration::from_millis(100);

/// A loop that an interrupt ends.
const BUSY: &str = "while True: pass";

pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    stops(setup, report)?;
    recoveries(setup, report)
}

/// Measures the time until a call has its error, and how much the worker goes on to use of its core.
fn stops(setup: &Setup, report: &mut Report) -> Result<()> {
    let py = setup.bridge().build()?;
    let pid: u32 = py.call("os", "getpid", ()).wait()?;
    let [mut errors, mut frees, mut used] = [(); 3].map(|()| Series::default());
    for _ in 0..setup.rounds(10, 40) {
        let start = Instant::now();
        let Err(error) = py.exec("builtins", "exec", (BUSY,)).timeout(LIMIT).wait() else {
            return Err("an endless loop has ended".into());
        };
        errors.add(start.elapsed());
        let before = cpu_time(pid)?;
        if error.kind() != ErrorKind::Timeout {
            return Err(Box::new(error));
        }
        // As soon as this is served the loop has ended.
        let start = Instant::now();
        let after: u32 = py.call("os", "getpid", ()).wait()?;
        frees.add(start.elapsed());
        if after != pid {
            return Err("the worker was replaced, expected the loop to end by the interrupt".into());
        }
        used.add(cpu_time(pid)?.saturating_sub(before));
    }
    report.barred("stop_error_ms", errors.p50_ms(), 110.0);
    report.number("stop_free_ms", frees.p50_ms());
    // The grace time of a pool, where nothing else is said.
    report.barred("stop_cpu_ms", used.p50_ms(), 1000.0);
    Ok(())
}

/// Measures cold starts, and calls right after a `kill -9`, in turn.
fn recoveries(setup: &Setup, report: &mut Report) -> Result<()> {
    let py = setup.bridge().build()?;
    let [mut colds, mut recoveries] = [(); 2].map(|()| Series::default());
    for round in 0..=setup.rounds(15, 40) {
        let mut last = None;
        colds.round(1, || -> Result<()> {
            let fresh = setup.bridge().build()?;
            fresh.call::<f64>("math", "sqrt", (16,)).wait()?;
            last = Some(fresh);
            Ok(())
        })?;
        drop(last);
        recoveries.add(recovery(&py)?);
        if round == 0 {
            colds.clear();
            recoveries.clear();
        }
    }
    report.number("recovery_ms", recoveries.p50_ms());
    report.barred("recovery_over_cold_start", recoveries.over(&colds), 1.5);
    Ok(())
}

/// From the loss of the only worker to the first result of its successor.
fn recovery(py: &Bridge) -> Result<Duration> {
    let pid: i32 = py.call("os", "getpid", ()).wait()?;
    let start = Instant::now();
    kill_process(Pid::from_raw(pid).ok_or("no process")?, Signal::KILL)?;
    loop {
        match py.call::<i32>("os", "getpid", ()).wait() {
            Ok(next) if next != pid => return Ok(start.elapsed()),
            // It was not dead yet.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WorkerLost => {}
            Err(error) => return Err(Box::new(error)),
        }
    }
}
