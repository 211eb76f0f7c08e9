//! Async Rust functions that Python calls.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use snakebridge::{Bridge, Callback, CallbackError, ErrorKind, Ref, Value, args};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc};

const FIXTURE: &str = r#"
import threading

def apply(f, *args):
    return f(*args)

def on_thread(f, *args):
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(f(*args)))
    thread.start()
    thread.join()
    return outcomes[0]

def mapped(f, count):
    for n in range(count):
        yield f(n)

def caught(f, *args):
    try:
        f(*args)
    except BaseException as error:
        return type(error).__name__, str(error)

class Box:
    def __init__(self, value): self.value = value
"#;

fn fixture() -> (Bridge, tempfile::TempDir) {
    common::bridge_with(FIXTURE)
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn add_one(py: &Bridge) -> Callback {
    py.callback_async(|n: i64| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(n + 1)
    })
}

/// Tells that it was dropped.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A callback that never ends, and whether its future was dropped.
fn endless(py: &Bridge) -> (Callback, Arc<AtomicBool>) {
    let dropped = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&dropped);
    let callback = py.callback_async(move || {
        let guard = Guard(Arc::clone(&tell));
        async move {
            let _guard = guard;
            pending::<Result<(), CallbackError>>().await
        }
    });
    (callback, dropped)
}

#[test]
fn the_task_that_awaits_the_call_runs_the_future() {
    let (py, _folder) = fixture();
    let who = py.callback_async(|| async {
        tokio::task::yield_now().await;
        Ok((tokio::task::id().to_string(), format!("{:?}", std::thread::current().id())))
    });
    let task = tokio::task::LocalSet::new();
    runtime().block_on(task.run_until(async {
        tokio::task::spawn_local(async move {
            let ran: (String, String) = py.call("fixture", "apply", (&who,)).await.unwrap();
            let own = (tokio::task::id().to_string(), format!("{:?}", std::thread::current().id()));
            assert_eq!(ran, own);
        })
        .await
        .unwrap();
    }));
}

#[test]
fn other_tasks_go_on_meanwhile() {
    let (py, _folder) = fixture();
    let called = Arc::new(Notify::new());
    let (tell, answer) = (Arc::clone(&called), Arc::new(Notify::new()));
    let hear = Arc::clone(&answer);
    let waits = py.callback_async(move || {
        let (tell, hear) = (Arc::clone(&tell), Arc::clone(&hear));
        async move {
            tell.notify_one();
            hear.notified().await;
            Ok("heard")
        }
    });
    runtime().block_on(async {
        let call = py.call::<String>("fixture", "apply", (&waits,)).into_future();
        let other = async {
            called.notified().await;
            answer.notify_one();
        };
        assert_eq!(tokio::join!(call, other).0.unwrap(), "heard");
    });
}

#[test]
fn arguments_results_and_errors_are_those_of_other_callbacks() {
    let (py, _folder) = fixture();
    runtime().block_on(async {
        let same = py.callback_async(|value: Value| async { Ok(value) });
        let object: Ref = py.call("fixture", "Box", (1,)).await.unwrap();
        let back: Ref = py.call("fixture", "apply", (&same, &object)).by_ref().await.unwrap();
        assert!(py.call::<bool>("operator", "is_", (&object, &back)).await.unwrap());

        let eight = py.callback_async(
            |a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8| async move {
                Ok(u32::from(a + b + c + d + e + f + g + h))
            },
        );
        let sum: u32 = py.call("fixture", "apply", (&eight, 1, 2, 3, 4, 5, 6, 7, 8)).await.unwrap();
        assert_eq!(sum, 36);

        let caught = async |callback: &Callback, argument: Value| -> (String, String) {
            py.call("fixture", "caught", (callback, argument)).await.unwrap()
        };
        assert_eq!(caught(&add_one(&py), "x".into()).await.0, "TypeError");
        let fails = py.callback_async(|text: String| async move {
            Err::<(), _>(CallbackError::python("builtins.KeyError", text))
        });
        assert_eq!(caught(&fails, "k".into()).await, ("KeyError".into(), "'k'".into()));
    });
}

