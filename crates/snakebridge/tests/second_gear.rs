//! Lanes whose sides look at their mailbox before they sleep: all goes on as through the pipes.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{LANES, Random, builder_with, eventually, is_running, kill, quiet, worker_pid};
use snakebridge::{Bridge, Bytes, ErrorKind, Pool, Ref, Spin, args};

/// Long enough that hardly any message misses it.
const LONG: Spin = Spin::For(Duration::from_millis(2));

fn bridge(spin: Spin) -> (Bridge, tempfile::TempDir) {
    let (builder, folder) = builder_with(LANES);
    let pool = Pool::new().module_path(folder.path()).spin(spin);
    (builder.pool("default", pool).build().unwrap(), folder)
}

/// Whether a worker has a mailbox.
fn has_mailbox(py: &Bridge) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", worker_pid(py))).unwrap();
    maps.contains("memfd:snakebridge-mailbox")
}

fn sqrt(py: &Bridge) -> f64 {
    py.call("math", "sqrt", (16,)).wait().unwrap()
}

#[test]
fn a_mailbox_is_made_when_it_is_wanted_and_not_before() {
    let (off, _folder) = bridge(Spin::Off);
    (0..1000).for_each(|_| assert_eq!(sqrt(&off), 4.0));
    assert!(!has_mailbox(&off));
    let (forced, _folder) = bridge(LONG);
    assert_eq!(sqrt(&forced), 4.0);
    assert!(has_mailbox(&forced));
}

#[test]
fn what_is_sent_arrives_whatever_its_length() {
    let (py, _folder) = bridge(LONG);
    let around_capacity = (30 << 10) - 200..(30 << 10) + 200;
    let lengths = (0..300).chain(around_capacity).chain([65_000, 65_536, 70_000, 1 << 20]);
    for length in lengths {
        let data: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
        let back: Bytes = py.call("fixture", "swap", (Bytes::from(data.clone()),)).wait().unwrap();
        assert!(back.iter().eq(data.iter().rev()), "{length} bytes");
    }
}

#[test]
fn all_kinds_of_calls_work() {
    let (py, _folder) = bridge(LONG);
    for _ in 0..20 {
        let boxed: Ref = py.call("fixture", "Box", ()).wait().unwrap();
        assert_eq!(boxed.method::<i64>("double", (21,)).wait().unwrap(), 42);
        let error = py.call::<()>("fixture", "fail", ()).wait().unwrap_err();
        assert_eq!(error.python().unwrap().message(), "on purpose");
        let chunks: Vec<String> =
            py.call("fixture", "chunks", (50,)).iter().collect::<Result<_, _>>().unwrap();
        assert_eq!(chunks[49], "49".repeat(100));
        let lone: String = py.call("builtins", "chr", (0x40,)).wait().unwrap();
        assert_eq!(lone, "@");
        let nested = py.clone();
        let roots =
            py.callback(move |n: i64| Ok(nested.call::<i64>("math", "isqrt", (n * n,)).wait()?));
        let found: Vec<i64> = py.call("fixture", "apply", (&roots, 10)).wait().unwrap();
        assert!(found.into_iter().eq(0..10));
        let pending: snakebridge::Pending<i64> = py.call("fixture", "pause", (100,)).start();
        assert_eq!(pending.wait().unwrap(), 100);
    }
    eventually("the boxes are released", || {
        py.call::<i64>("fixture", "alive", ()).wait().unwrap() == 0
    });
}

