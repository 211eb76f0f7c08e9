//! Pools: workers that are alike, and how many of them there are.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::{builder_with, eventually, is_running, meet, quiet, worker_pid};
use snakebridge::{Affinity, Bridge, Bytes, CallOptions, ErrorKind, Pool, Ref, Retry, WorkerState};

fn pid_in(py: &Bridge, pool: &str) -> i32 {
    py.call("os", "getpid", ()).pool(pool).wait().unwrap()
}

#[test]
fn pools_have_settings_of_their_own() {
    let py = quiet()
        .env("PLACE", "default")
        .pool("second", Pool::new().env("PLACE", "second"))
        .build()
        .unwrap();
    let place = |py: &Bridge| -> String { py.call("os", "getenv", ("PLACE",)).wait().unwrap() };
    assert_eq!(place(&py), "default");
    let second = py.with(CallOptions::new().pool("second"));
    assert_eq!(place(&second), "second");
    assert_ne!(pid_in(&py, "default"), pid_in(&py, "second"));
    assert_eq!(second.current_session().unwrap(), py.current_session().unwrap());
}

#[test]
fn an_unknown_pool_is_an_error_that_names_the_known_ones() {
    let py = quiet().pool("second", Pool::new()).build().unwrap();
    let error = py.exec("gc", "collect", ()).pool("gpu").wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownPool);
    assert_eq!(error.to_string(), "gc.collect: there is no pool `gpu`, only `default`, `second`");
    let error = quiet().defaults(CallOptions::new().pool("gpu")).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownPool);
    let error = quiet().pool("a", Pool::new()).pool("a", Pool::new()).build().unwrap_err();
    assert_eq!(error.to_string(), "the pool `a` is declared twice");
    let error = quiet().pool("a", Pool::new().workers_between(3, 2)).build().unwrap_err();
    assert_eq!(error.to_string(), "at least 3 workers, but at most 2");
}

#[test]
fn refs_keep_their_pool() {
    let py = quiet().pool("second", Pool::new()).build().unwrap();
    let list: Ref = py.call("builtins", "list", ([1],)).pool("second").wait().unwrap();
    assert_eq!(list.len().wait().unwrap(), 1);
    assert_eq!(list.len().pool("second").wait().unwrap(), 1);
    let error = list.len().pool("default").wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionMismatch, "{error}");
    let error = py.call::<i64>("builtins", "len", (&list,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionMismatch);
    py.release_auto_session();
    assert_eq!(list.len().wait().unwrap_err().kind(), ErrorKind::SessionClosed);
}

#[test]
fn one_id_in_two_pools_is_released_in_both() {
    let py = quiet().pool("second", Pool::new()).build().unwrap();
    let refs: Vec<Ref> = ["default", "second"]
        .map(|pool| py.call("builtins", "list", ([1],)).session("work").pool(pool).wait().unwrap())
        .into();
    py.release_session("work");
    for list in refs {
        assert_eq!(list.len().wait().unwrap_err().kind(), ErrorKind::SessionClosed);
    }
    let session = py.session().open().unwrap();
    let other: Ref = session.call("builtins", "list", ([1],)).pool("second").wait().unwrap();
    assert_eq!(other.session_id(), session.id());
    drop(session);
    assert_eq!(other.len().wait().unwrap_err().kind(), ErrorKind::SessionClosed);
}

#[test]
fn a_pool_grows_with_its_calls_and_shrinks_again() {
    let pool = Pool::new().workers_between(0, 3).idle_limit(Duration::from_millis(100));
    let py = quiet().pool("default", pool).build().unwrap();
    let running = || {
        let workers = py.status().unwrap().pools.remove(0).workers;
        workers.iter().filter(|worker| worker.state != WorkerState::Dead).count()
    };
    assert_eq!(running(), 0);
    let pids: HashSet<i32> = meet(&py, 3).into_iter().collect();
    assert_eq!(pids.len(), 3);
    eventually("all have ended", || running() == 0);
    eventually("and their processes", || !pids.iter().any(|pid| is_running(*pid)));
    assert!(worker_pid(&py) > 0);
}

#[test]
fn an_idle_worker_that_holds_objects_stays() {
    let pool = Pool::new().workers_between(0, 1).idle_limit(Duration::from_millis(20));
    let py = quiet().pool("default", pool).build().unwrap();
    let list: Ref = py.call("builtins", "list", ([1],)).wait().unwrap();
    // Longer than the limit, so that it would be gone by now.
    py.exec("time", "sleep", (0.1,)).wait().unwrap();
    let pid = worker_pid(&py);
    eventually("it is idle", || {
        py.status().unwrap().pools[0].workers[0].state == WorkerState::Idle
    });
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(list.len().wait().unwrap(), 1);
    assert_eq!(worker_pid(&py), pid);
}

