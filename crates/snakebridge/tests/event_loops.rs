//! Workers that run many coroutines at once.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{eventually, quiet};
#[cfg(feature = "tokio")]
use snakebridge::args;
use snakebridge::{Bridge, ErrorKind, Output, OutputEvent, Pending, Pool, Ref};

const FIXTURE: &str = r#"
import asyncio, contextlib, contextvars, logging, os, time

waiting = 0
cancelled = []

async def meet(count):
    """Returns when so many calls run at the same time."""
    global waiting
    waiting += 1
    while waiting < count:
        await asyncio.sleep(0)
    return os.getpid()

async def forever(name):
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        cancelled.append(name)
        raise

async def stubborn():
    while True:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            pass

def was_cancelled():
    return list(cancelled)

async def ticks(count, pause):
    try:
        for number in range(count):
            await asyncio.sleep(pause)
            yield number
    finally:
        await asyncio.sleep(0)
        cancelled.append("ticks")

who = contextvars.ContextVar("who", default="nobody")

async def set_who(name):
    who.set(name)
    await asyncio.sleep(0)

async def get_who():
    await asyncio.sleep(0)
    return who.get()

@contextlib.asynccontextmanager
async def resource():
    await asyncio.sleep(0)
    try:
        yield "open"
    finally:
        await asyncio.sleep(0)
        cancelled.append("resource")

async def log_after(text):
    await asyncio.sleep(0)
    logging.getLogger("fixture").warning(text)

async def leave():
    raise SystemExit(3)

async def call_with(function, value):
    await asyncio.sleep(0)
    return function(value)
"#;

fn fixture(calls: usize) -> (Bridge, tempfile::TempDir) {
    let (pool, folder) = pool(calls);
    (quiet().pool("default", pool).build().unwrap(), folder)
}

fn pool(calls: usize) -> (Pool, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("fixture.py"), FIXTURE).unwrap();
    (Pool::new().asyncio(calls).module_path(folder.path()), folder)
}

fn awaited(py: &Bridge, name: &str) -> snakebridge::Call<String> {
    py.call("fixture", name, ()).awaited()
}

#[test]
fn calls_run_at_the_same_time_on_one_worker() {
    let (py, _folder) = fixture(100);
    let meet = |_| py.call::<i32>("fixture", "meet", (100,)).awaited().start();
    let met: Vec<Pending<i32>> = (0..100).map(meet).collect();
    let mut pids: Vec<i32> = met.into_iter().map(|it| it.wait().unwrap()).collect();
    pids.dedup();
    assert_eq!(pids.len(), 1);
    assert_eq!(py.status().unwrap().pools[0].workers.len(), 1);
}

#[test]
fn further_calls_wait_for_a_lane() {
    let (py, _folder) = fixture(1);
    let first = py.call::<()>("fixture", "forever", ("first",)).awaited().start();
    let call = py.call::<i64>("builtins", "abs", (-1,)).queue_timeout(Duration::from_millis(30));
    assert_eq!(call.wait().unwrap_err().kind(), ErrorKind::Timeout);
    drop(first);
    assert_eq!(py.call::<i64>("builtins", "abs", (-1,)).wait().unwrap(), 1);
}

#[test]
fn calls_that_do_not_await_work_as_well() {
    let (py, _folder) = fixture(4);
    assert_eq!(py.call::<f64>("math", "sqrt", (16,)).wait().unwrap(), 4.0);
    let list: Ref = py.call("builtins", "list", ([1, 2],)).by_ref().wait().unwrap();
    list.set_item(0, 10).wait().unwrap();
    assert_eq!(list.item::<i64>(0).wait().unwrap(), 10);
    let text = "x".repeat(3 << 20);
    assert!(py.call::<String>("builtins", "str", (&text,)).wait().unwrap() == text);
    let error = py.call::<f64>("math", "sqrt", (-1,)).wait().unwrap_err();
    assert_eq!(error.python().unwrap().type_name(), "ValueError");
    let items = py.call::<i64>("builtins", "range", (5000,)).iter();
    assert!(items.map(Result::unwrap).eq(0..5000));
    let odd: snakebridge::Value = py.call("builtins", "chr", (0xd800,)).wait().unwrap();
    assert!(matches!(odd, snakebridge::Value::Ref(_)));
    assert_eq!(py.session_refs(&py.current_session().unwrap()).unwrap().len(), 2);
}