#[test]
fn a_call_is_stopped_and_the_lane_goes_on() {
    let (py, _folder) = bridge(LONG);
    let kept: Ref = py.call("fixture", "Box", ()).wait().unwrap();
    for _ in 0..3 {
        let sleep = py.call::<()>("time", "sleep", (60,)).timeout(Duration::from_millis(100));
        assert_eq!(sleep.wait().unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(kept.method::<i64>("double", (1,)).wait().unwrap(), 2);
    }
    // Its reply is in the box, or on its way there, when nobody waits for it any more.
    for micros in (0..200).step_by(5) {
        drop(py.call::<i64>("fixture", "pause", (micros,)).start());
        assert_eq!(sqrt(&py), 4.0);
    }
}

#[test]
fn a_worker_that_is_killed_is_lost_and_another_takes_its_place() {
    let (py, _folder) = bridge(LONG);
    for round in 0..5 {
        let pid = worker_pid(&py);
        let killer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(3 * round));
            kill(pid);
        });
        // It may be killed between two calls as well, and then none is lost.
        while !killer.is_finished() || is_running(pid) {
            match py.call::<f64>("math", "sqrt", (16,)).wait() {
                Ok(root) => assert_eq!(root, 4.0),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WorkerLost),
            }
        }
        killer.join().unwrap();
        eventually("another worker takes its place", || {
            let asked: Result<i32, _> = py.call("os", "getpid", ()).wait();
            asked.is_ok_and(|another| another != pid)
        });
    }
    assert_eq!(sqrt(&py), 4.0);
}

#[test]
fn a_worker_with_threads_of_its_own_works_as_well() {
    let (py, _folder) = bridge(Spin::Auto);
    let timer: Ref = py
        .call("threading", "Timer", args![60, py.get::<Ref>("builtins", "int").wait().unwrap()])
        .wait()
        .unwrap();
    timer.method::<()>("start", ()).wait().unwrap();
    (0..1000).for_each(|_| assert_eq!(sqrt(&py), 4.0));
    timer.method::<()>("cancel", ()).wait().unwrap();
}

#[cfg(feature = "tokio")]
#[test]
fn calls_are_awaited_and_dropped() {
    let (py, _folder) = bridge(LONG);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for micros in (0..300).step_by(3) {
            let call = py.call::<i64>("fixture", "pause", (micros,)).into_future();
            let limit = Duration::from_micros(150);
            if let Ok(found) = tokio::time::timeout(limit, call).await {
                assert_eq!(found.unwrap(), micros);
            }
            let root: f64 = py.call("math", "sqrt", (16,)).await.unwrap();
            assert_eq!(root, 4.0);
        }
    });
}

/// How many calls: `SNAKEBRIDGE_SOAK_CALLS` says more.
fn calls_to_make() -> u64 {
    std::env::var("SNAKEBRIDGE_SOAK_CALLS").map_or(20_000, |count| count.parse().unwrap())
}

#[test]
fn no_wake_up_is_lost_whatever_the_pauses() {
    // Looks that end about when the messages come, so that both sides often are just about to sleep.
    for spin in [Spin::For(Duration::from_micros(3)), Spin::Auto] {
        let (py, _folder) = bridge(spin);
        let mut random = Random::new(1);
        let mut next = |end| random.below(end);
        for number in 0..calls_to_make() / 2 {
            let pause = if next(4) == 0 { next(20) } else { 0 };
            // A call that nobody answers would be the one that was lost.
            let call =
                py.call::<u64>("fixture", "pause", (pause,)).timeout(Duration::from_secs(20));
            assert_eq!(call.wait().unwrap(), pause, "call {number}");
            let until =
                Instant::now() + Duration::from_micros(if next(4) == 0 { next(12) } else { 0 });
            while Instant::now() < until {}
        }
    }
}

#[test]
fn an_environment_variable_that_says_nothing_is_an_error() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "with_what_the_environment_says", "--nocapture"])
        .env("SNAKEBRIDGE_SPIN", "fast")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(said.contains("SNAKEBRIDGE_SPIN=fast, expected `off`, `auto`, or a number"), "{said}");
}

#[test]
fn with_what_the_environment_says() {
    match quiet().build() {
        Ok(py) => assert_eq!(sqrt(&py), 4.0),
        Err(error) => println!("{error}"),
    }
}