#[test]
fn a_panic_is_an_exception_wherever_it_happens() {
    let (py, _folder) = fixture();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let panics = py.callback_async(|late: bool| {
        assert!(late, "at once");
        async move {
            tokio::task::yield_now().await;
            if late {
                panic!("later");
            }
            Ok(())
        }
    });
    runtime().block_on(async {
        for (late, message) in [(false, "at once"), (true, "later")] {
            let (class, text): (String, String) =
                py.call("fixture", "caught", (&panics, late)).await.unwrap();
            assert_eq!(class, "RustError");
            assert_eq!(text, format!("the callback panicked: {message}"));
        }
    });
    std::panic::set_hook(hook);
}

#[test]
fn its_calls_are_carried_out_by_the_worker_that_waits() {
    let (py, _folder) = fixture();
    let inner = py.clone();
    let nested = py.callback_async(move |n: i64| {
        let py = inner.clone();
        async move {
            // One by one, all at once, and one that calls back in its turn.
            let one: i64 = py.call("builtins", "abs", (-n,)).await?;
            let (a, b, c) = tokio::try_join!(
                py.call::<i64>("builtins", "abs", (-1,)).into_future(),
                py.call::<i64>("builtins", "abs", (-2,)).into_future(),
                py.call::<i64>("fixture", "apply", (add_one(&py), 2)).into_future(),
            )?;
            Ok(one + a + b + c)
        }
    });
    let sum: i64 =
        runtime().block_on(py.call("fixture", "apply", (&nested, 10)).into_future()).unwrap();
    assert_eq!(sum, 16);
}

#[test]
fn streams_and_pipelines_run_them_as_well() {
    let (py, _folder) = fixture();
    runtime().block_on(async {
        let mut items = py.call::<i64>("fixture", "mapped", (add_one(&py), 5)).stream();
        let mut seen = Vec::new();
        while let Some(item) = items.next().await {
            seen.push(item.unwrap());
        }
        assert_eq!(seen, [1, 2, 3, 4, 5]);
        let mut calls = py.pipeline();
        let first = calls.call::<i64>("fixture", "apply", (add_one(&py), 1));
        let second = calls.call::<i64>("fixture", "apply", (add_one(&py), &first));
        assert_eq!(calls.await.unwrap().take(second).unwrap(), 3);
    });
}

#[test]
fn dropping_the_call_drops_the_future() {
    let (py, _folder) = fixture();
    let pid = common::worker_pid(&py);
    let (callback, dropped) = endless(&py);
    runtime().block_on(async {
        let call = py.exec("fixture", "apply", (&callback,)).into_future();
        assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err());
        assert!(dropped.load(Ordering::Acquire));
        // The worker was told to go on.
        assert_eq!(py.call::<i32>("os", "getpid", ()).await.unwrap(), pid);
    });
}

