//! How long it takes from nothing to a first result, compared with starting Python alone.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::cores::Cores;
use crate::report::Report;
use crate::stats::Series;
use crate::{Result, Setup};

/// Measures starts of a bridge and of plain Python in turn.
pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    for cores in Cores::BOTH {
        let _held = cores.hold()?;
        let [mut bridge, mut python] = [(); 2].map(|()| Series::default());
        for round in 0..=setup.rounds(20, 50) {
            python.round(1, || plain(&setup.python))?;
            from_nothing(&mut bridge, setup)?;
            // The first start may have to write the bytecode.
            if round == 0 {
                bridge.clear();
                python.clear();
            }
        }
        report.number(cores.name("cold_start_ms"), bridge.p50_ms());
        report.number(cores.name("python_start_ms"), python.p50_ms());
        cores.ratio(report, "cold_start_over_python", bridge.over(&python), 1.5);
    }
    Ok(())
}

/// Measures from the making of a bridge to the first result. Its end is not a part of it.
fn from_nothing(series: &mut Series, setup: &Setup) -> Result<()> {
    let mut last = None;
    series.round(1, || {
        let py = setup.bridge().build()?;
        let root: f64 = py.call("math", "sqrt", (16,)).wait()?;
        last = Some((py, root));
        Ok(())
    })
}

/// Starts Python, to do nothing, and waits for its end.
fn plain(python: &Path) -> Result<()> {
    let status = Command::new(python).args(["-I", "-c", "pass"]).stdin(Stdio::null()).status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("Python ended with {status}").into()),
    }
}
