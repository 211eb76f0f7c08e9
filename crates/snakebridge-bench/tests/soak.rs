//! That nothing piles up: calls, refs, errors, timeouts and whole bridges leave no memory, no
//! descriptor, no thread and no process behind, neither here nor in the worker.
//!
//! The short form runs with all other tests; `SNAKEBRIDGE_SOAK=long` makes it twenty times longer.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use snakebridge::{Bridge, ErrorKind, Pool, Ref, Spin};
use snakebridge_bench::process::{children, open_descriptors, rss_kb, threads};
use tempfile::TempDir;

/// The Python side: objects that can be counted from outside of the bridge.
const FIXTURE: &str = "
try:
    import _ctypes  # A worker imports it by itself, but a little later.
except ImportError:
    pass
import gc
import time
import weakref

class Thing:
    def __init__(self, number):
        self.number = number

things = weakref.WeakSet()

def thing(number):
    made = Thing(number)
    things.add(made)
    return made

def pair(number):
    return [thing(number), {'other': thing(number)}]

def number_of(thing):
    return thing.number

def alive():
    return len(things)

def objects():
    gc.collect()
    return len(gc.get_objects())

def fail(number):
    held = thing(number)
    raise ValueError(number, 'with some text')

def linger(number):
    held = thing(number)
    time.sleep(60)
";

/// More than this, in KiB, is no noise of an allocator: 50,000 leaks of 48 bytes.
const SLACK_KB: u64 = 2048;
/// Python remembers a few things the first time it meets them.
const SLACK_OBJECTS: u64 = 100;

/// What must not grow.
#[derive(Debug)]
struct Levels {
    host_kb: u64,
    worker_kb: u64,
    worker_objects: u64,
    alive: u64,
    descriptors: usize,
    threads: u64,
}

impl Levels {
    fn of(py: &Bridge) -> Self {
        let alive = py.call("soak", "alive", ()).unwrap();
        let worker_objects = py.call("soak", "objects", ()).unwrap();
        let pid = py.call("os", "getpid", ()).unwrap();
        Self {
            host_kb: rss_kb(std::process::id()).unwrap(),
            worker_kb: rss_kb(pid).unwrap(),
            worker_objects,
            alive,
            descriptors: open_descriptors().unwrap(),
            threads: threads().unwrap(),
        }
    }

    fn assert_flat_since(&self, before: &Self) {
        assert_eq!(self.alive, before.alive, "{self:?}, before {before:?}");
        assert_eq!(self.descriptors, before.descriptors, "{self:?}, before {before:?}");
        assert_eq!(self.threads, before.threads, "{self:?}, before {before:?}");
        let flat = self.host_kb <= before.host_kb + SLACK_KB
            && self.worker_kb <= before.worker_kb + SLACK_KB
            && self.worker_objects <= before.worker_objects + SLACK_OBJECTS;
        assert!(flat, "{self:?}, before {before:?}");
    }
}

/// One test at a time: they look at the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When a lane takes to its second gear by itself depends on what else the machine does, and it takes something to
/// have one: so that is settled before the first call.
const SECOND_GEAR: Spin = Spin::For(Duration::from_micros(50));

fn bridge(spin: Spin) -> (Bridge, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("soak.py"), FIXTURE).unwrap();
    let pool = Pool::new().module_path(folder.path()).spin(spin);
    let py = Bridge::builder().pool("default", pool).build().unwrap();
    // A short time limit must not be used up by the start.
    py.ready().unwrap();
    (py, folder)
}

fn is_long() -> bool {
    std::env::var("SNAKEBRIDGE_SOAK").is_ok_and(|form| form == "long")
}

fn scaled(short: u64) -> u64 {
    if is_long() { short * 20 } else { short }
}

/// Repeats something, and compares the levels after a tenth of it with those at the end.
fn soak(count: u64, once: impl FnMut(&Bridge, u64)) {
    soak_in(SECOND_GEAR, count, once);
}

fn soak_in(spin: Spin, count: u64, mut once: impl FnMut(&Bridge, u64)) {
    let _alone = alone();
    let (py, _folder) = bridge(spin);
    let warm = count / 10;
    (0..warm).for_each(|number| once(&py, number));
    let before = Levels::of(&py);
    (warm..count).for_each(|number| once(&py, number));
    Levels::of(&py).assert_flat_since(&before);
    py.shutdown();
    assert_eq!(children().unwrap(), Vec::<u32>::new());
}

#[test]
fn calls_leave_nothing() {
    for spin in [SECOND_GEAR, Spin::Off] {
        soak_in(spin, scaled(50_000), |py, number| {
            let text = format!("call {number}");
            let found: (String, Vec<u64>) =
                py.call("builtins", "max", ([(&text, [number; 3])],)).unwrap();
            assert_eq!(found, (text, vec![number; 3]));
        });
    }
}

#[test]
fn refs_leave_nothing() {
    soak(scaled(40_000), |py, number| {
        let thing: Ref = py.call("soak", "thing", (number,)).unwrap();
        if number % 4 == 0 {
            // As parts of a value, and as an argument.
            let _pair: (Ref, BTreeMap<String, Ref>) = py.call("soak", "pair", (number,)).unwrap();
            let found: u64 = py.call("soak", "number_of", (&thing,)).unwrap();
            assert_eq!(found, number);
        }
        if number == 0 {
            assert_eq!(py.call::<u64>("soak", "alive", ()).unwrap(), 1);
        }
    });
}

#[test]
fn sessions_leave_nothing() {
    soak(scaled(5_000), |py, number| {
        let session = py.session().open().unwrap();
        let thing: Ref = session.call("soak", "thing", (number,)).unwrap();
        drop(session);
        assert!(thing.attr::<u64>("number").wait().is_err());
    });
}

#[test]
fn exceptions_leave_nothing() {
    soak(scaled(5_000), |py, number| {
        let error = py.call::<u64>("soak", "fail", (number,)).wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Python, "{error:?}");
    });
}

#[test]
fn timeouts_leave_nothing() {
    soak(scaled(100), |py, number| {
        let call = py.call::<u64>("soak", "linger", (number,));
        let error = call.timeout(Duration::from_millis(5)).wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    });
}

#[test]
fn bridges_leave_nothing() {
    let _alone = alone();
    let here = || {
        let rss = rss_kb(std::process::id()).unwrap();
        (rss, open_descriptors().unwrap(), threads().unwrap())
    };
    let mut before = None;
    for number in 0..if is_long() { 100 } else { 20 } {
        let (py, _folder) = bridge(SECOND_GEAR);
        let thing: Ref = py.call("soak", "thing", (number,)).unwrap();
        // With and without a call of `shutdown`, and with a ref that lives longer.
        if number % 2 == 0 {
            py.shutdown();
        }
        drop(py);
        assert_eq!(children().unwrap(), Vec::<u32>::new());
        drop(thing);
        if number == 4 {
            before = Some(here());
        }
    }
    let (before, after) = (before.unwrap(), here());
    assert!(after.0 <= before.0 + SLACK_KB, "{after:?}, before {before:?}");
    assert_eq!((after.1, after.2), (before.1, before.2));
}
