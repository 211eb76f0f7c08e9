//! What a bridge does while nothing happens. A file of its own, and one test: the threads of other
//! tests in the same process have the same names.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::time::Duration;

use common::quiet;
use snakebridge::Pool;

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

#[test]
fn closing_a_session_does_not_keep_the_supervisor_awake() {
    let py = quiet().pool("default", Pool::new().workers_between(1, 3)).build().unwrap();
    let session = py.session().open().unwrap();
    session.exec("gc", "collect", ()).wait().unwrap();
    drop(session);
    std::thread::sleep(Duration::from_millis(300));
    // Names of threads are cut to fifteen bytes.
    let before = sleeps_of("snakebridge-sup");
    std::thread::sleep(Duration::from_millis(1000));
    let sleeps = sleeps_of("snakebridge-sup") - before;
    assert!(sleeps < 8, "woken {sleeps} times in a second with nothing to do");
}
