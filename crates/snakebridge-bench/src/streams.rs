//! What the items of a stream cost.

use std::time::Instant;

use snakebridge::Bridge;

use crate::cores::Cores;
use crate::floors::Echo;
use crate::report::Report;
use crate::stats::Series;
use crate::{Result, Setup};

/// Items of one stream.
const ITEMS: i64 = 200_000;

pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    many_items(setup, report)?;
    first_item(setup, report)
}

/// Measures a generator of ints that is read from here, and one that Python itself runs through, in turn.
fn many_items(setup: &Setup, report: &mut Report) -> Result<()> {
    let py = setup.bridge().build()?;
    let code = format!("(n for n in range({ITEMS}))");
    let count = format!("sum(1 for _ in {code})");
    let [mut streams, mut pythons] = [(); 2].map(|()| Series::default());
    for round in 0..=setup.rounds(10, 30) {
        streams.round(1, || sum(&py, &code))?;
        pythons.round(1, || py.call::<i64>("builtins", "eval", (&count,)).wait().map(drop))?;
        if round == 0 {
            streams.clear();
            pythons.clear();
        }
    }
    let rate = 1e6 * ITEMS as f64 / streams.p50_us();
    report.at_least("stream_items_per_s", rate, 5e6);
    report.number("stream_over_python", streams.over(&pythons));
    Ok(())
}

fn sum(py: &Bridge, code: &str) -> Result<()> {
    let items = py.call::<i64>("builtins", "eval", (code,)).iter();
    match items.sum::<snakebridge::Result<i64>>()? {
        sum if sum == ITEMS * (ITEMS - 1) / 2 => Ok(()),
        sum => Err(format!("the items add up to {sum}").into()),
    }
}

/// Measures the floor, and the time to the first item of a stream, in turn.
fn first_item(setup: &Setup, report: &mut Report) -> Result<()> {
    for cores in Cores::BOTH {
        let _held = cores.hold()?;
        let mut floor = Echo::over_pipes()?;
        let py = setup.bridge().build()?;
        let [mut floors, mut firsts] = [(); 2].map(|()| Series::default());
        for round in 0..=setup.rounds(20, 60) {
            floors.round(500, || floor.once())?;
            first_round(&py, &mut firsts)?;
            if round == 0 {
                floors.clear();
                firsts.clear();
            }
        }
        report.number(cores.name("first_item_p50_us"), firsts.p50_us());
        cores.ratio(report, "first_item_over_floor", firsts.over(&floors), 2.5);
    }
    Ok(())
}

/// Closing the streams is not a part of it.
fn first_round(py: &Bridge, firsts: &mut Series) -> Result<()> {
    let mut times = Vec::with_capacity(500);
    let mut open = Vec::with_capacity(500);
    for _ in 0..500 {
        let start = Instant::now();
        let mut items = py.call::<i64>("itertools", "count", (7,)).iter();
        let first = items.next();
        times.push(start.elapsed());
        open.push(items);
        match first {
            Some(Ok(7)) => {}
            other => return Err(format!("the first item is {other:?}").into()),
        }
    }
    firsts.add_round(&times);
    Ok(())
}
