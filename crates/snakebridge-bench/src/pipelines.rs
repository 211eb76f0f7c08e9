//! What a call costs that is one of many in a pipeline.

use snakebridge::Bridge;

use crate::cores::Cores;
use crate::report::Report;
use crate::stats::Series;
use crate::{Result, Setup};

/// Calls of one pipeline.
const CALLS: usize = 1000;

/// Measures pipelines and batches of a small call: from putting them together to having all results.
pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    for cores in Cores::BOTH {
        let _held = cores.hold()?;
        let py = setup.bridge().build()?;
        let [mut pipelines, mut batches] = [(); 2].map(|()| Series::default());
        for round in 0..=setup.rounds(10, 30) {
            pipelines.round(20, || pipeline(&py))?;
            batches.round(20, || batch(&py))?;
            if round == 0 {
                pipelines.clear();
                batches.clear();
            }
        }
        let rate = |series: &Series| 1e6 * CALLS as f64 / series.p50_us();
        match cores {
            Cores::One => report.at_least("pipelined_calls_per_s", rate(&pipelines), 1e6),
            Cores::All => report.number(cores.name("pipelined_calls_per_s"), rate(&pipelines)),
        }
        report.number(cores.name("batch_calls_per_s"), rate(&batches));
    }
    Ok(())
}

fn pipeline(py: &Bridge) -> Result<()> {
    let mut calls = py.pipeline();
    let promises: Vec<_> =
        (0..CALLS).map(|n| calls.call::<f64>("math", "sqrt", (n * n,))).collect();
    let mut results = calls.wait()?;
    for (n, promise) in promises.into_iter().enumerate() {
        check(n, results.take(promise)?)?;
    }
    Ok(())
}

fn batch(py: &Bridge) -> Result<()> {
    let outcomes = py.batch::<f64>("math", "sqrt", (0..CALLS).map(|n| (n * n,))).wait()?;
    outcomes.into_iter().enumerate().try_for_each(|(n, root)| check(n, root?))
}

fn check(n: usize, root: f64) -> Result<()> {
    match root == n as f64 {
        true => Ok(()),
        false => Err(format!("the root of {} is {root}", n * n).into()),
    }
}