#[test]
fn workers_are_replaced_after_so_many_calls() {
    let py = quiet().pool("default", Pool::new().recycle_after_calls(10)).build().unwrap();
    let pids: Vec<i32> = (0..35).map(|_| worker_pid(&py)).collect();
    let different: HashSet<i32> = pids.iter().copied().collect();
    assert_eq!(different.len(), 4, "{pids:?}");

    // One whose objects are held goes on until they are released.
    let list: Ref = py.call("builtins", "list", ([1],)).wait().unwrap();
    for _ in 0..20 {
        assert_eq!(list.len().wait().unwrap(), 1);
    }
    let pid: i32 = py.call("os", "getpid", ()).affinity(Affinity::StrictQueue).wait().unwrap();
    assert!(is_running(pid));
    drop(list);
    eventually("it has been replaced", || !is_running(pid));
}

#[test]
fn modules_are_preloaded() {
    let py = quiet().pool("default", Pool::new().preload("colorsys")).build().unwrap();
    let loaded: bool =
        py.call("builtins", "eval", ("'colorsys' in __import__('sys').modules",)).wait().unwrap();
    assert!(loaded);
    let py = quiet().pool("default", Pool::new().preload("no_such_module")).build().unwrap();
    let error = py.ready().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spawn);
    assert!(error.to_string().contains("No module named 'no_such_module'"), "{error}");
}

#[test]
fn a_worker_that_takes_too_long_to_start_is_given_up() {
    let (builder, folder) = builder_with("import time\ntime.sleep(300)\n");
    drop(builder);
    let slow = Pool::new()
        .module_path(folder.path())
        .preload("fixture")
        .start_timeout(Duration::from_millis(300));
    let py = quiet().pool("default", slow).build().unwrap();
    let error = py.ready().unwrap_err();
    assert!(error.to_string().contains("did not start within 300ms"), "{error}");
}

#[test]
fn numeric_libraries_are_given_their_threads() {
    let pool = Pool::new().threads(2).env("MKL_NUM_THREADS", "7");
    let py = quiet().pool("default", pool).build().unwrap();
    let limit = |name: &str| -> String { py.call("os", "getenv", (name,)).wait().unwrap() };
    assert_eq!((limit("OMP_NUM_THREADS"), limit("MKL_NUM_THREADS")), ("2".into(), "7".into()));
    let error = quiet().pool("default", Pool::new().threads(0)).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn memory_is_limited() {
    let pool = Pool::new().memory_limit(512 << 20);
    let py = quiet().pool("default", pool).build().unwrap();
    let error = py.exec("builtins", "bytearray", (1_u64 << 30,)).wait().unwrap_err();
    assert_eq!(error.python().unwrap().type_name(), "MemoryError");
    assert_eq!(py.call::<i64>("builtins", "abs", (-1,)).wait().unwrap(), 1);
}

#[test]
fn a_worker_that_has_grown_is_replaced() {
    let pool = Pool::new().recycle_above(100 << 20);
    let py = quiet().pool("default", pool).build().unwrap();
    let pid = worker_pid(&py);
    let code = "import sys; sys.leak = bytearray(200 << 20)";
    py.exec("builtins", "exec", (code,)).wait().unwrap();
    eventually("it has been replaced", || !is_running(pid));
    assert_ne!(worker_pid(&py), pid);
}

#[test]
fn profiles_are_time_limits_with_names() {
    let py = quiet()
        .profile("short", Some(Duration::from_millis(50)))
        .profile("default", Some(Duration::from_millis(100)))
        .library_profile("time", "batch_job")
        .library_profile("importlib", "short")
        .build()
        .unwrap();
    py.ready().unwrap();
    let sleep = |seconds: f64| py.exec("time", "sleep", (seconds,));
    sleep(0.2).wait().unwrap();
    let error = sleep(30.0).profile("short").wait().unwrap_err();
    assert_eq!(error.to_string(), "time.sleep: no answer within 50ms");
    let error = sleep(30.0).profile("short").timeout(Duration::from_millis(70)).wait().unwrap_err();
    assert!(error.to_string().ends_with("70ms"), "an explicit limit wins: {error}");
    let code = "__import__('time').sleep(30)";
    let error = py.exec("builtins", "eval", (code,)).wait().unwrap_err();
    assert!(error.to_string().ends_with("100ms"), "{error}");
    let error = sleep(0.0).profile("nosuch").wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let known =
        "there is no profile `nosuch`, only `batch_job`, `default`, `ml_inference`, `short`";
    assert!(error.to_string().ends_with(known), "{error}");
    let error = quiet().library_profile("torch", "nosuch").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn a_pool_has_an_affinity_of_its_own() {
    let pool = Pool::new().workers(2).affinity(Affinity::StrictFailFast);
    let py = quiet().pool("default", pool).build().unwrap();
    py.ready().unwrap();
    std::thread::scope(|scope| {
        let sleep = py.exec("time", "sleep", (0.5,)).affinity(Affinity::StrictQueue);
        let busy = scope.spawn(|| sleep.wait());
        eventually("the session's worker is busy", || {
            py.exec("gc", "collect", ()).wait().is_err_and(|error| error.kind() == ErrorKind::Busy)
        });
        py.exec("gc", "collect", ()).affinity(Affinity::Hint).wait().unwrap();
        busy.join().unwrap().unwrap();
    });
}

#[test]
fn a_full_queue_refuses() {
    let pool = Pool::new().queue_limit(1);
    let py = quiet().pool("default", pool).build().unwrap();
    py.ready().unwrap();
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| py.exec("time", "sleep", (1,)).wait());
        eventually("the worker is busy", || {
            py.status().unwrap().pools[0].workers[0].state == WorkerState::Busy
        });
        let waits = scope.spawn(|| py.exec("gc", "collect", ()).wait());
        eventually("a call waits", || py.status().unwrap().pools[0].waiting == 1);
        let error = py.exec("gc", "collect", ()).wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Saturated);
        assert_eq!(error.retry(), Retry::Safe);
        busy.join().unwrap().unwrap();
        waits.join().unwrap().unwrap();
    });
}

