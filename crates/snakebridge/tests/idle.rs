//! What a bridge does while nothing happens. A file of its own, and one test: the threads of other
//! tests in the same process have the same names.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::time::Duration;

use common::{eventually, quiet};
use snakebridge::{Pool, Ref, WorkerState};

/// How often the thread of this name has gone to sleep.
fn sleeps_of(thread: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let status = tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok())
        .find(|status| status.lines().any(|line| line == format!("Name:\t{thread}")));
    let status = status.unwrap();
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.unwrap().trim().parse().unwrap()
}

/// How often the supervisor wakes in a second in which there is nothing to do for it.
fn sleeps_in_a_second() -> u64 {
    // What there was to do is done by then.
    std::thread::sleep(Duration::from_millis(300));
    // Names of threads are cut to fifteen bytes.
    let before = sleeps_of("snakebridge-sup");
    std::thread::sleep(Duration::from_secs(1));
    sleeps_of("snakebridge-sup") - before
}

#[test]
fn the_supervisor_sleeps_while_there_is_nothing_to_do() {
    after_a_session_was_closed();
    while_a_ref_cannot_be_released();
}

fn after_a_session_was_closed() {
    let py = quiet().pool("default", Pool::new().workers_between(1, 3)).build().unwrap();
    let session = py.session().open().unwrap();
    session.exec("gc", "collect", ()).wait().unwrap();
    drop(session);
    let sleeps = sleeps_in_a_second();
    assert!(sleeps < 8, "woken {sleeps} times in a second with nothing to do");
}

fn while_a_ref_cannot_be_released() {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("go");
    let py = quiet().build().unwrap();
    let list: Ref = py.call("builtins", "list", ()).wait().unwrap();
    let wait = format!(
        "any(iter(lambda: (__import__('time').sleep(0.01), __import__('os').path.exists({flag:?}))[1], True))"
    );
    std::thread::scope(|threads| {
        threads.spawn(|| py.exec("builtins", "eval", (wait,)).wait().unwrap());
        eventually("the worker is busy", || {
            py.status().unwrap().pools[0].workers[0].state == WorkerState::Busy
        });
        drop(list);
        let sleeps = sleeps_in_a_second();
        std::fs::write(&flag, "").unwrap();
        assert!(sleeps < 8, "woken {sleeps} times in a second with nothing to do");
    });
}
