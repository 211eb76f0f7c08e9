//! What is left of callbacks on threads when workers and bridges end under load. A file of its own, and one
//! test: threads of other tests would be taken for its own.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use snakebridge::Ref;

const FIXTURE: &str = r#"
import threading

class Box: pass

def call_for_ever(f, threads):
    def run():
        while True:
            box = Box()
            assert f(box) is box
    for _ in range(threads):
        threading.Thread(target=run, daemon=True).start()
"#;

#[test]
fn nothing_is_left_of_workers_that_are_killed_while_their_threads_call() {
    let (py, _folder) = common::bridge_with(FIXTURE);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let same = py.callback(move |object: Ref| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(object)
    });
    let many = |before: usize| calls.load(Ordering::Relaxed) > before + 200;
    for _ in 0..5 {
        py.exec("fixture", "call_for_ever", (&same, 6)).unwrap();
        let before = calls.load(Ordering::Relaxed);
        common::eventually("they call", || many(before));
        let pid = common::worker_pid(&py);
        common::kill(pid);
        common::eventually("it has ended", || !common::is_running(pid));
        common::eventually("its refs are gone", || {
            py.exec("gc", "collect", ()).wait().is_ok()
                && py.status().unwrap().pools[0].workers[0].refs == 0
        });
    }
    py.exec("fixture", "call_for_ever", (&same, 6)).unwrap();
    let before = calls.load(Ordering::Relaxed);
    common::eventually("they call", || many(before));
    drop(py);
    common::eventually("its threads have ended", || own_threads() == 0);
}

fn own_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    // Names of threads are cut to fifteen bytes.
    names.filter(|name| name.starts_with("snakebridge-")).count()
}
