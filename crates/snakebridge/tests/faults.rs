//! What happens when workers die, hang or misbehave: the call at hand gets a typed error, and the
//! next one works.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{bridge, bridge_with, builder_with, eventually, is_running, kill, quiet, worker_pid};
use snakebridge::{Bridge, ErrorKind, Pool, Ref, Retry, Spin, args};

fn works(py: &Bridge) {
    let root: f64 = py.call("math", "sqrt", (16,)).wait().unwrap();
    assert_eq!(root, 4.0);
}

#[test]
fn a_worker_that_exits_is_replaced() {
    let py = bridge();
    let error = py.exec("os", "_exit", (7,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerLost);
    assert_eq!(error.retry(), Retry::IfIdempotent);
    assert_eq!(error.to_string(), "os._exit: the worker exited with code 7 during the call");
    works(&py);
}

#[test]
fn a_segfault_says_so_with_the_python_stack() {
    let (py, _folder) = bridge_with("import ctypes\ndef crash():\n    ctypes.string_at(0)\n");
    let error = py.exec("fixture", "crash", ()).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerLost);
    assert!(error.to_string().contains("signal 11 (SIGSEGV)"), "{error}");
    let shown = format!("{error:?}");
    assert!(shown.contains("Fatal Python error: Segmentation fault"), "{shown}");
    assert!(shown.contains("in crash"), "{shown}");
    works(&py);
}

#[test]
fn refs_of_a_lost_worker_are_lost() {
    let py = bridge();
    let list: Ref = py.call("builtins", "list", ([1, 2],)).wait().unwrap();
    let pid = worker_pid(&py);
    kill(pid);
    eventually("the ref is lost", || match list.len().wait() {
        Err(error) => {
            assert!(
                matches!(error.kind(), ErrorKind::RefLost | ErrorKind::WorkerLost),
                "{error:?}"
            );
            error.kind() == ErrorKind::RefLost
        }
        Ok(_) => false,
    });
    let error = list.len().wait().unwrap_err();
    assert!(error.to_string().contains("signal 9 (SIGKILL)"), "{error}");
    works(&py);
    assert_ne!(worker_pid(&py), pid);
}

#[test]
fn an_idempotent_call_is_made_again_after_a_loss() {
    let (py, folder) = bridge_with(
        "import os, pathlib\ndef fragile(folder, times):\n    \
         path = pathlib.Path(folder, 'count')\n    \
         count = int(path.read_text()) if path.exists() else 0\n    \
         path.write_text(str(count + 1))\n    if count < times: os._exit(9)\n    return count\n",
    );
    let folder = folder.path();
    let count: i64 = py.call("fixture", "fragile", (folder, 2)).idempotent(true).wait().unwrap();
    assert_eq!(count, 2, "two workers were lost, the third has answered");
    let error = py.call::<i64>("fixture", "fragile", (folder, 4)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerLost, "others are never made again");
}

#[test]
fn an_idempotent_call_may_be_repeated_after_a_loss() {
    let py = bridge();
    let error = py.exec("os", "_exit", (1,)).idempotent(true).wait().unwrap_err();
    assert_eq!(error.retry(), Retry::Safe);
}

#[test]
fn a_timeout_comes_in_time_and_the_worker_lives() {
    let py = bridge();
    let kept: Ref = py.call("builtins", "list", ([1],)).wait().unwrap();
    let pid = worker_pid(&py);
    let begin = Instant::now();
    let error =
        py.exec("time", "sleep", (30,)).timeout(Duration::from_millis(100)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.to_string(), "time.sleep: no answer within 100ms");
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert_eq!(kept.len().wait().unwrap(), 1);
    assert_eq!(worker_pid(&py), pid, "an interrupt was enough");
}

