//! What the tests share: bridges that print nothing, and modules for Python to import.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::ops::Range;
use std::time::{Duration, Instant};

use snakebridge::{Bridge, BridgeBuilder, Output};

/// The module `fixture` of the tests of lanes.
pub(crate) const LANES: &str = include_str!("lanes.py");

/// A builder whose workers print nothing.
pub(crate) fn quiet() -> BridgeBuilder {
    Bridge::builder().output(Output::Discard)
}

/// A bridge with one worker.
pub(crate) fn bridge() -> Bridge {
    quiet().build().unwrap()
}

/// A bridge that finds this source as the module `fixture`.
pub(crate) fn bridge_with(source: &str) -> (Bridge, tempfile::TempDir) {
    let (builder, folder) = builder_with(source);
    (builder.build().unwrap(), folder)
}

pub(crate) fn builder_with(source: &str) -> (BridgeBuilder, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("fixture.py"), source).unwrap();
    (quiet().module_path(folder.path()), folder)
}

/// Process id of the worker.
pub(crate) fn worker_pid(py: &Bridge) -> i32 {
    py.call("os", "getpid", ()).wait().unwrap()
}

pub(crate) fn is_running(pid: i32) -> bool {
    // A process that has ended, but was not waited for, is a zombie. So is its first thread while others
    // are still on their way, and its descriptors are open until then.
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        threads > 1 || !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z')
    })
}

/// Waits until something holds; fails if it does not within ten seconds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Number of open descriptors of this process.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Makes this many calls that all wait for each other, so that each is on a worker of its own, and
/// gives the process ids of those.
pub(crate) fn meet(py: &Bridge, count: usize) -> Vec<i32> {
    meet_for(py, count, "__import__('os').getpid()")
}

/// The same, with what each call gives.
pub(crate) fn meet_for<R>(py: &Bridge, count: usize, result: &str) -> Vec<R>
where
    R: serde::de::DeserializeOwned + Send + 'static,
{
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|threads| {
        let threads: Vec<_> = (0..count)
            .map(|mine| {
                let code = format!(
                    "(__import__('pathlib').Path({0:?}, '{mine}').touch(), \
                     any(iter(lambda: len(__import__('os').listdir({0:?})) == {count}, True)), \
                     {result})[2]",
                    folder.path()
                );
                threads.spawn(move || py.call("builtins", "eval", (code,)).wait().unwrap())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A generator of random numbers: xorshift64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // From zero it would never get away, and seeds that follow each other would begin alike.
        Self((seed << 1 | 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }
}
