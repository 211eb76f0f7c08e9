//! Refs and sessions: what lives how long, and where.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::time::Duration;

use common::{bridge, bridge_with, eventually, quiet};
use snakebridge::{Bridge, CallOptions, ErrorKind, Ref, Value, args};

const THINGS: &str = "import weakref\n\
    class Thing:\n    def __init__(self): alive.add(self)\n\
    alive = weakref.WeakSet()\n\
    def things(n): return [Thing() for _ in range(n)]\n\
    def count(): return len(alive)\n";

fn count(py: &Bridge) -> usize {
    py.call("fixture", "count", ()).wait().unwrap()
}

#[test]
fn every_operation_on_a_ref() {
    let (py, _folder) = bridge_with(
        "class Grid(dict):\n    '''keeps its class'''\n    def __call__(self, n, plus=0): return n * 2 + plus\n\
         def make(): return Grid(a=1)\n",
    );
    let grid: Ref = py.call("fixture", "make", ()).wait().unwrap();
    assert_eq!((grid.type_name(), grid.type_module()), ("Grid", "fixture"));
    assert!(grid.is_callable() && grid.is_iterable() && !grid.is_stream());
    assert_eq!(grid.len().wait().unwrap(), 1);
    assert!(grid.contains("a").wait().unwrap());
    assert!(!grid.contains((1, 2)).wait().unwrap());
    grid.set_item((0, 1), vec![1, 2]).wait().unwrap();
    assert_eq!(grid.item::<Vec<i32>>((0, 1)).wait().unwrap(), [1, 2]);
    grid.del_item("a").wait().unwrap();
    assert_eq!(grid.str().wait().unwrap(), "{(0, 1): [1, 2]}");
    assert_eq!(grid.repr().wait().unwrap(), "{(0, 1): [1, 2]}");
    grid.set_attr("note", "x").wait().unwrap();
    assert_eq!(grid.attr::<String>("note").wait().unwrap(), "x");
    grid.del_attr("note").wait().unwrap();
    let error = grid.attr::<String>("note").wait().unwrap_err();
    assert!(error.python().unwrap().is_instance("builtins.AttributeError"));
    assert_eq!(grid.call::<i32>(args![4, plus = 1]).wait().unwrap(), 9);
    assert_eq!(
        grid.method::<Vec<Value>>("keys", ()).by_ref().wait().unwrap_err().kind(),
        ErrorKind::Decode
    );
    let error = grid.item::<Value>("missing").wait().unwrap_err();
    assert_eq!(error.to_string(), "an item of Grid raised KeyError: 'missing'");
    assert!(format!("{grid:?}").starts_with("<ref fixture.Grid #"));
}

#[test]
fn asking_for_a_ref_keeps_any_object() {
    let py = bridge();
    let number: Ref = py.call("builtins", "int", (5,)).wait().unwrap();
    assert_eq!(number.type_name(), "int");
    let kept: Value = py.call("builtins", "list", ([1],)).by_ref().wait().unwrap();
    assert!(kept.is_ref());
    let none: Ref = py.call("builtins", "print", ()).wait().unwrap();
    assert_eq!(none.type_name(), "NoneType");
    let none: Option<Ref> = py.call("re", "match", ("a", "b")).wait().unwrap();
    assert!(none.is_none());
    let found: Option<Ref> = py.call("re", "match", ("a", "ab")).wait().unwrap();
    assert_eq!(found.unwrap().method::<String>("group", ()).wait().unwrap(), "a");
}

#[test]
fn dropping_the_last_clone_releases_the_object() {
    let (py, _folder) = bridge_with(THINGS);
    let thing: Ref = py.call("fixture", "Thing", ()).wait().unwrap();
    let clone = thing.clone();
    drop(thing);
    assert_eq!(count(&py), 1);
    drop(clone);
    assert_eq!(count(&py), 0, "the release goes ahead of the next call");

    let things: Vec<Ref> = py.call("fixture", "things", (1000,)).wait().unwrap();
    assert_eq!(count(&py), 1000);
    drop(things);
    assert_eq!(count(&py), 0);
}

#[test]
fn releases_reach_an_idle_worker() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("released");
    let (py, _folder) = bridge_with(
        "import pathlib\nclass Thing:\n    def __init__(self, mark): self.mark = mark\n    \
         def __del__(self): pathlib.Path(self.mark).touch()\n",
    );
    let thing: Ref = py.call("fixture", "Thing", (&mark,)).wait().unwrap();
    drop(thing);
    eventually("it was released without another call", || mark.exists());
}