#[test]
fn a_timeout_cancels_the_task_and_no_other() {
    let (py, _folder) = fixture(3);
    let pid: i32 = py.call("os", "getpid", ()).wait().unwrap();
    let other = py.call::<()>("fixture", "forever", ("other",)).awaited().start();
    let call = py.call::<()>("fixture", "forever", ("late",)).awaited();
    let error = call.timeout(Duration::from_millis(50)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let cancelled = || py.call::<Vec<String>>("fixture", "was_cancelled", ()).wait().unwrap();
    eventually("the task was cancelled", || cancelled() == ["late"]);
    drop(other);
    eventually("the other one too", || cancelled() == ["late", "other"]);
    assert_eq!(py.call::<i32>("os", "getpid", ()).wait().unwrap(), pid);
}

#[test]
fn a_task_that_does_not_end_costs_the_worker() {
    let (pool, _folder) = pool(3);
    let pool = pool.grace(Duration::from_millis(50));
    let py = quiet().pool("default", pool).build().unwrap();
    let pid: i32 = py.call("os", "getpid", ()).wait().unwrap();
    let other = py.call::<()>("fixture", "forever", ("other",)).awaited().start();
    let call = awaited(&py, "stubborn").timeout(Duration::from_millis(30));
    assert_eq!(call.wait().unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(other.wait().unwrap_err().kind(), ErrorKind::WorkerLost);
    assert_ne!(py.call::<i32>("os", "getpid", ()).wait().unwrap(), pid);
}

#[test]
fn errors_of_coroutines_are_told() {
    let (py, _folder) = fixture(3);
    let error = py.call::<()>("asyncio", "sleep", ("x",)).awaited().wait().unwrap_err();
    assert_eq!(error.python().unwrap().type_name(), "TypeError");
    let error = awaited(&py, "leave").wait().unwrap_err();
    assert_eq!(error.python().unwrap().type_name(), "SystemExit");
    let error = py.call::<()>("math", "sqrt", (4,)).awaited().wait().unwrap_err();
    assert_eq!(error.python().unwrap().type_name(), "TypeError");
    assert_eq!(py.call::<f64>("math", "sqrt", (4,)).wait().unwrap(), 2.0);
}

#[test]
fn asynchronous_generators_stream_beside_each_other() {
    let (py, _folder) = fixture(5);
    let stream = || py.call::<i64>("fixture", "ticks", (3, 0.01)).iter();
    let mut streams = [stream(), stream()];
    for number in 0..3 {
        for stream in &mut streams {
            assert_eq!(stream.next().unwrap().unwrap(), number);
        }
    }
    assert!(streams.iter_mut().all(|stream| stream.next().is_none()));
    let mut endless = py.call::<i64>("fixture", "ticks", (1_i64 << 40, 0)).iter();
    assert_eq!(endless.next().unwrap().unwrap(), 0);
    drop(endless);
    let closed = || py.call::<Vec<String>>("fixture", "was_cancelled", ()).wait().unwrap();
    eventually("all three are closed", || closed() == ["ticks"; 3]);
}

#[test]
fn context_variables_belong_to_the_session() {
    let (py, _folder) = fixture(5);
    let (ada, bob) = (py.session().open().unwrap(), py.session().open().unwrap());
    for (session, name) in [(&ada, "ada"), (&bob, "bob")] {
        session.call::<()>("fixture", "set_who", (name,)).awaited().wait().unwrap();
    }
    assert_eq!(awaited(&ada, "get_who").wait().unwrap(), "ada");
    assert_eq!(awaited(&bob, "get_who").wait().unwrap(), "bob");
    assert_eq!(awaited(&py, "get_who").wait().unwrap(), "nobody");
}

#[test]
fn asynchronous_context_managers_and_pipelines_await_in_between() {
    let (py, _folder) = fixture(5);
    let resource: Ref = py.call("fixture", "resource", ()).wait().unwrap();
    let inside = resource.with(|state: String| Ok::<_, snakebridge::Error>(state)).unwrap();
    assert_eq!(inside.as_deref(), Some("open"));
    let cancelled: Vec<String> = py.call("fixture", "was_cancelled", ()).wait().unwrap();
    assert_eq!(cancelled, ["resource"]);
    let mut calls = py.pipeline();
    let slept = calls.push(py.call::<i64>("asyncio", "sleep", (0.001, 7)).awaited());
    let text = calls.call::<String>("builtins", "str", (slept,));
    assert_eq!(calls.wait().unwrap().take(text).unwrap(), "7");
}

#[test]
fn callbacks_run_while_the_others_wait() {
    let (py, _folder) = fixture(3);
    let inner = py.clone();
    let double =
        py.callback(move |n: i64| Ok(inner.call::<i64>("builtins", "abs", (-2 * n,)).wait()?));
    let call = &|n: i64| py.call::<i64>("fixture", "call_with", (&double, n)).awaited();
    assert_eq!(call(4).wait().unwrap(), 8);
    std::thread::scope(|scope| {
        let threads = [1, 2, 3].map(|n| (n, scope.spawn(move || call(n).wait().unwrap())));
        threads.into_iter().for_each(|(n, thread)| assert_eq!(thread.join().unwrap(), 2 * n));
    });
}

#[test]
fn log_records_know_their_call() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (pool, _folder) = pool(2);
    let sender = std::sync::Mutex::new(sender);
    let py = Bridge::builder()
        .pool("default", pool)
        .output(Output::Handler(Arc::new(move |event: OutputEvent<'_>| {
            if let OutputEvent::Log(record) = event {
                sender.lock().unwrap().send((record.message, record.call)).unwrap();
            }
        })))
        .build()
        .unwrap();
    py.call::<()>("fixture", "log_after", ("hello",)).awaited().wait().unwrap();
    let (message, call) = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!((message.as_str(), call.as_deref()), ("hello", Some("fixture.log_after")));
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    for calls in [0, 1001] {
        let error = quiet().pool("default", Pool::new().asyncio(calls)).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("expected 1 to 1000"), "{error}");
    }
}

