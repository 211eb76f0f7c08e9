//! Helpers: functions of the project's own Python files.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::path::Path;

use common::quiet;
use snakebridge::{Bridge, Error, ErrorKind, Helpers, Pool, Ref, Value, args};

/// Files, with their sources, in a folder of their own.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, source)| write(folder.path(), name, source));
    folder
}

fn write(folder: &Path, name: &str, source: &str) {
    std::fs::write(folder.join(name), source).unwrap();
}

fn bridge(helpers: Helpers) -> Bridge {
    quiet().helpers(helpers).build().unwrap()
}

fn bridge_with(files: &[(&str, &str)]) -> (Bridge, tempfile::TempDir) {
    let folder = folder(files);
    (bridge(Helpers::new().path(folder.path())), folder)
}

fn failure(py: &Bridge, name: &str) -> Error {
    py.helper::<Value>(name, ()).wait().unwrap_err()
}

const PRICES: &str = "
import asyncio
from math import sqrt

def total(items, tax=0):
    'All of it.'
    return sum(items) * (100 + tax) // 100

def fail():
    raise ValueError('no such price')

def numbers(count):
    yield from range(count)

async def later(value, *, delay: float = 0.0):
    await asyncio.sleep(delay)
    return value

class Basket:
    def __init__(self, items):
        self.items = items

    def count(self):
        return len(self.items)

def _secret():
    return 1
";

#[test]
fn public_functions_of_a_file() {
    let (py, _folder) = bridge_with(&[("prices.py", PRICES)]);
    let total: i64 = py.helper("prices.total", ([10, 20],)).wait().unwrap();
    assert_eq!(total, 30);
    let total: i64 = py.helper("prices.total", args![[10, 20], tax = 10]).wait().unwrap();
    assert_eq!(total, 33);
    for name in ["prices._secret", "prices.sqrt", "prices.asyncio", "prices", "", "prices."] {
        assert_eq!(failure(&py, name).kind(), ErrorKind::HelperNotFound, "{name}");
    }
}

#[test]
fn all_that_can_be_done_with_a_call() {
    let (py, _folder) = bridge_with(&[("prices.py", PRICES)]);
    let basket: Ref = py.helper("prices.Basket", ([1, 2],)).wait().unwrap();
    assert_eq!(basket.type_name(), "Basket");
    let count: i64 = basket.method("count", ()).wait().unwrap();
    assert_eq!(count, 2);
    let numbers: Vec<i64> =
        py.helper("prices.numbers", (4,)).iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(numbers, [0, 1, 2, 3]);
    let later: String = py.helper("prices.later", ("now",)).awaited().wait().unwrap();
    assert_eq!(later, "now");
    let started = py.helper::<i64>("prices.total", ([1, 2],)).start();
    assert_eq!(started.wait().unwrap(), 3);

    let session = py.session().open().unwrap();
    let basket: Ref = session.helper("prices.Basket", ([1, 2, 3],)).wait().unwrap();
    assert_eq!(basket.session_id(), session.id());

    let mut calls = py.pipeline();
    let numbers = calls.push(py.helper::<Ref>("prices.numbers", (4,)));
    let total = calls.push(py.helper::<i64>("prices.total", (&numbers,)));
    let wrong = calls.push(py.helper::<i64>("prices.totl", (&numbers,)));
    let mut results = calls.wait().unwrap();
    assert_eq!(results.take(total).unwrap(), 6);
    let error = results.take(wrong).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HelperNotFound);
    assert_eq!(error.target(), Some("prices.totl"));
}

#[test]
fn on_an_event_loop() {
    let folder = folder(&[("prices.py", PRICES)]);
    let pool = Pool::new().asyncio(4).helpers(Helpers::new().path(folder.path()));
    let py = quiet().pool("default", pool).build().unwrap();
    let calls: Vec<_> = (0..4)
        .map(|n| py.helper::<i64>("prices.later", args![n, delay = 0.01]).awaited().start())
        .collect();
    let slept: Vec<i64> = calls.into_iter().map(|call| call.wait().unwrap()).collect();
    assert_eq!(slept, [0, 1, 2, 3]);
    let total: i64 = py.helper("prices.total", ([1],)).wait().unwrap();
    assert_eq!(total, 1);
    assert_eq!(failure(&py, "prices.none").kind(), ErrorKind::HelperNotFound);
}

