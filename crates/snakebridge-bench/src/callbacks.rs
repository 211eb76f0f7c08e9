//! What one callback adds to a call.

use snakebridge::Callback;

use crate::cores::Cores;
use crate::floors::Echo;
use crate::report::Report;
use crate::stats::{Series, added_over};
use crate::{Result, Setup};

/// The Python side: the same call with the callback and without.
const FIXTURE: &str = "
def with_callback(f, n):
    return f(n)

def without_callback(f, n):
    return n
";

/// Measures the floor, a call that calls back once, and the same call without that, in turn.
pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    std::fs::write(setup.folder.path().join("bench_callbacks.py"), FIXTURE)?;
    for cores in Cores::BOTH {
        let _held = cores.hold()?;
        let mut floor = Echo::over_pipes()?;
        let py = setup.bridge().module_path(setup.folder.path()).build()?;
        let callback = py.callback(|n: i64| Ok(n));
        let call = |function: &str, callback: &Callback| -> Result<()> {
            match py.call("bench_callbacks", function, (callback, 7)).wait()? {
                7 => Ok(()),
                other => Err(format!("Python gave {other}, expected 7").into()),
            }
        };
        let [mut floors, mut with, mut without] = [(); 3].map(|()| Series::default());
        for round in 0..=setup.rounds(20, 60) {
            floors.round(500, || floor.once())?;
            with.round(500, || call("with_callback", &callback))?;
            without.round(500, || call("without_callback", &callback))?;
            if round == 0 {
                for series in [&mut floors, &mut with, &mut without] {
                    series.clear();
                }
            }
        }
        report.number(cores.name("callback_call_p50_us"), with.p50_us());
        report.number(cores.name("callback_less_call_p50_us"), without.p50_us());
        let added = added_over(&with, &without, &floors);
        cores.ratio(report, "callback_over_floor", added, 2.2);
    }
    Ok(())
}
