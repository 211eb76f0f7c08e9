//! What it costs at a start that packages are declared, once their environment is there.

use snakebridge::BridgeBuilder;

use crate::report::Report;
use crate::stats::Series;
use crate::{NO_BYTECODE, Result, Setup};

/// Measures starts with declared packages and starts without any in turn. The environment is made
/// first, if no program of this user has made it before, which needs the package index.
pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    let declared = || setup.bridge().packages(["numpy", "pandas"]).env_remove(NO_BYTECODE);
    let [mut with, mut without] = [(); 2].map(|()| Series::default());
    for round in 0..=setup.rounds(20, 50) {
        start(&mut without, || setup.bridge())?;
        start(&mut with, declared)?;
        // The first start may have to make the environment, or to write the bytecode.
        if round == 0 {
            with.clear();
            without.clear();
        }
    }
    report.number("declared_start_ms", with.p50_ms());
    report.number("undeclared_start_ms", without.p50_ms());
    report.barred("declared_start_extra_ms", with.p50_ms() - without.p50_ms(), 50.0);
    Ok(())
}

/// Measures from the making of a bridge to the first result. Its end is not a part of it.
fn start(series: &mut Series, builder: impl Fn() -> BridgeBuilder) -> Result<()> {
    let mut last = None;
    series.round(1, || {
        let py = builder().build()?;
        let root: f64 = py.call("math", "sqrt", (16,)).wait()?;
        last = Some((py, root));
        Ok(())
    })
}