#[cfg(target_os = "linux")]
#[test]
fn in_a_forked_worker() {
    let folder = folder(&[("prices.py", PRICES)]);
    let pool = Pool::new().fork_server(true);
    let py = quiet().helpers(Helpers::new().path(folder.path())).pool("default", pool);
    let py = py.build().unwrap();
    let total: i64 = py.helper("prices.total", ([1, 2],)).wait().unwrap();
    assert_eq!(total, 3);
}

#[test]
fn what_python_raises_comes_with_the_place_in_the_file() {
    let (py, folder) = bridge_with(&[("prices.py", PRICES)]);
    let error = failure(&py, "prices.fail");
    assert_eq!(error.to_string(), "prices.fail raised ValueError: no such price");
    let frame = &error.python().unwrap().frames()[0];
    assert_eq!(frame.file, folder.path().join("prices.py").to_str().unwrap());
    assert_eq!(frame.source.as_deref(), Some("raise ValueError('no such price')"));
}

#[test]
fn registries_say_what_a_file_offers() {
    let (py, _folder) = bridge_with(&[
        ("a.py", "def f(): return 'a'\n__snakebridge_helpers__ = {'stats.mean': f, 'one': f}\n"),
        ("b.py", "def f(): return 'b'\ndef snakebridge_helpers(): return {'stats.mean': f}\n"),
        ("c.py", "def f(): return 'c'\nHELPERS = {'two.more.dots': f, 'd.f': f}\n"),
        ("d.py", "def f(): return 'd'\n"),
        ("e.py", "HELPERS = ['f']\n"),
        ("listed.py", "from math import sqrt\ndef f(): return 1\n__all__ = ['sqrt']\n"),
    ]);
    let call = |name: &str| py.helper::<String>(name, ()).wait().unwrap();
    assert_eq!(call("one"), "a");
    assert_eq!(call("stats.mean"), "b", "later files override earlier ones");
    assert_eq!(call("two.more.dots"), "c");
    assert_eq!(call("d.f"), "d", "a name belongs to the file that it begins with");
    let root: f64 = py.helper("listed.sqrt", (16,)).wait().unwrap();
    assert_eq!(root, 4.0);
    for name in ["a.f", "b.snakebridge_helpers", "listed.f"] {
        assert_eq!(failure(&py, name).kind(), ErrorKind::HelperNotFound, "{name}");
    }
    let error = failure(&py, "e.f");
    let expected = "e.f raised TypeError: HELPERS is list, expected a dict of functions by name";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn unknown_names_are_told_what_is_near() {
    let (py, folder) = bridge_with(&[("prices.py", PRICES), ("other.py", "def f(): pass\n")]);
    let said = |name| failure(&py, name).to_string();
    assert_eq!(
        said("prices.totl"),
        "prices.totl: there is no such helper; did you mean `prices.total`?"
    );
    assert_eq!(said("later"), "later: there is no such helper; did you mean `prices.later`?");
    let all = "`other.f`, `prices.Basket`, `prices.fail`, `prices.later`, `prices.numbers`, \
               `prices.total`";
    assert_eq!(said("xxxx.yyyy"), format!("xxxx.yyyy: there is no such helper; there are {all}"));
    drop(folder);

    let empty = tempfile::tempdir().unwrap();
    let py = bridge(Helpers::new().path(empty.path()));
    let expected =
        format!("a.f: there is no such helper; there are none in `{}`", empty.path().display());
    assert_eq!(failure(&py, "a.f").to_string(), expected);
}

#[test]
fn a_broken_file_harms_only_itself() {
    let (py, folder) = bridge_with(&[
        ("good.py", "def f(): return 1\n"),
        ("typo.py", "def f(:\n"),
        ("leaves.py", "import sys\nsys.exit(3)\n"),
        ("named.py", "HELPERS = {'late.f': lambda: 2}\n"),
    ]);
    let call = |name| py.helper::<i64>(name, ()).wait().unwrap();
    assert_eq!((call("good.f"), call("late.f")), (1, 2));
    for _ in 0..2 {
        let error = failure(&py, "typo.f");
        let python = error.python().unwrap();
        assert_eq!(python.type_name(), "SyntaxError");
        let file = folder.path().join("typo.py");
        let note = format!("raised while the helper file {} was loaded", file.display());
        assert_eq!(python.notes(), [note]);
    }
    let error = failure(&py, "leaves.f");
    assert_eq!(error.python().unwrap().type_name(), "SystemExit");
    let error = failure(&py, "absent.f").to_string();
    assert!(error.contains("did you mean"), "{error}");
    assert!(error.contains("typo.py` cannot be loaded (SyntaxError: "), "{error}");
    assert_eq!(call("good.f"), 1);
    let index = py.helpers().wait().unwrap();
    let names: Vec<_> = index.helpers.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["good.f", "late.f"]);
    assert_eq!(index.broken.len(), 2);
    assert_eq!(index.broken[0].error, "SystemExit: 3");
}

