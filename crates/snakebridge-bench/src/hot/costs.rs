//! What a call costs in second gear, against Python's own part of it and against first gear.

use snakebridge::{Callback, Ref};

use super::{Gears, WARM, call};
#[cfg(target_os = "linux")]
use crate::cores::Held;
use crate::report::Report;
use crate::stats::{Series, added_over};
use crate::{Result, Setup};

/// What Python does for a call, without whatever is between the processes; and calls that call back.
const FIXTURE: &str = "
import time
from snakebridge_worker import frames
from snakebridge_worker.codec import PICKLE_PROTOCOL, dumps, loads
from snakebridge_worker.operations import OPERATIONS

REQUEST = dumps(('math', 'sqrt', (16,), {}), PICKLE_PROTOCOL)

def python_side(count):
    operation = OPERATIONS[frames.CALL]
    begin = time.perf_counter()
    for _ in range(count):
        dumps(operation(loads(REQUEST)), PICKLE_PROTOCOL)
    return (time.perf_counter() - begin) / count

def with_callback(f, n):
    return f(n)

def without_callback(f, n):
    return n
";

const COUNT: usize = 1000;

pub(super) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    std::fs::write(setup.folder.path().join("bench_hot.py"), FIXTURE)?;
    let gears = Gears::new(setup)?;
    let Gears { hot, pipe } = &gears;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let path: Ref = hot.call("pathlib", "PurePosixPath", ("/tmp/example.txt",)).wait()?;
    let method = || -> Result<()> { Ok(path.method::<bool>("is_absolute", ()).wait().map(drop)?) };
    let callback = hot.callback(|n: i64| Ok(n));
    let calling = |function: &str, callback: &Callback| -> Result<()> {
        Ok(hot.call::<i64>("bench_hot", function, (callback, 7)).wait().map(drop)?)
    };
    (0..WARM).try_for_each(|_| call(hot))?;

    let [mut calls, mut pipes, mut python, mut methods, mut with, mut without, mut awaited] =
        [(); 7].map(|()| Series::default());
    for _ in 0..setup.rounds(20, 60) {
        calls.round(COUNT, || call(hot))?;
        pipes.round(COUNT / 4, || call(pipe))?;
        let side: f64 = hot.call("bench_hot", "python_side", (COUNT,)).wait()?;
        python.add(std::time::Duration::from_secs_f64(side));
        methods.round(COUNT, method)?;
        without.round(COUNT, || calling("without_callback", &callback))?;
        with.round(COUNT, || calling("with_callback", &callback))?;
        runtime.block_on(awaited.round_awaited(COUNT, async || {
            hot.call::<f64>("math", "sqrt", (16,)).await.map(drop)
        }))?;
    }

    report.number("hot_call_p50_us", calls.p50_us());
    report.number("hot_call_p99_us", calls.p99_us());
    report.number("pipe_call_p50_us", pipes.p50_us());
    report.number("python_side_us", python.p50_us());
    report.barred("hot_call_over_python_side", calls.over(&python), 4.0);
    report.barred("hot_call_over_pipe_call", calls.over(&pipes), 0.15);
    report.barred("hot_call_p99_over_p50", calls.p99_us() / calls.p50_us(), 3.0);
    report.barred("hot_method_over_hot_call", methods.over(&calls), 1.3);
    report.barred("hot_callback_over_hot_call", added_over(&with, &without, &calls), 1.5);
    report.barred("async_hot_over_blocking_hot", awaited.over(&calls), 2.0);
    #[cfg(target_os = "linux")]
    on_two_cores(setup, report)?;
    Ok(())
}

/// Both gears where host and worker have a core each. The kernel sees to that in most cases, but now and then it keeps two
/// processes that wake each other on one: first gear is fast then, and what the gears are to each other a matter of chance.
#[cfg(target_os = "linux")]
fn on_two_cores(setup: &Setup, report: &mut Report) -> Result<()> {
    if std::thread::available_parallelism()?.get() == 1 {
        return Ok(());
    }
    let gears = Gears::new(setup)?;
    let (_held, left) = Held::off_one()?;
    for py in [&gears.hot, &gears.pipe] {
        py.exec("os", "sched_setaffinity", (0, [left])).wait()?;
    }
    (0..WARM).try_for_each(|_| call(&gears.hot))?;
    let [mut calls, mut pipes] = [(); 2].map(|()| Series::default());
    for _ in 0..setup.rounds(20, 60) {
        calls.round(COUNT, || call(&gears.hot))?;
        pipes.round(COUNT / 4, || call(&gears.pipe))?;
    }
    report.number("pipe_call_on_two_cores_us", pipes.p50_us());
    report.barred("hot_call_over_pipe_call_on_two_cores", calls.over(&pipes), 0.15);
    Ok(())
}
