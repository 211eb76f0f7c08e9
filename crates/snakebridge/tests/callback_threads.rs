//! Rust functions that Python calls from threads of its own, and while nothing is called.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use snakebridge::{Bridge, CallbackError, ErrorKind, Pool, Ref, Value, args};

const FIXTURE: &str = r#"
import atexit, os, threading, pathlib
from concurrent.futures import ThreadPoolExecutor

go = threading.Event()
outcomes = []
threads = []

def attempt(f, args):
    try:
        outcomes.append(f(*args))
    except BaseException as error:
        outcomes.append((type(error).__name__, str(error)))

def on_thread(f, *args):
    "What calling it on a thread gives, while the call waits for that."
    outcomes.clear()
    thread = threading.Thread(target=attempt, args=(f, args))
    thread.start()
    thread.join()
    return outcomes[0]

def later(f, *args):
    def wait():
        go.wait()
        attempt(f, args)
    threads.append(threading.Thread(target=wait, daemon=True))
    threads[-1].start()

def start(f, *args):
    threads.append(threading.Thread(target=attempt, args=(f, args), daemon=True))
    threads[-1].start()

def join():
    while threads:
        threads.pop().join()
    return list(outcomes)

def on_many(f, threads, calls):
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(f, range(calls)))

def large(f, megabytes):
    return on_thread(f, b"x" * (megabytes << 20))

def cyclic(f):
    items = [1]
    items.append(items)
    return on_thread(f, items)

def surrogate(f):
    return on_thread(f, "a\ud800")

class Box:
    def __init__(self, value): self.value = value

def same(f):
    box = Box(7)
    return on_thread(f, box) is box

def forked(f):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            f(1)
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as end:
        return end.read()

def at_exit(f, path):
    def attempt():
        try:
            said = str(f())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        pathlib.Path(path).write_text(said)
    atexit.register(attempt)

def tell_file(f, path):
    "The outcome goes to a file, for when nobody can be asked any more."
    def run():
        try:
            said = str(f())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        pathlib.Path(path).write_text(said)
    thread = threading.Thread(target=run)
    thread.start()
    atexit.register(thread.join)

def on_both(f, count):
    "From a thread and within the call, at the same time."
    thread = threading.Thread(target=lambda: outcomes.extend(map(f, range(count))))
    thread.start()
    own = [f(n) for n in range(count)]
    thread.join()
    return own, outcomes

async def from_executor(f, count):
    import asyncio
    loop = asyncio.get_running_loop()
    return await asyncio.gather(*(loop.run_in_executor(None, f, n) for n in range(count)))

def log(f, count):
    import logging
    def both(n):
        logging.getLogger("fixture").warning("%d", n)
        return f(n)
    return on_many(both, 8, count)
"#;

fn fixture() -> (Bridge, tempfile::TempDir) {
    common::bridge_with(FIXTURE)
}

fn add_one(py: &Bridge) -> snakebridge::Callback {
    py.callback(|n: i64| Ok(n + 1))
}

#[test]
fn a_thread_calls_while_the_call_waits_for_it() {
    let (py, _folder) = fixture();
    assert_eq!(py.call::<i64>("fixture", "on_thread", (add_one(&py), 1)).unwrap(), 2);
}

#[test]
fn a_thread_calls_after_the_call_has_ended() {
    let (py, _folder) = fixture();
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let callback = py.callback(move |text: String| {
        tell.lock().unwrap().send(text).unwrap();
        Ok("seen")
    });
    py.exec("fixture", "later", (&callback, "from the thread")).unwrap();
    drop(callback);
    py.exec("fixture", "go.set", ()).unwrap();
    assert_eq!(told.recv().unwrap(), "from the thread");
    assert_eq!(py.call::<Vec<String>>("fixture", "join", ()).unwrap(), ["seen"]);
}

