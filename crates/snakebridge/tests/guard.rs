//! Guards: which modules and names may be called.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use common::quiet;
use snakebridge::{Bridge, Error, ErrorKind, Guard, Helpers, Pool, Ref, Value};

fn guarded(guard: Guard) -> Bridge {
    quiet().guard(guard).build().unwrap()
}

fn is_refused<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::NotAllowed);
}

#[test]
fn what_is_not_allowed_is_not_even_imported() {
    let py = guarded(Guard::new().allow(["math", "sys.modules"]));
    let root: f64 = py.call("math", "sqrt", (16,)).wait().unwrap();
    assert_eq!(root, 4.0);
    let error = py.call::<Value>("this", "s", ()).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAllowed);
    assert_eq!(
        error.to_string(),
        "this.s: the guard does not allow `this.s`, only `math`, `sys.modules`"
    );
    let modules: Ref = py.get("sys", "modules").wait().unwrap();
    assert!(!modules.contains("this").wait().unwrap());
}

#[test]
fn what_is_denied() {
    let py = guarded(Guard::new().deny(["os.system", "subprocess"]));
    let folder: String = py.call("os", "getcwd", ()).wait().unwrap();
    assert!(folder.starts_with('/'));
    let error = py.exec("os", "system", ("true",)).wait().unwrap_err();
    assert_eq!(error.to_string(), "os.system: the guard denies `os.system`");
    is_refused(py.exec("subprocess", "run", ("true",)).wait());
    let os: Ref =
        py.get("sys", "modules").wait().and_then(|modules: Ref| modules.item("os").wait()).unwrap();
    is_refused(os.method::<Value>("system", ("true",)).wait());
    is_refused(os.attr::<Ref>("system").wait());
    assert_eq!(os.attr::<String>("sep").wait().unwrap(), "/");
}

#[test]
fn modules_within_a_path() {
    let allowing = guarded(Guard::new().allow(["json"]));
    is_refused(allowing.call::<Ref>("json.codecs.open", "__call__", ("/etc/hostname",)).wait());
    let name: String = allowing.get("json.decoder.JSONDecoder", "__name__").wait().unwrap();
    assert_eq!(name, "JSONDecoder");
    let denying = guarded(Guard::new().deny(["os"]));
    is_refused(denying.call::<i64>("shutil.os.system", "__call__", ("true",)).wait());
}

#[test]
fn all_ways_to_make_a_call() {
    let py = guarded(Guard::new().allow(["math"]));
    is_refused(py.get::<Value>("os", "sep").wait());
    is_refused(py.call::<i64>("builtins", "range", (3,)).iter().collect::<Result<Vec<_>, _>>());
    is_refused(py.call::<Value>("asyncio", "sleep", (0,)).awaited().wait());
    is_refused(py.call::<Value>("os", "getcwd", ()).start().wait());
    let mut calls = py.pipeline();
    let (refused, root) =
        (calls.call::<String>("os", "getcwd", ()), calls.call::<f64>("math", "sqrt", (16,)));
    let mut results = calls.wait().unwrap();
    is_refused(results.take(refused));
    assert_eq!(results.take(root).unwrap(), 4.0);
    let outcomes = py.batch::<f64>("os", "getcwd", [(), ()]).wait().unwrap();
    outcomes.into_iter().for_each(is_refused);
}

#[test]
fn workers_of_all_kinds() {
    let pool = || Pool::new().guard(Guard::new().allow(["asyncio.sleep", "math"]));
    let mut builder = quiet().pool("loop", pool().asyncio(2));
    if cfg!(target_os = "linux") {
        builder = builder.pool("forked", pool().preload("json").fork_server(true));
    }
    let py = builder.build().unwrap();
    let pools = if cfg!(target_os = "linux") { vec!["loop", "forked"] } else { vec!["loop"] };
    for pool in pools {
        let root: f64 = py.call("math", "sqrt", (16,)).pool(pool).wait().unwrap();
        assert_eq!(root, 4.0);
        let slept = py.call::<i64>("asyncio", "sleep", (0, 7)).awaited().pool(pool).wait();
        assert_eq!(slept.unwrap(), 7);
        is_refused(py.call::<Value>("json", "loads", ("1",)).pool(pool).wait());
        is_refused(py.call::<Value>("asyncio", "wait", ()).awaited().pool(pool).wait());
    }
}

#[test]
fn helpers_have_a_list_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.py"), "import os\ndef f(): return os.sep\n").unwrap();
    let nothing: [&str; 0] = [];
    let builder = quiet().guard(Guard::new().allow(nothing));
    let py = builder.helpers(Helpers::new().path(folder.path())).build().unwrap();
    let sep: String = py.helper("a.f", ()).wait().unwrap();
    assert_eq!(sep, "/");
    let error = py.get::<Value>("os", "sep").wait().unwrap_err();
    assert_eq!(error.to_string(), "os.sep: the guard does not allow `os.sep`, only nothing");
}

#[test]
fn pools_can_have_a_guard_of_their_own() {
    let py = quiet()
        .guard(Guard::new().allow(["math"]))
        .pool("second", Pool::new())
        .pool("free", Pool::new().guard(Guard::new()))
        .build()
        .unwrap();
    let in_pool = |pool: &str| py.get::<String>("os", "sep").pool(pool).wait();
    is_refused(in_pool("default"));
    is_refused(in_pool("second"));
    assert_eq!(in_pool("free").unwrap(), "/");
}

#[test]
fn names_that_are_none() {
    for name in ["", "os.", ".path", "os.*", "o s"] {
        let error = quiet().guard(Guard::new().deny([name])).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.to_string(), format!("`{name}` is not the name of a module or function"));
    }
}