#[test]
fn code_that_ignores_the_interrupt_is_killed() {
    let (py, _folder) = bridge_with(
        "def stubborn():\n    while True:\n        try:\n            while True: sum(range(999))\n        \
         except BaseException: pass\n",
    );
    let kept: Ref = py.get("fixture", "stubborn").wait().unwrap();
    let pid = worker_pid(&py);
    let limit = Duration::from_millis(50);
    let error = py.exec("fixture", "stubborn", ()).timeout(limit).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    works(&py);
    assert!(!is_running(pid));
    assert_eq!(kept.repr().wait().unwrap_err().kind(), ErrorKind::RefLost);
}

#[test]
fn refs_of_a_result_that_nobody_reads_are_released() {
    let (py, _folder) = bridge_with(
        "import time, weakref\nclass Thing: pass\nalive = weakref.WeakSet()\n\
         def late():\n    thing = Thing()\n    alive.add(thing)\n    try:\n        time.sleep(30)\n    \
         except KeyboardInterrupt:\n        pass\n    return [thing]\n\
         def count(): return len(alive)\n",
    );
    let limit = Duration::from_millis(50);
    let error = py.exec("fixture", "late", ()).timeout(limit).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let error = py.call::<Vec<Ref>>("fixture", "late", ()).timeout(limit).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    eventually("both are gone", || py.call::<usize>("fixture", "count", ()).wait().unwrap() == 0);
}

#[test]
fn grandchildren_die_with_a_killed_worker() {
    let py = bridge();
    let child: Ref = py.call("subprocess", "Popen", (["sleep", "300"],)).wait().unwrap();
    let child: i32 = child.attr("pid").wait().unwrap();
    assert!(is_running(child));
    kill(worker_pid(&py));
    eventually("the grandchild is gone", || !is_running(child));
}

#[test]
fn a_forked_child_does_not_hide_the_end_of_its_worker() {
    let (py, _folder) = bridge_with(
        "import os, time\ndef leave_child():\n    if os.fork() == 0:\n        time.sleep(300)\n        \
         os._exit(0)\n    os._exit(3)\n",
    );
    let error = py.exec("fixture", "leave_child", ()).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerLost);
    assert!(error.to_string().contains("code 3"), "{error}");
    works(&py);
}

#[test]
fn a_forked_child_that_comes_back_does_no_harm() {
    let py = bridge();
    let pid: i32 = py.call("os", "fork", ()).wait().unwrap();
    assert!(pid > 0);
    works(&py);
    works(&py);
}

#[test]
fn a_worker_that_closes_its_descriptors_is_replaced() {
    let py = bridge();
    let error = py.exec("os", "closerange", (3, 1000)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerLost);
    works(&py);
}

/// Kills its own process in all places where code of others waits for it.
const KILLING: &str = r#"
import os, signal

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def stream():
    yield 1
    kill()

class Manager:
    def __enter__(self):
        return 1
    __exit__ = kill

class AsyncManager:
    async def __aenter__(self):
        return 1
    async def __aexit__(self, *_):
        kill()

async def coroutine():
    kill()

def apply(f):
    f()
    kill()
"#;

#[test]
fn a_worker_that_is_killed_inside_of_anything_is_lost_and_replaced() {
    let (py, _folder) = bridge_with(KILLING);
    let lost = |what: &str, error: snakebridge::Error| {
        assert_eq!(error.kind(), ErrorKind::WorkerLost, "{what}: {error:?}");
        assert!(error.to_string().contains("signal 9 (SIGKILL)"), "{what}: {error}");
        works(&py);
    };
    let mut items = py.call::<i64>("fixture", "stream", ()).iter();
    assert_eq!(items.next().unwrap().unwrap(), 1);
    lost("a stream", items.next().unwrap().unwrap_err());
    assert!(items.next().is_none());

    for class in ["Manager", "AsyncManager"] {
        let manager: Ref = py.call("fixture", class, ()).wait().unwrap();
        let mut entered = 0;
        let left = manager.with(|given: i64| -> Result<(), snakebridge::Error> {
            entered += given;
            Ok(())
        });
        lost(class, left.unwrap_err());
        assert_eq!(entered, 1);
    }

    let call = py.exec("fixture", "coroutine", ()).awaited();
    lost("a coroutine", call.wait().unwrap_err());

    let pid = worker_pid(&py);
    let inside = py.callback(move || {
        kill(pid);
        Ok(())
    });
    lost("a callback", py.exec("fixture", "apply", (&inside,)).wait().unwrap_err());
    let after = py.callback(|| Ok(()));
    lost("after a callback", py.exec("fixture", "apply", (&after,)).wait().unwrap_err());

    let mut calls = py.pipeline();
    calls.call::<()>("fixture", "kill", ());
    lost("a pipeline", calls.wait().unwrap_err());
}

