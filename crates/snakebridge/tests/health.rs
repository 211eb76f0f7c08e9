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

#[test]
fn the_stacks_of_a_busy_worker_say_what_it_does() {
    let source = "
import pathlib, threading
def inner(folder):
    folder = pathlib.Path(folder)
    (folder / 'begun').touch()
    while not (folder / 'go').exists(): pass
def outer(folder):
    inner(folder)
";
    let (py, folder) = common::bridge_with(source);
    py.ready().unwrap();
    let worker = py.status().unwrap().pools[0].workers[0].id;
    std::thread::scope(|threads| {
        threads.spawn(|| py.exec("fixture", "outer", (folder.path(),)).wait().unwrap());
        eventually("the call has begun", || folder.path().join("begun").exists());
        let stacks = py.dump_stacks(worker).unwrap();
        let place = |name: &str| stacks.find(&format!("fixture.py\", line {name}"));
        assert!(place("6 in inner").unwrap() < place("8 in outer").unwrap(), "{stacks}");
        assert!(!stacks.contains("Current thread"), "{stacks}");
        std::fs::write(folder.path().join("go"), "").unwrap();
    });
    // Any number of times, and without leaving anything open.
    let before = common::descriptors();
    (0..20).for_each(|_| drop(py.dump_stacks(worker).unwrap()));
    assert!(common::descriptors() <= before);
    py.exec("gc", "collect", ()).wait().unwrap();
}

#[test]
fn the_stacks_of_no_worker_are_an_error() {
    let py = quiet().pool("default", Pool::new().workers_between(0, 1)).build().unwrap();
    let worker = py.status().unwrap().pools[0].workers[0].id;
    let error = py.dump_stacks(worker).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerLost);
    assert!(
        error.to_string().ends_with("it has no process that could say what it does"),
        "{error}"
    );
    py.shutdown();
    assert_eq!(py.dump_stacks(worker).unwrap_err().kind(), ErrorKind::WorkerLost);
}