#[test]
fn each_pool_has_a_python_of_its_own() {
    let (builder, _folder) = builder_with("NAME = 'default'\n");
    let broken = Pool::new().python("/bin/false");
    let py = builder.pool("broken", broken).build().unwrap();
    assert_eq!(py.get::<String>("fixture", "NAME").wait().unwrap(), "default");
    let error = py.get::<String>("fixture", "NAME").pool("broken").wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spawn, "{error}");
    assert_eq!(py.get::<String>("fixture", "NAME").wait().unwrap(), "default");
}

#[test]
fn refs_are_counted_exactly() {
    let py = quiet().build().unwrap();
    let held = || py.status().unwrap().pools[0].workers[0].refs;
    let objects = "[object() for _ in range(10)]";
    // Of the wrong type: all refs are dropped before the call is over.
    py.call::<Vec<i64>>("builtins", "eval", (objects,)).wait().unwrap_err();
    assert_eq!(held(), 0);
    let kept: Vec<Ref> = py.call("builtins", "eval", (objects,)).wait().unwrap();
    assert_eq!(held(), 10);
    let first = kept[0].clone();
    drop(kept);
    assert_eq!(held(), 1);
    first.release();
    first.release();
    assert_eq!(held(), 0);
    drop(first);
    assert_eq!(held(), 0);
    let session = py.session().open().unwrap();
    let inside: Ref = session.call("builtins", "object", ()).wait().unwrap();
    drop(session);
    drop(inside);
    assert_eq!(held(), 0);
}

#[test]
fn a_worker_that_is_due_but_held_goes_on_where_there_is_no_other() {
    let py = quiet().pool("default", Pool::new().recycle_after_calls(2)).build().unwrap();
    let list: Ref = py.call("builtins", "list", ([1],)).wait().unwrap();
    let limit = Duration::from_secs(3);
    for _ in 0..5 {
        py.exec("gc", "collect", ()).timeout(limit).wait().unwrap();
    }
    let pid = worker_pid(&py);
    drop(list);
    eventually("it has been replaced", || !is_running(pid));
}

#[test]
fn times_without_end_are_no_limit() {
    let pool = Pool::new()
        .workers_between(1, 2)
        .idle_limit(Duration::MAX)
        .grace(Duration::MAX)
        .recycle_after(Duration::MAX)
        .drain_limit(Duration::MAX)
        .start_timeout(Duration::MAX);
    let py = quiet().pool("default", pool.recycle_after_calls(1)).build().unwrap();
    let limit = Duration::from_secs(10);
    for _ in 0..3 {
        py.exec("gc", "collect", ()).timeout(limit).wait().unwrap();
    }
}

#[test]
fn a_guard_keeps_its_session_whatever_the_same_id_names_elsewhere() {
    let py = quiet().pool("second", Pool::new()).build().unwrap();
    let second = py.with(CallOptions::new().pool("second"));
    let here = py.session().id("shared").open().unwrap();
    let there = second.session().id("shared").open().unwrap();
    let list: Ref = there.call("builtins", "list", ([1],)).wait().unwrap();
    drop(here);
    assert_eq!(list.len().wait().unwrap(), 1);
    drop(there);
    assert_eq!(list.len().wait().unwrap_err().kind(), ErrorKind::SessionClosed);
}

#[test]
fn a_worker_lives_on_when_its_memory_is_too_small_for_a_value() {
    let pool = Pool::new().memory_limit(512 << 20);
    let py = quiet().pool("default", pool).build().unwrap();
    let list: Ref = py.call("builtins", "list", ([1],)).wait().unwrap();
    // There is room for the object, but not for its encoding.
    let error = py.call::<Bytes>("builtins", "bytes", (300 << 20,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
    assert_eq!(list.len().wait().unwrap(), 1);
    let large = Bytes::from(vec![0; 520 << 20]);
    let error = py.exec("builtins", "len", (large,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode, "{error}");
    assert!(error.to_string().contains("MemoryError"), "{error}");
    assert_eq!(list.len().wait().unwrap(), 1);
}