#[test]
fn garbage_on_the_lane_is_a_protocol_error() {
    let (builder, folder) = builder_with(
        "import os, stat\ndef garble(data):\n    for fd in range(3, 64):\n        try:\n            \
         if stat.S_ISFIFO(os.fstat(fd).st_mode): os.write(fd, data)\n        except OSError: pass\n",
    );
    // In second gear it is found when the pipe is read next.
    let pool = Pool::new().module_path(folder.path()).spin(Spin::Off);
    let py = builder.pool("default", pool).build().unwrap();
    for data in [&b"this is no frame at all"[..], &[1, 64, 0, 0], &[9; 40]] {
        let data = snakebridge::Bytes::from(data);
        // What looks like the start of a frame is waited for, but not longer than the call may take.
        let call = py.exec("fixture", "garble", (data,)).timeout(Duration::from_secs(3));
        let error = call.wait().unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Protocol | ErrorKind::WorkerLost | ErrorKind::Timeout
            ),
            "{:?} {error:?}",
            error.kind()
        );
        works(&py);
    }
}

#[test]
fn exceptions_outside_of_exception_are_errors_and_the_worker_lives() {
    let py = bridge();
    let pid = worker_pid(&py);
    let error = py.exec("sys", "exit", (3,)).wait().unwrap_err();
    assert_eq!(error.python().unwrap().type_name(), "SystemExit");
    let error = py.exec("_thread", "interrupt_main", ()).wait();
    if let Err(error) = error {
        assert_eq!(error.python().unwrap().type_name(), "KeyboardInterrupt");
    }
    assert_eq!(worker_pid(&py), pid);
}

#[test]
fn a_busy_worker_and_an_impatient_call() {
    let py = bridge();
    let kept: Ref = py.call("builtins", "list", ([1],)).wait().unwrap();
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| py.exec("time", "sleep", (0.5,)).wait());
        eventually("the worker is busy", || {
            use snakebridge::Affinity::StrictFailFast;
            match kept.len().affinity(StrictFailFast).wait() {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Busy);
                    assert_eq!(error.retry(), Retry::Safe);
                    true
                }
                Ok(_) => false,
            }
        });
        let limit = Duration::from_millis(20);
        let error = kept.len().timeout(limit).wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.retry(), Retry::Safe, "the call was never sent");
        sleeper.join().unwrap().unwrap();
    });
    assert_eq!(kept.len().wait().unwrap(), 1);
}

#[test]
fn a_panic_while_a_result_is_read_gives_the_lane_back() {
    #[derive(Debug)]
    struct Bomb;
    impl<'de> serde::Deserialize<'de> for Bomb {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("no Bomb today")
        }
    }
    let py = bridge();
    let pid = worker_pid(&py);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        py.call::<Bomb>("math", "sqrt", (4,)).wait()
    }));
    assert!(caught.is_err());
    assert_eq!(worker_pid(&py), pid);
}

#[test]
fn large_requests_and_replies_pass_each_other() {
    let py = bridge();
    let text = "é".repeat(3_000_000);
    let back: String = py.call("builtins", "str", (&text,)).wait().unwrap();
    assert!(back == text);
    let data = snakebridge::Bytes::from(vec![7; 9_000_001]);
    let back: snakebridge::Bytes = py.call("builtins", "bytes", (&data,)).wait().unwrap();
    assert!(back == data);
}