#[test]
fn a_timer_calls_while_nothing_is_called() {
    let (py, _folder) = fixture();
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let callback = py.callback(move || Ok(tell.lock().unwrap().send(()).is_ok()));
    let timer: Ref = py.call("threading", "Timer", (0.01, &callback)).unwrap();
    timer.method::<()>("start", ()).unwrap();
    told.recv().unwrap();
}

#[test]
fn what_a_thread_has_got_it_keeps_alive() {
    let (py, _folder) = fixture();
    let owned = Arc::new(());
    let watch = Arc::downgrade(&owned);
    let callback = py.callback(move || Ok(Arc::strong_count(&owned)));
    py.exec("fixture", "later", (&callback,)).unwrap();
    drop(callback);
    assert!(watch.upgrade().is_some());
    py.exec("fixture", "go.set", ()).unwrap();
    assert_eq!(py.call::<Vec<i64>>("fixture", "join", ()).unwrap(), [1]);
    // Told with the next reply at the latest.
    py.exec("gc", "collect", ()).unwrap();
    common::eventually("the function is dropped", || watch.upgrade().is_none());
}

#[test]
fn many_threads_call_at_once() {
    let (py, _folder) = fixture();
    let numbers: Vec<i64> = py.call("fixture", "on_many", (add_one(&py), 16, 400)).unwrap();
    assert_eq!(numbers, (1..=400).collect::<Vec<_>>());
}

#[test]
fn a_thread_and_the_call_itself_do_not_meet() {
    let (_builder, folder) = common::builder_with(FIXTURE);
    for pool in [Pool::new(), Pool::new().asyncio(3)] {
        let py = common::quiet().pool("default", pool.module_path(folder.path())).build().unwrap();
        let (own, other): (Vec<i64>, Vec<i64>) =
            py.call("fixture", "on_both", (add_one(&py), 300)).unwrap();
        let expected: Vec<i64> = (1..=300).collect();
        assert!(own == expected && other == expected);
    }
}

#[test]
fn executors_of_an_event_loop_call() {
    let (_builder, folder) = common::builder_with(FIXTURE);
    let pool = Pool::new().module_path(folder.path()).asyncio(3);
    let py = common::quiet().pool("default", pool).build().unwrap();
    let call = py.call::<Vec<i64>>("fixture", "from_executor", (add_one(&py), 20)).awaited();
    assert_eq!(call.wait().unwrap(), (1..=20).collect::<Vec<_>>());
}

#[test]
fn functions_on_threads_may_wait_for_each_other() {
    const THREADS: usize = 40;
    let (py, _folder) = fixture();
    let barrier = Barrier::new(THREADS);
    let meet = py.callback(move |_: i64| Ok(barrier.wait().is_leader()));
    let leads: Vec<bool> = py.call("fixture", "on_many", (&meet, THREADS, THREADS)).unwrap();
    assert_eq!(leads.iter().filter(|leads| **leads).count(), 1);
}

#[test]
fn objects_go_there_and_back() {
    let (py, _folder) = fixture();
    let same = py.callback(Ok::<Value, _>);
    assert!(py.call::<bool>("fixture", "same", (&same,)).unwrap());
    let kept: Arc<Mutex<Vec<Ref>>> = Arc::default();
    let keeps = Arc::clone(&kept);
    let keep = py.callback(move |object: Ref| {
        keeps.lock().unwrap().push(object);
        Ok(())
    });
    py.exec("fixture", "same", (&keep,)).unwrap();
    let object = kept.lock().unwrap().pop().unwrap();
    assert_eq!(object.attr::<i64>("value").unwrap(), 7);
    drop(object);
    common::eventually("nothing is left", || {
        let status = py.status().unwrap();
        status.pools[0].workers[0].refs == 0
    });
}

#[test]
fn what_is_no_value_comes_as_a_ref() {
    let (py, _folder) = fixture();
    let show = py.callback(|value: Value| Ok(format!("{value:?}")));
    let cyclic: String = py.call("fixture", "cyclic", (&show,)).unwrap();
    assert!(cyclic.starts_with("[1, <ref list #"), "{cyclic}");
    let text: String = py.call("fixture", "surrogate", (&show,)).unwrap();
    assert!(text.starts_with("<ref str #"), "{text}");
}

