//! What a call costs that is awaited, compared with one that blocks; and many that Python awaits at once.

use std::time::{Duration, Instant};

use snakebridge::Pool;

use crate::cores::Cores;
use crate::report::Report;
use crate::stats::Series;
use crate::{Result, Setup};

/// Coroutines that run at the same time, and how long each sleeps.
const SLEEPERS: usize = 500;
const SLEEP: Duration = Duration::from_millis(100);

pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    single(setup, report)?;
    sleepers(setup, report)
}

/// Measures a blocking call and the same one awaited, on a thread of a runtime, in turn.
fn single(setup: &Setup, report: &mut Report) -> Result<()> {
    for cores in Cores::BOTH {
        let _held = cores.hold()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let py = setup.bridge().build()?;
        let call = || py.call::<f64>("math", "sqrt", (16,));
        let [mut blocking, mut awaited] = [(); 2].map(|()| Series::default());
        for round in 0..=setup.rounds(20, 60) {
            blocking.round(1000, || call().wait().map(drop))?;
            runtime.block_on(awaited.round_awaited(1000, async || call().await.map(drop)))?;
            if round == 0 {
                blocking.clear();
                awaited.clear();
            }
        }
        report.number(cores.name("async_call_p50_us"), awaited.p50_us());
        report.number(cores.name("async_call_p99_us"), awaited.p99_us());
        cores.ratio(report, "async_over_blocking", awaited.over(&blocking), 1.7);
    }
    Ok(())
}

/// Measures how long many sleeping coroutines on one worker take more than one of them sleeps.
fn sleepers(setup: &Setup, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let py = setup.bridge().pool("loop", Pool::new().asyncio(SLEEPERS)).build()?;
    let mut extra = Vec::new();
    for round in 0..=setup.rounds(5, 20) {
        let begin = Instant::now();
        let slept: Result<()> = runtime.block_on(async {
            let sleep = || {
                let call = py.call::<()>("asyncio", "sleep", (SLEEP.as_secs_f64(),));
                tokio::spawn(call.awaited().pool("loop").into_future())
            };
            let tasks: Vec<_> = (0..SLEEPERS).map(|_| sleep()).collect();
            for task in tasks {
                task.await??;
            }
            Ok(())
        });
        slept?;
        if round > 0 {
            extra.push(begin.elapsed().saturating_sub(SLEEP));
        }
    }
    extra.sort_unstable();
    let median = extra[extra.len() / 2].as_secs_f64() * 1e3;
    report.barred("sleepers_over_ideal_ms", median, 300.0);
    Ok(())
}