#[test]
fn objects_in_results_that_are_not_asked_for_are_released() {
    let (py, _folder) = bridge_with(THINGS);
    py.exec("fixture", "things", (10,)).wait().unwrap();
    assert_eq!(count(&py), 0, "exec keeps nothing");
    py.call::<Vec<i64>>("fixture", "things", (10,)).wait().unwrap_err();
    assert_eq!(count(&py), 0, "nor does a result of the wrong type");
    let ignored: serde::de::IgnoredAny = py.call("fixture", "things", (10,)).wait().unwrap();
    let _ = ignored;
    assert_eq!(count(&py), 0);
    let first: (Ref, Value) = py.call("fixture", "things", (2,)).wait().unwrap();
    assert_eq!(count(&py), 2);
    drop(first);
    assert_eq!(count(&py), 0);
}

#[test]
fn a_call_keeps_its_arguments_alive() {
    let (py, _folder) = bridge_with(THINGS);
    let thing: Ref = py.call("fixture", "Thing", ()).wait().unwrap();
    let call = py.call::<String>("builtins", "repr", (vec![&thing],));
    drop(thing);
    assert!(call.wait().unwrap().contains("Thing object"));
    assert_eq!(count(&py), 0);
}

#[test]
fn release_is_for_all_clones_and_can_be_repeated() {
    let (py, _folder) = bridge_with(THINGS);
    let thing: Ref = py.call("fixture", "Thing", ()).wait().unwrap();
    let clone = thing.clone();
    thing.release();
    clone.release();
    assert_eq!(count(&py), 0);
    let error = py.call::<String>("builtins", "repr", (&clone,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RefReleased);
}

#[test]
fn the_automatic_session() {
    let (py, _folder) = bridge_with(THINGS);
    let id = py.current_session().unwrap();
    assert!(id.starts_with("auto_"));
    let clone = py.clone();
    assert_eq!(clone.current_session().unwrap(), id);
    let patient = py.with(CallOptions::new().timeout(Duration::from_secs(600)));
    assert_eq!(patient.current_session().unwrap(), id);
    let thing: Ref = py.call("fixture", "Thing", ()).wait().unwrap();
    assert_eq!(thing.session_id(), id);
    py.release_auto_session();
    assert_eq!(count(&py), 0);
    assert_eq!(thing.repr().wait().unwrap_err().kind(), ErrorKind::SessionClosed);
    assert_ne!(py.current_session().unwrap(), id);
    py.release_auto_session();
    py.release_auto_session();
}

#[test]
fn sessions_with_one_id_share_their_refs() {
    let (py, _folder) = bridge_with(THINGS);
    let first = py.session().id("shared").open().unwrap();
    let second = py.session().id("shared").open().unwrap();
    assert_eq!((first.id(), second.current_session().unwrap().as_str()), ("shared", "shared"));
    let thing: Ref = first.call("fixture", "Thing", ()).wait().unwrap();
    let text: String = second.call("builtins", "repr", (&thing,)).wait().unwrap();
    assert!(text.contains("Thing"));
    drop(first);
    assert_eq!(count(&py), 1, "another guard holds the session");
    drop(second);
    assert_eq!(count(&py), 0);
    let again = py.session().id("shared").open().unwrap();
    let thing: Ref = again.call("fixture", "Thing", ()).wait().unwrap();
    assert_eq!(thing.len().wait().unwrap_err().kind(), ErrorKind::Python);
    again.close();
    assert_eq!(thing.len().wait().unwrap_err().kind(), ErrorKind::SessionClosed);
}

#[test]
fn a_session_by_option_lasts_until_it_is_released() {
    let (py, _folder) = bridge_with(THINGS);
    let thing: Ref = py.call("fixture", "Thing", ()).session("a").wait().unwrap();
    let other: Ref = py.call("fixture", "Thing", ()).session("a:b").wait().unwrap();
    assert_eq!(thing.session_id(), "a");
    let error = py.call::<String>("builtins", "repr", (&thing,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionMismatch);
    let error = thing.method::<bool>("__eq__", (&other,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionMismatch);
    let in_a = py.with(CallOptions::new().session("a"));
    in_a.call::<String>("builtins", "repr", (&thing,)).wait().unwrap();
    py.release_session("a");
    assert_eq!(count(&py), 1, "exactly that session");
    assert_eq!(thing.repr().wait().unwrap_err().kind(), ErrorKind::SessionClosed);
    other.repr().wait().unwrap();
    py.release_session("a");
    py.release_session("never heard of");
    let again: Ref = in_a.call("fixture", "Thing", ()).wait().unwrap();
    again.repr().wait().unwrap();
}

#[test]
fn refs_of_two_workers_cannot_meet() {
    let py = quiet().workers(2).build().unwrap();
    // One session, but the second call found its worker busy and went to the other one.
    let refs: Vec<Ref> = common::meet_for(&py, 2, "[1]");
    assert_ne!(refs[0].worker_id(), refs[1].worker_id());
    for thing in &refs {
        assert_eq!(thing.len().wait().unwrap(), 1);
    }
    let error = py.call::<Value>("operator", "add", (&refs[0], &refs[1])).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert_eq!(error.to_string(), "operator.add: the refs of the call live on different workers");
}

#[test]
fn nothing_is_kept_alive_while_a_lane_waits() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("gone");
    let (py, _folder) = bridge_with(
        "import pathlib\nclass Thing:\n    def __init__(self, mark): self.mark = mark\n    \
         def __del__(self): pathlib.Path(self.mark).touch()\n    def fail(self): raise ValueError\n",
    );
    let thing: Ref = py.call("fixture", "Thing", (&mark,)).wait().unwrap();
    // The traceback of the exception holds the object while it lives.
    thing.method::<()>("fail", ()).wait().unwrap_err();
    drop(thing);
    eventually("the object is gone", || mark.exists());
}

#[test]
fn a_destructor_that_hangs_does_not_hold_up_the_bridge() {
    let (builder, _folder) = common::builder_with(
        "import time\nclass Slow:\n    def __del__(self): time.sleep(0.02)\n\
         def slow(n): return [Slow() for _ in range(n)]\n",
    );
    let py = builder.build().unwrap();
    let slow: Vec<Ref> = py.call("fixture", "slow", (40_000,)).wait().unwrap();
    drop(slow);
    // The worker will be busy with destructors for minutes. It is the supervisor that ends it, so
    // that must not wait for destructors itself.
    let limit = Duration::from_millis(50);
    let error = py.exec("gc", "collect", ()).timeout(limit).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(py.call::<i64>("builtins", "abs", (-1,)).wait().unwrap(), 1);
}

/// How many refs the pool thinks that its workers hold.
fn refs_held(py: &Bridge) -> u64 {
    py.status().unwrap().pools[0].workers.iter().map(|worker| worker.refs).sum()
}

#[test]
fn the_count_of_refs_comes_back_to_zero() {
    let (py, _folder) = bridge_with(THINGS);
    py.call::<i64>("builtins", "object", ()).wait().unwrap_err();
    assert_eq!(refs_held(&py), 0, "a result of the wrong type");
    let _: serde::de::IgnoredAny = py.call("fixture", "things", (10,)).wait().unwrap();
    assert_eq!(refs_held(&py), 0, "a result that is not looked at");
    let kept: (Ref, Value) = py.call("fixture", "things", (2,)).wait().unwrap();
    py.call::<i64>("builtins", "object", ()).wait().unwrap_err();
    assert_eq!(refs_held(&py), 2);
    drop(kept);
    assert_eq!(refs_held(&py), 0);
}

#[test]
fn what_a_stopped_call_gives_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("gone");
    let (py, _folder) = bridge_with(
        "import pathlib, time\nclass Thing:\n    def __init__(self, mark): self.mark = mark\n    \
         def __del__(self): pathlib.Path(self.mark).touch()\n\
         def ready(): pass\n\
         def stubborn(mark):\n    try: time.sleep(30)\n    except KeyboardInterrupt: return Thing(mark)\n",
    );
    // The start of the worker and the import are not to fall within the limit.
    py.exec("fixture", "ready", ()).wait().unwrap();
    let limit = Duration::from_millis(200);
    py.call::<Ref>("fixture", "stubborn", (&mark,)).timeout(limit).wait().unwrap_err();
    eventually("it was released without another call", || mark.exists());
}

#[test]
fn a_call_that_waited_while_its_session_was_closed_leaves_nothing_behind() {
    let (py, _folder) = bridge_with(THINGS);
    let session = py.session().open().unwrap();
    let thing: Result<Ref, _> = std::thread::scope(|scope| {
        let busy = scope.spawn(|| py.exec("time", "sleep", (0.5,)).wait());
        eventually("the worker is busy", || {
            py.status().unwrap().pools[0].workers[0].state == snakebridge::WorkerState::Busy
        });
        let call = session.call("fixture", "Thing", ());
        let waits = scope.spawn(|| call.wait());
        eventually("a call waits", || py.status().unwrap().pools[0].waiting == 1);
        drop(session);
        busy.join().unwrap().unwrap();
        waits.join().unwrap()
    });
    drop(thing);
    assert_eq!(count(&py), 0);
}

#[test]
fn refs_stay_refs_in_types_that_serde_buffers() {
    #[derive(serde::Deserialize)]
    struct Found {
        a: i64,
        #[serde(flatten)]
        rest: std::collections::HashMap<String, Value>,
    }
    let py = bridge();
    let code = "{'a': 1, 'b': object(), 'c': 2}";
    let found: Found = py.call("builtins", "eval", (code,)).wait().unwrap();
    assert_eq!((found.a, &found.rest["c"]), (1, &Value::Int(2)));
    assert!(found.rest["b"].is_ref(), "{:?}", found.rest["b"]);
}