#[test]
fn keyword_arguments_too() {
    let (py, _folder) = fixture();
    let any = py.callback_with_kwargs(|args: Vec<i64>, kwargs: Value| Ok((args, kwargs)));
    let bound: Ref = py.call("functools", "partial", args![&any, 1, x = 2]).unwrap();
    let (args, kwargs): (Vec<i64>, Value) = py.call("fixture", "on_thread", (&bound, 5)).unwrap();
    assert_eq!((args, format!("{kwargs:?}").as_str()), (vec![1, 5], "{'x': 2}"));
}

#[test]
fn failures_are_exceptions() {
    let (py, _folder) = fixture();
    let outcome = |callback: &snakebridge::Callback, argument: Value| -> (String, String) {
        py.call("fixture", "on_thread", (callback, argument)).unwrap()
    };
    let fails = py.callback(|text: String| -> Result<(), CallbackError> {
        Err(CallbackError::python("builtins.KeyError", text))
    });
    assert_eq!(outcome(&fails, "k".into()), ("KeyError".to_owned(), "'k'".to_owned()));
    assert_eq!(outcome(&fails, 5.into()).0, "TypeError");
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let panics = py.callback(|_: Value| -> Result<(), CallbackError> { panic!("out of luck") });
    let (class, message) = outcome(&panics, 1.into());
    std::panic::set_hook(hook);
    assert_eq!(
        (class.as_str(), message.as_str()),
        ("RustError", "the callback panicked: out of luck")
    );
}

#[test]
fn arguments_have_a_size_that_is_told() {
    let (py, _folder) = fixture();
    let pid = common::worker_pid(&py);
    let length = py.callback(|bytes: snakebridge::Bytes| Ok(bytes.len()));
    assert_eq!(py.call::<usize>("fixture", "large", (&length, 15)).unwrap(), 15 << 20);
    let (class, message): (String, String) = py.call("fixture", "large", (&length, 16)).unwrap();
    assert_eq!(class, "ValueError");
    assert!(message.ends_with("they can take 16 MiB"), "{message}");
    assert_eq!(common::worker_pid(&py), pid);
}

#[test]
fn large_answers_and_other_wishes_do_not_mix() {
    let (py, _folder) = fixture();
    let text = py.callback(|n: usize| Ok("x".repeat(n << 20)));
    py.ready().unwrap();
    std::thread::scope(|threads| {
        let dumps = threads.spawn(|| {
            (0..20).all(|_| {
                let stacks = py.dump_stacks(py.status().unwrap().pools[0].workers[0].id);
                stacks.unwrap().contains("Thread 0x")
            })
        });
        for n in 1..8 {
            let answer: String = py.call("fixture", "on_thread", (&text, n)).unwrap();
            assert_eq!(answer.len(), n << 20);
        }
        assert!(dumps.join().unwrap());
    });
}

#[test]
fn functions_on_threads_make_calls() {
    let (py, _folder) = fixture();
    let inner = py.clone();
    let root = py.callback(move |n: f64| Ok(inner.call::<f64>("math", "sqrt", (n,)).wait()?));
    py.exec("fixture", "start", (&root, 16.0)).unwrap();
    // Not within `join`, which keeps the worker.
    common::eventually("it has come back", || {
        py.get::<Vec<f64>>("fixture", "outcomes").unwrap() == [4.0]
    });
}

#[test]
fn a_call_that_waits_for_one_that_waits_for_its_worker_ends_in_time() {
    let (py, _folder) = fixture();
    let inner = py.clone();
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let stuck = py.callback(move || {
        let call = inner.call::<i64>("builtins", "abs", (-1,)).timeout(Duration::from_millis(100));
        tell.lock().unwrap().send(call.wait().unwrap_err().kind()).unwrap();
        Ok("went on")
    });
    let outcome: String = py.call("fixture", "on_thread", (&stuck,)).unwrap();
    assert_eq!((told.recv().unwrap(), outcome.as_str()), (ErrorKind::Timeout, "went on"));
}

