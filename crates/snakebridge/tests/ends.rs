//! The end of things: processes, descriptors, files.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{bridge, descriptors, eventually, is_running, kill, quiet, worker_pid};
use snakebridge::{Bridge, ErrorKind, Output, OutputEvent, Ref};

#[test]
fn dropping_the_last_handle_ends_the_workers() {
    let py = quiet().workers(2).build().unwrap();
    let pids = common::meet(&py, 2);
    let clone = py.clone();
    drop(py);
    assert!(pids.iter().all(|pid| is_running(*pid)));
    drop(clone);
    assert!(!pids.iter().any(|pid| is_running(*pid)), "they have ended when the drop has");
}

#[test]
fn a_bridge_that_is_never_used_ends_at_once() {
    let begin = Instant::now();
    for _ in 0..5 {
        drop(bridge());
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn refs_outlive_their_bridge_without_harm() {
    let py = bridge();
    let automatic: Ref = py.call("builtins", "list", ([1],)).wait().unwrap();
    let session = py.session().open().unwrap();
    let list: Ref = session.call("builtins", "list", ([1],)).wait().unwrap();
    drop(py);
    // The automatic session has ended with its handle; the session is a handle too.
    assert_eq!(automatic.len().wait().unwrap_err().kind(), ErrorKind::SessionClosed);
    assert_eq!(list.len().wait().unwrap(), 1);
    drop(session);
    assert_eq!(list.len().wait().unwrap_err().kind(), ErrorKind::Closed);
    drop(list);
}

#[test]
fn shutdown_ends_calls_that_wait_and_calls_that_run() {
    let py = bridge();
    py.ready().unwrap();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| py.exec("time", "sleep", (300,)).wait());
        let waiting = scope.spawn(|| py.exec("time", "sleep", (300,)).wait());
        eventually("the worker is busy", || {
            let call = py.exec("os", "getpid", ()).timeout(Duration::from_millis(1));
            call.wait().is_err()
        });
        py.shutdown();
        for call in [running, waiting] {
            let error = call.join().unwrap().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Closed | ErrorKind::WorkerLost), "{error:?}");
        }
    });
    py.shutdown();
}

#[test]
fn every_shutdown_waits_for_the_end_of_the_workers() {
    let py = bridge();
    let pid = worker_pid(&py);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                py.shutdown();
                assert!(!is_running(pid), "it has ended when any `shutdown` has");
            });
        }
    });
}

#[test]
fn exit_handlers_run_and_output_is_flushed() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("ended");
    let py = bridge();
    let path: Ref = py.call("pathlib", "Path", (&mark,)).wait().unwrap();
    let touch: Ref = path.attr("touch").wait().unwrap();
    py.exec("atexit", "register", (&touch,)).wait().unwrap();
    drop(py);
    assert!(mark.exists());
}

#[test]
fn descriptors_do_not_pile_up() {
    // Other tests run beside this one, in this process: so it is only the trend that counts.
    let open_and_close = || {
        let py = bridge();
        let pid = worker_pid(&py);
        kill(pid);
        eventually("a new worker has come", || {
            py.call::<i32>("os", "getpid", ()).wait().is_ok_and(|new| new != pid)
        });
    };
    open_and_close();
    let before = descriptors();
    for _ in 0..10 {
        open_and_close();
    }
    let after = descriptors();
    assert!(after < before + 100, "{before} descriptors before, {after} after ten bridges");
}

#[test]
fn a_bridge_can_be_opened_again_after_a_failure() {
    let broken = quiet().python("/bin/false").build().unwrap();
    for _ in 0..3 {
        let error = broken.ready().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spawn, "{error:?}");
    }
    drop(broken);
    let py: Bridge = bridge();
    py.ready().unwrap();
}

#[test]
fn a_child_that_goes_on_printing_does_not_hold_up_the_end() {
    let printed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&printed);
    // Whoever takes the output is slow, so there is always more of it.
    let slow = move |_: OutputEvent<'_>| {
        seen.store(true, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1));
    };
    let py = Bridge::builder().output(Output::Handler(Arc::new(slow))).build().unwrap();
    let code = "__import__('subprocess').Popen(['yes'], start_new_session=True).pid";
    let pid: i32 = py.call("builtins", "eval", (code,)).wait().unwrap();
    eventually("it prints", || printed.load(Ordering::SeqCst));
    let (done, ended) = channel();
    std::thread::spawn(move || {
        py.shutdown();
        done.send(()).unwrap();
    });
    let ended = ended.recv_timeout(Duration::from_secs(8));
    if is_running(pid) {
        kill(pid);
    }
    ended.expect("the end of the bridge waits for a child that is not its own");
}

#[test]
fn a_handler_of_output_may_drop_the_last_handle() {
    let last: Arc<Mutex<Option<Bridge>>> = Arc::default();
    let (dropped, only_one_left) = channel();
    let (done, ended) = channel();
    let (theirs, only_one_left) = (Arc::clone(&last), Mutex::new(only_one_left));
    let handler = move |_: OutputEvent<'_>| {
        if let Some(py) = theirs.lock().unwrap().take() {
            only_one_left.lock().unwrap().recv().unwrap();
            drop(py);
            done.send(()).unwrap();
        }
    };
    let py = Bridge::builder().output(Output::Handler(Arc::new(handler))).build().unwrap();
    let pid = worker_pid(&py);
    *last.lock().unwrap() = Some(py.clone());
    py.exec("builtins", "print", ("now",)).wait().unwrap();
    drop(py);
    dropped.send(()).unwrap();
    ended.recv_timeout(Duration::from_secs(10)).expect("the handler waits for itself");
    eventually("the worker has ended", || !is_running(pid));
}

#[test]
fn a_handler_of_output_may_shut_the_bridge_down_while_others_do() {
    let bridge: Arc<Mutex<Option<Bridge>>> = Arc::default();
    let theirs = Arc::clone(&bridge);
    let handler = move |_: OutputEvent<'_>| {
        if let Some(py) = theirs.lock().unwrap().take() {
            // Returns when the other one is in the middle of it, too.
            while py.is_alive() {}
            py.shutdown();
        }
    };
    let py = Bridge::builder().output(Output::Handler(Arc::new(handler))).build().unwrap();
    *bridge.lock().unwrap() = Some(py.clone());
    py.exec("builtins", "print", ("now",)).wait().unwrap();
    let (done, ended) = channel();
    std::thread::spawn(move || {
        py.shutdown();
        done.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(10)).expect("both wait for each other");
}
