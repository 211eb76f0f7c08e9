//! What a small call costs, compared with the floor of the machine.

use snakebridge::Ref;

use crate::cores::Cores;
use crate::floors::Echo;
use crate::report::Report;
use crate::stats::Series;
use crate::{Result, Setup};

/// Measures the floors, a call and a method in turn.
pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    for cores in Cores::BOTH {
        measure(cores, setup, report)?;
    }
    Ok(())
}

fn measure(cores: Cores, setup: &Setup, report: &mut Report) -> Result<()> {
    let _held = cores.hold()?;
    let mut over_pipes = Echo::over_pipes()?;
    let mut over_socketpair = Echo::over_socketpair()?;
    let py = setup.bridge().build()?;
    let path: Ref = py.call("pathlib", "PurePosixPath", ("/tmp/example.txt",)).wait()?;
    let call = || expect(py.call("math", "sqrt", (16,)).wait()?, 4.0);
    let method = || expect(path.method("is_absolute", ()).wait()?, true);

    // A wake-up of an idle core takes ten times as long as one on the same core.
    let (rounds, count) = match cores {
        Cores::One => (setup.rounds(40, 120), 2000),
        Cores::All => (setup.rounds(10, 30), 500),
    };
    let [mut pipe, mut socketpair, mut calls, mut methods] = [(); 4].map(|()| Series::default());
    for round in 0..=rounds {
        pipe.round(count, || over_pipes.once())?;
        calls.round(count, call)?;
        methods.round(count, method)?;
        socketpair.round(count, || over_socketpair.once())?;
        if round == 0 {
            for series in [&mut pipe, &mut socketpair, &mut calls, &mut methods] {
                series.clear();
            }
        }
    }

    let mut put = |name: &str, value| report.number(cores.name(name), value);
    put("floor_pipe_p50_us", pipe.p50_us());
    put("floor_pipe_p99_us", pipe.p99_us());
    put("floor_socketpair_p50_us", socketpair.p50_us());
    put("floor_socketpair_p99_us", socketpair.p99_us());
    put("call_p50_us", calls.p50_us());
    put("call_p99_us", calls.p99_us());
    put("calls_per_s", calls.per_second());
    put("method_p50_us", methods.p50_us());
    put("method_p99_us", methods.p99_us());
    cores.ratio(report, "call_over_floor", calls.over(&pipe), 1.9);
    cores.ratio(report, "method_over_floor", methods.over(&pipe), 2.1);
    Ok(())
}

/// A result that is not the right one makes a measurement worthless.
fn expect<T: Copy + PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("Python gave {found:?}, expected {expected:?}").into()),
    }
}