#[test]
fn a_worker_that_dies_meanwhile_is_replaced() {
    let (py, _folder) = fixture();
    let pid = common::worker_pid(&py);
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let callback = py.callback(move |object: Ref| {
        common::kill(pid);
        common::eventually("the worker is gone", || !common::is_running(pid));
        tell.lock().unwrap().send(object.attr::<i64>("value").wait().unwrap_err().kind()).unwrap();
        Ok(object)
    });
    let object: Ref = py.call("fixture", "Box", (1,)).unwrap();
    let error = py.exec("fixture", "on_thread", (&callback, object)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerLost);
    assert_eq!(told.recv().unwrap(), ErrorKind::RefLost);
    assert_eq!(py.call::<i64>("fixture", "on_thread", (add_one(&py), 1)).unwrap(), 2);
}

#[test]
fn the_end_of_the_bridge_ends_the_waiting() {
    let (py, folder) = fixture();
    let path = folder.path().join("said");
    let (entered, has_entered) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    let ends = Mutex::new((entered, left));
    let stuck = py.callback(move || {
        let ends = ends.lock().unwrap();
        ends.0.send(()).unwrap();
        // Until the test ends.
        Ok(ends.1.recv().is_ok())
    });
    py.exec("fixture", "tell_file", (&stuck, &path)).unwrap();
    has_entered.recv().unwrap();
    drop(py);
    let said = std::fs::read_to_string(&path).unwrap();
    assert_eq!(said, "RustError: the bridge was shut down");
    drop(leave);
}

#[test]
fn when_the_bridge_ends_it_is_too_late_to_call() {
    let (py, folder) = fixture();
    let path = folder.path().join("said");
    py.exec("fixture", "at_exit", (py.callback(|| Ok(1)), &path)).unwrap();
    drop(py);
    let said = std::fs::read_to_string(&path).unwrap();
    assert_eq!(said, "RustError: the bridge was shut down");
}

#[test]
fn a_worker_that_is_replaced_calls_at_its_exit() {
    let (_builder, folder) = common::builder_with(FIXTURE);
    let pool = Pool::new().module_path(folder.path()).recycle_after_calls(1);
    let py = common::quiet().pool("default", pool).build().unwrap();
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let callback = py.callback(move || Ok(tell.lock().unwrap().send(()).is_ok()));
    py.exec("fixture", "at_exit", (&callback, folder.path().join("said"))).unwrap();
    told.recv().unwrap();
}

#[test]
fn a_forked_process_has_no_host() {
    let (py, _folder) = fixture();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let count = py.callback(move |_: i64| Ok(counted.fetch_add(1, Ordering::Relaxed)));
    let said: String = py.call("fixture", "forked", (&count,)).unwrap();
    assert_eq!(said, "RuntimeError: a process that was forked cannot call functions of the host");
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[test]
fn a_session_that_was_closed_has_no_callbacks() {
    let (py, _folder) = fixture();
    let session = py.session().open().unwrap();
    session.exec("fixture", "later", (add_one(&py), 1)).unwrap();
    session.close();
    py.exec("fixture", "go.set", ()).unwrap();
    let outcomes: Vec<(String, String)> = py.call("fixture", "join", ()).unwrap();
    assert_eq!(outcomes[0].1, "the session of the callback was closed");
}

#[test]
fn log_records_and_callbacks_share_the_channel() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("fixture.py"), FIXTURE).unwrap();
    let records = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&records);
    let output = snakebridge::Output::Handler(Arc::new(move |_| {
        seen.fetch_add(1, Ordering::Relaxed);
    }));
    let py = Bridge::builder().output(output).module_path(folder.path()).build().unwrap();
    let numbers: Vec<i64> = py.call("fixture", "log", (add_one(&py), 300)).unwrap();
    assert_eq!(numbers, (1..=300).collect::<Vec<_>>());
    common::eventually("all records are there", || records.load(Ordering::Relaxed) == 300);
}