#[test]
fn the_deadline_drops_the_future() {
    let (py, _folder) = fixture();
    let pid = common::worker_pid(&py);
    let call = |callback: &Callback| {
        py.exec("fixture", "apply", (callback,)).timeout(Duration::from_millis(50))
    };
    let (callback, dropped) = endless(&py);
    assert_eq!(call(&callback).wait().unwrap_err().kind(), ErrorKind::Timeout);
    assert!(dropped.load(Ordering::Acquire));
    let (callback, dropped) = endless(&py);
    let error = runtime().block_on(call(&callback).into_future()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(dropped.load(Ordering::Acquire));
    assert_eq!(common::worker_pid(&py), pid);
}

#[test]
fn a_call_inside_that_is_given_up_ends_the_call_around_it() {
    let (py, _folder) = fixture();
    let inner = py.clone();
    let impatient = py.callback_async(move || {
        let sleep = inner.exec("time", "sleep", (60,)).into_future();
        async move { Ok(tokio::time::timeout(Duration::from_millis(50), sleep).await.is_err()) }
    });
    runtime().block_on(async {
        let error = py.exec("fixture", "apply", (&impatient,)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        py.exec("gc", "collect", ()).await.unwrap();
    });
}

#[test]
fn a_worker_that_dies_meanwhile_is_lost_for_all() {
    let (py, _folder) = fixture();
    let pid = common::worker_pid(&py);
    let inner = py.clone();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&seen);
    let kills = py.callback_async(move || {
        let (py, tell) = (inner.clone(), Arc::clone(&tell));
        async move {
            // One is sent, the other waits for its turn.
            let (first, second, ()) = tokio::join!(
                py.exec("time", "sleep", (60,)).into_future(),
                py.exec("time", "sleep", (60,)).timeout(Duration::from_millis(300)).into_future(),
                async { common::kill(pid) },
            );
            let kinds = [first, second].map(|outcome| outcome.map_err(|error| error.kind()));
            tell.lock().unwrap().extend(kinds);
            Ok(())
        }
    });
    runtime().block_on(async {
        let error = py.exec("fixture", "apply", (&kills,)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WorkerLost);
        let kinds = seen.lock().unwrap().clone();
        // The second one goes to the new worker, and its time is over there.
        assert_eq!(kinds, [Err(ErrorKind::WorkerLost), Err(ErrorKind::Timeout)]);
        py.exec("gc", "collect", ()).await.unwrap();
    });
}

#[test]
fn a_blocking_call_runs_the_future_to_its_end() {
    let (py, _folder) = fixture();
    assert_eq!(py.call::<i64>("fixture", "apply", (add_one(&py), 1)).unwrap(), 2);
    let inner = py.clone();
    let nested = py.callback_async(move |n: i64| {
        let py = inner.clone();
        async move { Ok(py.call::<i64>("fixture", "apply", (add_one(&py), n)).await?) }
    });
    assert_eq!(py.call::<i64>("fixture", "apply", (&nested, 1)).unwrap(), 2);
}

#[test]
fn so_does_a_blocking_call_inside_of_an_awaited_one() {
    let (py, _folder) = fixture();
    let inner = py.clone();
    let blocks = py.callback(move |n: i64| {
        Ok(inner.call::<i64>("fixture", "apply", (add_one(&inner), n)).wait()?)
    });
    let inner = py.clone();
    let blocks_too = py.callback_async(move |n: i64| {
        let py = inner.clone();
        async move { Ok(py.call::<i64>("fixture", "apply", (add_one(&py), n)).wait()?) }
    });
    runtime().block_on(async {
        for callback in [&blocks, &blocks_too] {
            let two: i64 = py.call("fixture", "apply", (callback, 1)).await.unwrap();
            assert_eq!(two, 2);
        }
    });
}

#[test]
fn threads_of_python_call_them() {
    let (py, _folder) = fixture();
    let (tell, mut told) = mpsc::channel(1);
    let callback = py.callback_async(move |n: i64| {
        let tell = tell.clone();
        async move {
            tell.send(n).await?;
            Ok(n * 2)
        }
    });
    assert_eq!(py.call::<i64>("fixture", "on_thread", (&callback, 4)).unwrap(), 8);
    assert_eq!(told.try_recv().unwrap(), 4);
    runtime().block_on(async {
        let eight: i64 = py.call("fixture", "on_thread", (&callback, 4)).await.unwrap();
        assert_eq!(eight, 8);
    });
}

#[test]
fn they_are_arguments_like_others() {
    let (py, _folder) = fixture();
    let key = py.callback_async(|n: i64| async move { Ok(-n) });
    let sorted: Vec<i64> = py.call("builtins", "sorted", args![[1, 3, 2], key = &key]).unwrap();
    assert_eq!(sorted, [3, 2, 1]);
}
