//! What a call costs that is awaited, compared with one that blocks.

use crate::cores::Cores;
use crate::report::Report;
use crate::stats::Series;
use crate::{Result, Setup};

/// Measures a blocking call and the same one awaited, on a thread of a runtime, in turn.
pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
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