#[test]
fn a_file_is_loaded_when_it_is_wanted() {
    let (py, _folder) = bridge_with(&[
        ("first.py", "import builtins\nbuiltins.first_was_loaded = 1\ndef f(): return 1\n"),
        ("second.py", "def f(): return hasattr(__import__('builtins'), 'first_was_loaded')\n"),
    ]);
    let first_was_loaded: bool = py.helper("second.f", ()).wait().unwrap();
    assert!(!first_was_loaded);
}

#[test]
fn who_calls_no_helper_has_no_code_for_them() {
    let py = quiet().build().unwrap();
    let modules: Ref = py.get("sys", "modules").wait().unwrap();
    for module in ["helpers", "guard", "rules"] {
        let name = format!("snakebridge_worker.{module}");
        assert!(!modules.contains(&name).wait().unwrap(), "{name} was imported");
    }
}

#[test]
fn only_what_is_allowed() {
    let folder = folder(&[("prices.py", PRICES), ("bomb.py", "raise RuntimeError('loaded')\n")]);
    let helpers = || Helpers::new().path(folder.path());
    let py = bridge(helpers().allow(["prices.total", "other"]));
    let total: i64 = py.helper("prices.total", ([1],)).wait().unwrap();
    assert_eq!(total, 1);
    for name in ["prices.fail", "bomb.f", "prices.totals", "nothing"] {
        let error = failure(&py, name);
        assert_eq!(error.kind(), ErrorKind::NotAllowed);
        let expected = format!("{name}: only these helpers are allowed: `prices.total`, `other`");
        assert_eq!(error.to_string(), expected);
    }
    assert_eq!(py.helpers().wait().unwrap().helpers.len(), 1);

    let none: [&str; 0] = [];
    let error = failure(&bridge(helpers().allow(none)), "prices.total");
    assert_eq!(error.to_string(), "prices.total: only these helpers are allowed: none");
    let error = failure(&bridge(helpers().enabled(false)), "prices.total");
    assert_eq!(error.to_string(), "prices.total: helpers are switched off");
    assert_eq!(error.kind(), ErrorKind::NotAllowed);

    let error = quiet().helpers(helpers().allow(["prices.*"])).build().unwrap_err();
    assert_eq!(error.to_string(), "`prices.*` is not the name of a helper");
}