/// Three seconds, or a minute where `SNAKEBRIDGE_SOAK` is `long`.
#[test]
fn kill_under_load_every_call_ends_once() {
    let long = std::env::var("SNAKEBRIDGE_SOAK").is_ok_and(|soak| soak == "long");
    let time = Duration::from_secs(if long { 60 } else { 3 });
    let py = quiet().workers(2).build().unwrap();
    let before = rate(&py);
    let deadline = Instant::now() + time;
    let (answered, lost) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8_i64 {
            let (py, answered, lost) = (&py, &answered, &lost);
            scope.spawn(move || {
                for call in 0.. {
                    if Instant::now() > deadline {
                        break;
                    }
                    let number = thread * 1_000_000_000 + call;
                    let count = match py.call::<i64>("builtins", "abs", (-number,)).wait() {
                        Ok(answer) => {
                            assert_eq!(answer, number, "an answer of another call");
                            answered
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::WorkerLost, "{error:?}");
                            lost
                        }
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            // Whichever worker has this call, in the middle of the calls of others.
            let mut last = None;
            while Instant::now() < deadline {
                if let Ok(pid) = py.call::<i32>("os", "getpid", ()).wait() {
                    let process = rustix::process::Pid::from_raw(pid).unwrap();
                    let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
                    last = Some(pid);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            // The system takes its time, and until then the next call can be one that is lost.
            eventually("the last one has ended", || last.is_none_or(|pid| !is_running(pid)));
        });
    });
    let (answered, lost) = (answered.into_inner(), lost.into_inner());
    assert!(answered > 100 && lost > 0, "{answered} answered, {lost} lost");
    // That the last one has ended may be news to the bridge: a call that may be made again finds out.
    let root: f64 = py.call("math", "sqrt", (16,)).idempotent(true).wait().unwrap();
    assert_eq!(root, 4.0);
    works(&py);
    let text: String = py.call("builtins", "format", args![1.5, ".2f"]).wait().unwrap();
    assert_eq!(text, "1.50");
    println!(
        "{answered} calls answered, {lost} lost; a second before: {before:.0}, after: {:.0}",
        rate(&py)
    );
}

/// Calls per second, of one thread.
fn rate(py: &Bridge) -> f64 {
    let begin = Instant::now();
    (0..500).for_each(|_| works(py));
    500.0 / begin.elapsed().as_secs_f64()
}

#[test]
fn a_worker_that_floods_its_control_channel_does_not_keep_the_bridge_from_its_work() {
    // Several writers at once, so that there is always more than one read takes. What they send is
    // a frame that means nothing here.
    let source = r#"
import os, stat, subprocess, sys
CODE = r"""
import os
frames = (b"\1\x40" + bytes(14)) * 4096
os.write(0, frames)
print("begun", flush=True)
while True:
    try: os.write(0, frames)
    except BlockingIOError: pass
"""
def flood():
    fd = next(n for n in range(3, 99) if stat.S_ISSOCK(os.fstat(n).st_mode))
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", CODE], stdin=fd, stdout=subprocess.PIPE)
        child.stdout.readline()
"#;
    let (py, _folder) = bridge_with(source);
    py.exec("fixture", "flood", ()).wait().unwrap();
    for _ in 0..20 {
        assert!(py.is_alive());
    }
    let limit = Duration::from_millis(20);
    let error = py.exec("time", "sleep", (300,)).timeout(limit).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    works(&py);
}

#[test]
fn a_child_that_keeps_standard_error_open_does_not_hold_up_anything() {
    let py = bridge();
    let code = "import os, subprocess, sys\n\
        sys.stderr.write('the last words\\n')\n\
        subprocess.Popen(['sleep', '2'], start_new_session=True)\nos._exit(3)";
    let error = py.exec("builtins", "exec", (code,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerLost);
    assert!(format!("{error:?}").contains("the last words"), "{error:?}");
    works(&py);
}
