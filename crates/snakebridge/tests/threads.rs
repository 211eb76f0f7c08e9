//! Many threads on one bridge.

mod common;

use std::collections::HashSet;

use common::{bridge, meet, quiet};
use snakebridge::{Affinity, CallOptions, Ref};

#[test]
fn eight_threads_with_refs_and_sessions() {
    for workers in [1, 3] {
        let py = quiet().workers(workers).build().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8_i64 {
                let py = &py;
                scope.spawn(move || {
                    for round in 0..50_i64 {
                        let number: i64 = py.call("builtins", "abs", (-round,)).wait().unwrap();
                        assert_eq!(number, round);
                        let session = py.session().open().unwrap();
                        let list: Ref =
                            session.call("builtins", "list", ([thread],)).wait().unwrap();
                        list.method::<()>("append", (round,)).wait().unwrap();
                        let sum: i64 = session.call("builtins", "sum", (&list,)).wait().unwrap();
                        assert_eq!(sum, thread + round);
                        let shared = py.session().id("shared").open().unwrap();
                        let text: Ref = shared.call("io", "StringIO", ("x",)).wait().unwrap();
                        assert_eq!(text.method::<String>("getvalue", ()).wait().unwrap(), "x");
                    }
                });
            }
        });
    }
}

#[test]
fn calls_without_refs_spread_over_the_workers() {
    let py = quiet().workers(2).build().unwrap();
    let pids = meet(&py, 2);
    assert_ne!(pids[0], pids[1]);
}

#[test]
fn a_strict_session_stays_on_its_worker() {
    let py = quiet().workers(3).build().unwrap();
    let strict = py.with(CallOptions::new().affinity(Affinity::StrictQueue));
    let pids: HashSet<i32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..25)
                        .map(|_| strict.call::<i32>("os", "getpid", ()).wait().unwrap())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(pids.len(), 1);
}

#[test]
fn sessions_spread_over_the_workers() {
    let py = quiet().workers(2).build().unwrap();
    // Both workers have to be ready, or the first takes all.
    meet(&py, 2);
    let sessions: Vec<_> = (0..4).map(|_| py.session().open().unwrap()).collect();
    let pids: Vec<i32> =
        sessions.iter().map(|session| session.call("os", "getpid", ()).wait().unwrap()).collect();
    let pids: HashSet<i32> = pids.into_iter().collect();
    assert_eq!(pids.len(), 2);
}

#[test]
fn refs_and_bridges_cross_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<snakebridge::Bridge>();
    check::<Ref>();
    check::<snakebridge::Value>();
    check::<snakebridge::Error>();
    check::<snakebridge::Session>();

    let py = bridge();
    let list: Ref = py.call("builtins", "list", ([1],)).wait().unwrap();
    let length = std::thread::spawn(move || list.len().wait().unwrap()).join().unwrap();
    assert_eq!(length, 1);
}