#[test]
fn a_worker_ends_with_its_bridge() {
    let (py, _folder) = fixture(50);
    let pid: i32 = py.call("os", "getpid", ()).wait().unwrap();
    let running = py.call::<()>("fixture", "forever", ("it",)).awaited().start();
    let begin = Instant::now();
    drop((running, py));
    assert!(!common::is_running(pid));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_map_awaits_as_many_as_the_loop_has_room_for() {
    let (py, _folder) = fixture(20);
    let met = py.map::<i32>("fixture", "meet", vec![(20,); 20]).awaited().iter();
    let mut pids: Vec<i32> = met.map(Result::unwrap).collect();
    assert_eq!(pids.len(), 20);
    pids.dedup();
    assert_eq!(pids.len(), 1);
}

#[test]
fn a_call_that_is_being_stopped_does_not_hold_up_the_end() {
    for _ in 0..4 {
        let (py, _folder) = fixture(5);
        let call = py.call::<()>("fixture", "forever", ("late",)).awaited();
        call.timeout(Duration::from_millis(200)).wait().unwrap_err();
        let begin = Instant::now();
        drop(py);
        // Two seconds is when whoever has not ended is killed.
        assert!(begin.elapsed() < Duration::from_millis(1500), "{:?}", begin.elapsed());
    }
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn hundreds_of_calls_are_awaited_at_once() {
    let (py, _folder) = fixture(300);
    let call = |n: i64| py.call::<i64>("asyncio", "sleep", (0.05, n)).awaited().into_future();
    let tasks: Vec<_> = (0..300).map(|n| tokio::spawn(call(n))).collect();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap().unwrap(), n as i64);
    }
    let never = py.call::<()>("fixture", "forever", args!["dropped"]).awaited();
    let late = tokio::time::timeout(Duration::from_millis(30), never.into_future()).await;
    assert!(late.is_err());
    loop {
        let gone: Vec<String> = py.call("fixture", "was_cancelled", ()).await.unwrap();
        if gone == ["dropped"] {
            break;
        }
    }
}
