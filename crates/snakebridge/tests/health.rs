//! What can be seen of a bridge from outside, while it is busy.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::time::Duration;

use common::{bridge, eventually, quiet};
use snakebridge::{Bridge, ErrorKind, Pool, WorkerState};

fn is_busy(py: &Bridge) -> bool {
    py.status().unwrap().pools[0].workers[0].state == WorkerState::Busy
}

const MOMENT: Duration = Duration::from_millis(20);

#[test]
fn ready_does_not_wait_behind_a_long_call() {
    let py = bridge();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| py.exec("time", "sleep", (300,)).wait());
        eventually("the worker is busy", || is_busy(&py));
        py.ready().unwrap();
        assert!(is_busy(&py));
        py.shutdown();
        call.join().unwrap().unwrap_err();
    });
}

#[test]
fn ready_does_not_wait_behind_calls_that_came_before_the_start() {
    let py = bridge();
    std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..2).map(|_| scope.spawn(|| py.exec("time", "sleep", (300,)).wait())).collect();
        py.ready().unwrap();
        py.shutdown();
        for call in calls {
            call.join().unwrap().unwrap_err();
        }
    });
}

#[test]
fn ready_starts_a_worker_where_none_is_kept() {
    let py = quiet().pool("default", Pool::new().workers_between(0, 1)).build().unwrap();
    py.ready_within(MOMENT).unwrap();
    assert_eq!(py.status().unwrap().pools[0].workers[0].state, WorkerState::Dead);
    py.ready().unwrap();
    assert_eq!(py.status().unwrap().pools[0].workers[0].state, WorkerState::Idle);
}

#[test]
fn a_pool_whose_workers_are_all_busy_is_not_ready() {
    let py = quiet().pool("other", Pool::new().workers(1)).build().unwrap();
    py.ready_within(Duration::from_secs(30)).unwrap();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| py.exec("time", "sleep", (300,)).wait());
        eventually("the worker is busy", || is_busy(&py));
        let error = py.ready_within(MOMENT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().starts_with("pool `default`: no worker was free"), "{error}");
        assert!(py.is_alive(), "the bridge itself works");
        py.shutdown();
        call.join().unwrap().unwrap_err();
    });
}

#[test]
fn a_bridge_without_python_is_alive_but_not_ready() {
    let py = quiet().python("/bin/false").build().unwrap();
    assert!(py.is_alive());
    let error = py.ready_within(Duration::from_secs(30)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spawn);
    py.shutdown();
    assert!(!py.is_alive());
    assert_eq!(py.ready_within(MOMENT).unwrap_err().kind(), ErrorKind::Closed);
}
