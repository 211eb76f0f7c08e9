//! The limits of time: for waiting, for running, and for all of a call.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::time::Duration;

use common::{bridge, builder_with, eventually, quiet};
use snakebridge::{Bridge, CallOptions, ErrorKind, Pool, Retry, WorkerState};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);

/// Runs `then` while the only worker is busy with a call that ends when `then` has returned.
fn while_busy<T>(py: &Bridge, then: impl FnOnce() -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("go");
    let wait = format!("any(iter(lambda: __import__('os').path.exists({flag:?}), True))");
    std::thread::scope(|threads| {
        threads.spawn(|| py.exec("builtins", "eval", (wait,)).wait().unwrap());
        eventually("the worker is busy", || {
            py.status().unwrap().pools[0].workers[0].state == WorkerState::Busy
        });
        let out = then();
        std::fs::write(&flag, "").unwrap();
        out
    })
}

#[test]
fn a_call_waits_for_a_worker_no_longer_than_it_may() {
    let py = bridge();
    py.ready().unwrap();
    while_busy(&py, || {
        let call = py.exec("gc", "collect", ()).queue_timeout(SHORT).timeout(LONG);
        let error = call.wait().unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Safe));
        assert_eq!(
            error.to_string(),
            "gc.collect: no worker was free within 50ms, as long as the call may wait"
        );
        // The limit of the whole call counts where it is the shorter one.
        let call = py.exec("gc", "collect", ()).queue_timeout(LONG).timeout(SHORT);
        let error = call.wait().unwrap_err();
        assert_eq!(
            error.to_string(),
            "gc.collect: no worker was free until the time for the call was over"
        );
    });
    py.exec("gc", "collect", ()).wait().unwrap();
}

#[test]
fn a_pool_and_a_handle_say_how_long_calls_wait() {
    let py = quiet().pool("default", Pool::new().queue_timeout(SHORT)).build().unwrap();
    py.ready().unwrap();
    while_busy(&py, || {
        let error = py.exec("gc", "collect", ()).wait().unwrap_err();
        assert!(error.to_string().contains("within 50ms"), "{error}");
        let hasty = py.with(CallOptions::new().queue_timeout(Duration::from_millis(1)));
        let error = hasty.exec("gc", "collect", ()).wait().unwrap_err();
        assert!(error.to_string().contains("within 1ms"), "{error}");
    });
}

#[test]
fn a_call_runs_no_longer_than_it_may_however_long_it_has_waited() {
    let (builder, _folder) = builder_with("def forever():\n    while True: pass\n");
    let py = builder.build().unwrap();
    py.exec("builtins", "__import__", ("fixture",)).wait().unwrap();
    let error = py.exec("fixture", "forever", ()).run_timeout(SHORT).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.to_string(), "fixture.forever: no answer within 50ms");
}

#[test]
fn time_spent_waiting_is_no_time_spent_running() {
    let py = bridge();
    py.ready().unwrap();
    let second = Duration::from_secs(1);
    let limited = py.with(CallOptions::new().run_timeout(second).timeout(LONG));
    let waiting = while_busy(&py, || {
        let call = limited.call::<f64>("math", "sqrt", (16,));
        let waiting = std::thread::spawn(move || call.wait());
        eventually("the call waits", || py.status().unwrap().pools[0].waiting == 1);
        // Passes as much time as the call may run.
        py.exec("gc", "collect", ()).queue_timeout(second).wait().unwrap_err();
        waiting
    });
    assert_eq!(waiting.join().unwrap().unwrap(), 4.0);
}