#[test]
fn changes_are_seen_in_development() {
    let folder = folder(&[
        ("counter.py", "from . import _shared\ndef f(): return _shared.value\n"),
        ("_shared.py", "value = 1\n"),
    ]);
    let helpers = || Helpers::new().path(folder.path());
    let (fresh, still) = (bridge(helpers().reload(true)), bridge(helpers().reload(false)));
    let call = |py: &Bridge| py.helper::<i64>("counter.f", ()).wait().unwrap();
    assert_eq!((call(&fresh), call(&still)), (1, 1));
    // Of the same size, within the same second.
    write(folder.path(), "_shared.py", "value = 2\n");
    assert_eq!((call(&fresh), call(&still)), (2, 1));
    write(folder.path(), "counter.py", "def f(: return 3\n");
    assert_eq!(failure(&fresh, "counter.f").python().unwrap().type_name(), "SyntaxError");
    write(folder.path(), "counter.py", "def f(): return 3\n");
    assert_eq!((call(&fresh), call(&still)), (3, 1));
    write(folder.path(), "new.py", "def f(): return 4\n");
    let new: i64 = fresh.helper("new.f", ()).wait().unwrap();
    assert_eq!(new, 4);
    std::fs::remove_file(folder.path().join("new.py")).unwrap();
    assert_eq!(failure(&fresh, "new.f").kind(), ErrorKind::HelperNotFound);
}

#[test]
fn folders_and_files_later_ones_first() {
    let first = folder(&[
        ("a.py", "def f(): return 'first'\n"),
        ("b.py", "def f(): return 'first'\n"),
        ("c.py", "from . import b\ndef f(): return b.f()\n"),
        ("__init__.py", "raise RuntimeError\n"),
        ("notes.txt", "no Python"),
    ]);
    let second = folder(&[("b.py", "def f(): return 'second'\n")]);
    let single = folder(&[("d.py", "def f(): return 'single'\n"), ("e.py", "def f(): pass\n")]);
    let helpers = Helpers::new().path(first.path()).path(second.path());
    let py = bridge(helpers.path(single.path().join("d.py")));
    let call = |name| py.helper::<String>(name, ()).wait().unwrap();
    assert_eq!(
        (call("a.f"), call("b.f"), call("c.f")),
        ("first".into(), "second".into(), "second".into())
    );
    assert_eq!(call("d.f"), "single");
    assert_eq!(failure(&py, "e.f").kind(), ErrorKind::HelperNotFound);

    let error = quiet().helpers(Helpers::new().path("no/such/folder")).build().unwrap_err();
    assert_eq!(error.to_string(), "`no/such/folder` is no folder, and no Python file");
}

#[test]
fn pools_can_have_helpers_of_their_own() {
    let (common, own) = (
        folder(&[("a.py", "def f(): return 'common'\n")]),
        folder(&[("a.py", "def f(): return 'own'\n")]),
    );
    let py = quiet()
        .helpers(Helpers::new().path(common.path()))
        .pool("second", Pool::new())
        .pool("third", Pool::new().helpers(Helpers::new().path(own.path())))
        .build()
        .unwrap();
    let of = |pool: &str| py.helper::<String>("a.f", ()).pool(pool).wait().unwrap();
    assert_eq!([of("default"), of("second"), of("third")], ["common", "common", "own"]);
}

#[test]
fn the_index_tells_how_to_call_them() {
    let (py, _folder) = bridge_with(&[
        ("prices.py", PRICES),
        ("shapes.py", "def area(a: float, /, b: 'float' = 1.0, *rest, unit='m', **more): pass\n"),
        ("c.py", "import math\nHELPERS = {'log': math.log, 'hypot': math.hypot}\n"),
    ]);
    let index = py.helpers().wait().unwrap();
    let shown: Vec<String> = index.helpers.iter().map(ToString::to_string).collect();
    let expected = [
        "hypot(...)",
        "log(...)",
        "prices.Basket(items)",
        "prices.fail()",
        "async prices.later(value, *, delay: float = 0.0)",
        "prices.numbers(count)",
        "prices.total(items, tax=0)",
        "shapes.area(a: float, /, b: float = 1.0, *rest, unit='m', **more)",
    ];
    assert!(shown[0].starts_with("hypot("), "what Python can tell of it depends on its version");
    assert!(shown[1].starts_with("log("), "the same");
    assert_eq!(shown[2..], expected[2..]);
    assert_eq!(index.helpers[6].doc, "All of it.");
    assert_eq!(index.broken, []);
}
