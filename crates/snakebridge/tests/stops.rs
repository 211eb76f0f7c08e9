//! What a timeout stops, whatever it is busy with, and how.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::time::Duration;

use common::{bridge, bridge_with, builder_with, eventually, is_running, worker_pid};
use snakebridge::{Bridge, ErrorKind, Pool, Ref, WorkerState};

const SHORT: Duration = Duration::from_millis(100);

/// Makes a call that does not end by itself, and gives the process that carried it out and the one
/// that carries out the next.
fn stop(py: &Bridge, module: &str, name: &str, code: &str) -> (i32, i32) {
    let pid = worker_pid(py);
    let error = py.exec(module, name, (code,)).timeout(SHORT).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    (pid, worker_pid(py))
}

#[test]
fn an_interrupt_is_enough_for_code_that_python_can_interrupt() {
    let py = bridge();
    let kept: Ref = py.call("builtins", "list", ([1],)).wait().unwrap();
    for code in [
        "while True: pass",
        "import time; time.sleep(300)",
        "import threading; threading.Event().wait()",
        "import subprocess; subprocess.run(['sleep', '300'])",
        "import select; select.select([], [], [])",
        "import re; re.match('(a+)+$', 'a' * 60 + 'b')",
        "import queue; queue.Queue().get()",
    ] {
        let (before, after) = stop(&py, "builtins", "exec", code);
        assert_eq!(before, after, "{code}");
    }
    assert_eq!(kept.len().wait().unwrap(), 1, "what the worker held is still there");
}

#[test]
fn an_interrupt_that_comes_before_the_code_begins_is_not_lost() {
    let py = bridge();
    let pid = worker_pid(&py);
    for step in 0..200 {
        // Over at some moment between that the request is sent and that the code runs.
        let limit = Duration::from_micros(step * 2);
        let error = py.exec("time", "sleep", (60,)).timeout(limit).wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(worker_pid(&py), pid, "it was killed: limit {limit:?}");
    }
}

#[test]
fn a_worker_whose_code_no_interrupt_reaches_is_killed_and_replaced() {
    let pool = Pool::new().grace(Duration::from_millis(200));
    let (builder, _folder) = builder_with("");
    let py = builder.pool("default", pool).build().unwrap();
    for code in [
        // C code that keeps the interpreter to itself.
        "import itertools; sum(itertools.repeat(1))",
        // C code that lets go of the interpreter, but does not come back to it.
        "import sqlite3; sqlite3.connect(':memory:').execute(\
         'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n').fetchall()",
        // Python code that will not hear.
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
    ] {
        let (before, after) = stop(&py, "builtins", "exec", code);
        assert_ne!(before, after, "{code}");
        assert!(!is_running(before), "{code}");
    }
}

#[test]
fn a_worker_that_was_halted_is_killed_and_replaced() {
    let py = bridge();
    let code = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)";
    let (before, after) = stop(&py, "builtins", "exec", code);
    assert_ne!(before, after);
    assert!(!is_running(before));
}

#[test]
fn half_a_frame_is_waited_for_no_longer_than_the_call_may_take() {
    let source = "
import os, stat, struct, time
def half(code):
    header = struct.pack('<BBHIQ', 1, 64, 0, 0, 1 << 20)
    for fd in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode): os.write(fd, header + b'half')
        except OSError: pass
    exec(code)
";
    let (py, _folder) = bridge_with(source);
    let (before, after) = stop(&py, "fixture", "half", "while True: pass");
    assert_ne!(before, after, "what is in its pipe is not known");
    let error = py.exec("fixture", "half", ("os._exit(7)",)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerLost);
    assert!(error.to_string().contains("code 7"), "{error}");
    py.exec("gc", "collect", ()).wait().unwrap();
}

#[test]
fn the_time_a_worker_uses_ends_with_the_call() {
    let py = bridge();
    let pid = worker_pid(&py);
    let error = py.exec("builtins", "exec", ("while True: pass",)).timeout(SHORT).wait();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Timeout);
    eventually("the worker is idle", || {
        py.status().unwrap().pools[0].workers[0].state == WorkerState::Idle
    });
    // Asleep in the kernel, and the same process as before: `S` is what follows its name.
    eventually("it sleeps", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(") ").next().unwrap().starts_with('S')
    });
    assert_eq!(worker_pid(&py), pid);
}

#[test]
fn a_memory_bomb_ends_its_call_and_not_the_program() {
    let (builder, _folder) = builder_with("");
    let py = builder.pool("default", Pool::new().memory_limit(400 << 20)).build().unwrap();
    let code = "hoard = []\nwhile True: hoard.append(bytearray(10 << 20))";
    let error = py.exec("builtins", "exec", (code,)).wait().unwrap_err();
    // Python may meet it in the middle of anything.
    match error.kind() {
        ErrorKind::Python => assert_eq!(error.python().unwrap().type_name(), "MemoryError"),
        kind => assert_eq!(kind, ErrorKind::WorkerLost, "{error:?}"),
    }
    py.exec("gc", "collect", ()).wait().unwrap();
}
