//! Results of idempotent calls that are kept.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::time::Duration;

use common::quiet;
use serde::de::DeserializeOwned;
use snakebridge::{Bridge, Call, ErrorKind, Pool, Ref, ResultsStatus, Value, args};

/// A bridge that keeps results, with a module that counts its calls.
fn keeping() -> (Bridge, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let source = "calls = 0\n\
        def count(*args, **kwargs):\n    global calls\n    calls += 1\n    return calls\n\
        def odd():\n    return [count(), object()]\n\
        def bad():\n    raise ValueError(count())\n";
    std::fs::write(folder.path().join("fixture.py"), source).unwrap();
    let pool = Pool::new().keep_results(100, 1 << 20, Duration::from_secs(600));
    let py = quiet().pool("default", pool.module_path(folder.path())).build().unwrap();
    (py, folder)
}

fn count<R: DeserializeOwned + 'static>(py: &Bridge, arg: i32) -> R {
    py.call("fixture", "count", (arg,)).idempotent(true).wait().unwrap()
}

fn status(py: &Bridge) -> ResultsStatus {
    py.status().unwrap().pools[0].results.clone().unwrap()
}

#[test]
fn the_same_call_is_made_once() {
    let (py, _folder) = keeping();
    assert_eq!((count::<i32>(&py, 1), count::<i32>(&py, 1), count::<i32>(&py, 2)), (1, 1, 2));
    // Another session, another type of result.
    let session = py.session().open().unwrap();
    assert_eq!(count::<f64>(&session, 1), 1.0);
    let found = status(&py);
    assert_eq!((found.entries, found.hits, found.misses), (2, 2, 2));
    py.clear_results();
    assert_eq!(count::<i32>(&py, 1), 3);
    assert_eq!(status(&py).entries, 1);
}

#[test]
fn other_arguments_make_another_call() {
    let (py, _folder) = keeping();
    let calls: [Call<i32>; 6] = [
        py.call("fixture", "count", ()),
        py.call("fixture", "count", (1,)),
        py.call("fixture", "count", (1.0,)),
        py.call("fixture", "count", ("1",)),
        py.call("fixture", "count", args![x = 1]),
        py.call("fixture", "count", ([1],)),
    ];
    let counts = calls.map(|call| call.idempotent(true).wait().unwrap());
    assert_eq!(counts, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn calls_that_are_not_marked_are_made() {
    let (py, _folder) = keeping();
    let plain = || -> i32 { py.call("fixture", "count", ()).wait().unwrap() };
    assert_eq!((plain(), plain()), (1, 2));
    assert_eq!((status(&py).hits, status(&py).misses), (0, 0));
    let without = quiet().build().unwrap();
    assert_eq!(without.status().unwrap().pools[0].results, None);
}

#[test]
fn results_with_refs_and_errors_are_not_kept() {
    let (py, _folder) = keeping();
    for _ in 0..2 {
        let _: Vec<Value> = py.call("fixture", "odd", ()).idempotent(true).wait().unwrap();
        let _: Ref = py.call("fixture", "count", ()).idempotent(true).wait().unwrap();
        py.call::<i32>("fixture", "bad", ()).idempotent(true).wait().unwrap_err();
    }
    assert_eq!(py.get::<i32>("fixture", "calls").wait().unwrap(), 6);
    assert_eq!(status(&py).entries, 0);
}

#[test]
fn a_call_with_a_ref_is_always_made() {
    let (py, _folder) = keeping();
    let arg: Ref = py.call("builtins", "object", ()).wait().unwrap();
    let ask = || -> i32 { py.call("fixture", "count", (&arg,)).idempotent(true).wait().unwrap() };
    assert_eq!((ask(), ask()), (1, 2));
}

#[test]
fn a_kept_result_that_does_not_fit_is_an_error_like_any() {
    let (py, _folder) = keeping();
    assert_eq!(count::<i32>(&py, 1), 1);
    let error = py.call::<String>("fixture", "count", (1,)).idempotent(true).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert_eq!(count::<i32>(&py, 1), 1);
}
