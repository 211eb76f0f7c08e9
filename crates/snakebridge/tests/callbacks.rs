//! Rust functions that Python calls.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use serde::Deserialize;
use snakebridge::{Bridge, Bytes, Callback, CallbackError, ErrorKind, Pool, Ref, Value, args};

const FIXTURE: &str = r#"
import traceback

kept = []

def apply(f, *args, **kwargs):
    return f(*args, **kwargs)

def keep(f):
    kept.append(f)

def call_kept(*args):
    return kept[-1](*args)

def forget():
    kept.clear()

def caught(f, *args):
    try:
        f(*args)
    except BaseException as error:
        causes = []
        cause = error.__cause__
        while cause is not None:
            causes.append(str(cause))
            cause = cause.__cause__
        return type(error).__module__ + "." + type(error).__qualname__, str(error), causes

def stubborn(f):
    while True:
        try:
            f()
        except KeyboardInterrupt:
            return "stopped"

class Box:
    def __init__(self, value):
        self.value = value

def boxes(f, count):
    return sum(f(Box(i)) for i in range(count))

def swallow(f):
    try:
        f()
    except BaseException as error:
        return type(error).__name__
"#;

fn fixture() -> (Bridge, tempfile::TempDir) {
    common::bridge_with(FIXTURE)
}

#[test]
fn values_go_there_and_back_exactly() {
    let (py, _folder) = fixture();
    let identity = py.callback(Ok::<Value, _>);
    let big = "1180591620717411303424".parse::<snakebridge::types::BigInt>().unwrap();
    let values: Vec<Value> = vec![
        Value::None,
        Value::from(true),
        Value::from(-0.5),
        Value::from(big),
        Value::from("é\u{1F40D}"),
        Value::from(Bytes::from(b"\0\xff")),
        Value::Tuple(vec![1.into(), Value::List(vec![])]),
        Value::Set(vec![1.into()]),
        Value::Dict([(Value::from(1), Value::from("x"))].into_iter().collect()),
    ];
    for value in values {
        let back: Value = py.call("fixture", "apply", (&identity, &value)).unwrap();
        assert_eq!(back, value);
    }
}

#[test]
fn text_that_is_not_unicode_comes_as_python_has_it() {
    let (py, _folder) = fixture();
    let same = py.callback(Ok::<Value, _>);
    let alone: Ref = py.call("builtins", "chr", (0xd800,)).by_ref().wait().unwrap();
    let back: Value = py.call("fixture", "apply", (&same, &alone)).unwrap();
    assert!(py.call::<bool>("operator", "eq", (as_ref(&back), alone)).unwrap());
}

fn as_ref(value: &Value) -> Ref {
    value.as_python_ref().unwrap().clone()
}

#[test]
fn functions_have_up_to_eight_parameters() {
    let (py, _folder) = fixture();
    let none = py.callback(|| Ok("none"));
    let eight = py.callback(|a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8| {
        Ok([a, b, c, d, e, f, g, h].iter().map(|n| u32::from(*n)).sum::<u32>())
    });
    assert_eq!(py.call::<String>("fixture", "apply", (&none,)).unwrap(), "none");
    let sum: u32 = py.call("fixture", "apply", (&eight, 1, 2, 3, 4, 5, 6, 7, 8)).unwrap();
    assert_eq!(sum, 36);
}

#[test]
fn keyword_arguments_are_read_into_maps_and_structs() {
    #[derive(Deserialize)]
    struct Options {
        reverse: bool,
        sep: String,
    }
    let (py, _folder) = fixture();
    let any = py.callback_with_kwargs(|args: Vec<i64>, kwargs: BTreeMap<String, i64>| {
        Ok((args.len(), kwargs))
    });
    let (count, kwargs): (usize, BTreeMap<String, i64>) =
        py.call("fixture", "apply", args![&any, 1, 2, x = 3]).unwrap();
    assert_eq!((count, kwargs["x"]), (2, 3));
    let join = py.callback_with_kwargs(|(mut parts,): (Vec<String>,), options: Options| {
        if options.reverse {
            parts.reverse();
        }
        Ok(parts.join(&options.sep))
    });
    let args = args![&join, ["a", "b"], reverse = true, sep = "-"];
    assert_eq!(py.call::<String>("fixture", "apply", args).unwrap(), "b-a");
}

#[test]
fn arguments_that_do_not_fit_are_a_type_error() {
    let (py, _folder) = fixture();
    let one = py.callback(|n: u8| Ok(n));
    let raised = |args: snakebridge::Args| {
        let error = py.call::<Value>("fixture", "apply", args).wait().unwrap_err();
        let python = error.python().unwrap();
        assert_eq!(python.type_name(), "TypeError");
        python.message().to_owned()
    };
    insta::assert_snapshot!(raised(args![&one]), @"the arguments of the callback do not fit: the callback takes 1 argument, 0 given at `[0]`");
    insta::assert_snapshot!(raised(args![&one, 1, 2]), @"the arguments of the callback do not fit: the callback takes 1 argument, 2 given at `[0]`");
    insta::assert_snapshot!(raised(args![&one, 256]), @"the arguments of the callback do not fit: expected u8, found int `256` at `[0][0]`");
    insta::assert_snapshot!(raised(args![&one, "x"]), @"the arguments of the callback do not fit: expected u8, found str `x` at `[0][0]`");
    insta::assert_snapshot!(raised(args![&one, 1, n = 2]), @"the arguments of the callback do not fit: the callback takes no keyword arguments, `n` given at `[1]`");
}

#[test]
fn an_error_is_an_exception_with_its_causes() {
    let (py, _folder) = fixture();
    let caught = |f: &Callback| -> (String, String, Vec<String>) {
        py.call("fixture", "caught", (f,)).unwrap()
    };
    let plain = py.callback(|| Err::<(), _>(CallbackError::new("no luck")));
    let (class, message, causes) = caught(&plain);
    assert_eq!(class, "snakebridge_worker.callbacks.RustError");
    assert_eq!((message.as_str(), causes.len()), ("no luck", 0));

    let chosen = py.callback(|| Err::<(), _>(CallbackError::python("builtins.KeyError", "k")));
    assert_eq!(caught(&chosen).0, "builtins.KeyError");

    let unknown = py.callback(|| Err::<(), _>(CallbackError::python("no.Such", "text")));
    assert_eq!(caught(&unknown).1, "no.Such: text");

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("cannot read the port")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let chain = py.callback(|| Ok("x".parse::<u16>().map_err(Outer)?));
    let (_, message, causes) = caught(&chain);
    assert_eq!(message, "cannot read the port");
    assert_eq!(causes, ["invalid digit found in string"]);
}

#[test]
fn an_exception_of_python_passes_through_a_callback() {
    let (py, _folder) = fixture();
    let inner = py.clone();
    let divide =
        py.callback(move || Ok(inner.call::<f64>("operator", "truediv", (1, 0)).wait()?));
    let error = py.call::<f64>("fixture", "apply", (&divide,)).wait().unwrap_err();
    assert_eq!(error.python().unwrap().type_name(), "ZeroDivisionError");
    assert_eq!(error.python().unwrap().message(), "division by zero");
}

#[test]
fn a_panic_is_an_exception() {
    let (py, _folder) = fixture();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let broken = py.callback(|n: usize| -> Result<i32, CallbackError> { Ok([1, 2, 3][n]) });
    let caught: (String, String, Vec<String>) = py.call("fixture", "caught", (&broken, 7)).unwrap();
    std::panic::set_hook(hook);
    assert_eq!(caught.0, "snakebridge_worker.callbacks.RustError");
    assert!(caught.1.starts_with("the callback panicked: index out of bounds"), "{}", caught.1);
    let third: i32 = py.call("fixture", "apply", (&broken, 2)).unwrap();
    assert_eq!(third, 3);
}

#[test]
fn objects_go_through_as_refs() {
    let (py, _folder) = fixture();
    let identity = py.callback(Ok::<Ref, _>);
    let object: Ref = py.call("fixture", "Box", (1,)).unwrap();
    let same: Ref = py.call("fixture", "apply", (&identity, &object)).by_ref().wait().unwrap();
    assert!(py.call::<bool>("operator", "is_", (&object, &same)).unwrap());
}

#[test]
fn nested_calls_use_the_objects_of_the_call() {
    let (py, _folder) = fixture();
    let value = py.callback(|object: Ref| Ok(object.attr::<i64>("value").wait()?));
    let sum: i64 = py.call("fixture", "boxes", (&value, 100)).unwrap();
    assert_eq!(sum, 4950);
    common::eventually("the objects are released", || {
        py.status().unwrap().pools[0].workers[0].refs == 0
    });
}

#[test]
fn callbacks_nest() {
    let (py, _folder) = fixture();
    let inner = py.clone();
    let slot: Arc<std::sync::OnceLock<Callback>> = Arc::default();
    let own = Arc::clone(&slot);
    let count_down = py.callback(move |n: u32| match n {
        0 => Ok(0),
        n => Ok(1 + inner.call::<u32>("fixture", "apply", (own.get(), n - 1)).wait()?),
    });
    slot.set(count_down.clone()).unwrap();
    let depth: u32 = py.call("fixture", "apply", (&count_down, 40)).unwrap();
    assert_eq!(depth, 40);
}

#[test]
fn python_keeps_a_callback_after_the_call() {
    let (py, _folder) = fixture();
    let owned = Arc::new(());
    let watch = Arc::downgrade(&owned);
    let callback = py.callback(move |n: i64| {
        let _ = &owned;
        Ok(n + 1)
    });
    py.exec("fixture", "keep", (&callback,)).unwrap();
    drop(callback);
    assert_eq!(py.call::<i64>("fixture", "call_kept", (1,)).unwrap(), 2);
    assert!(watch.upgrade().is_some());
    py.exec("fixture", "forget", ()).unwrap();
    assert!(watch.upgrade().is_none(), "Python has dropped it, and so has the bridge");
}

#[test]
fn a_function_lives_as_long_as_its_handle() {
    let (py, _folder) = fixture();
    let owned = Arc::new(());
    let watch = Arc::downgrade(&owned);
    let callback = py.callback(move || {
        let _ = &owned;
        Ok(())
    });
    py.exec("fixture", "apply", (&callback,)).unwrap();
    assert!(watch.upgrade().is_some());
    py.exec("fixture", "apply", (&callback,)).unwrap();
    drop(callback);
    assert!(watch.upgrade().is_none());
}

#[test]
fn a_lost_worker_lets_go_of_its_callbacks() {
    let (py, _folder) = fixture();
    let owned = Arc::new(());
    let watch = Arc::downgrade(&owned);
    let callback = py.callback(move || {
        let _ = &owned;
        Ok(())
    });
    py.exec("fixture", "keep", (&callback,)).unwrap();
    drop(callback);
    common::kill(common::worker_pid(&py));
    common::eventually("the function is dropped", || watch.upgrade().is_none());
}

#[test]
fn a_worker_that_dies_while_a_callback_runs_is_lost() {
    let (py, _folder) = fixture();
    let pid = common::worker_pid(&py);
    let kill = py.callback(move || {
        common::kill(pid);
        Ok(())
    });
    let error = py.call::<()>("fixture", "apply", (&kill,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerLost);
    assert_eq!(py.call::<i64>("builtins", "abs", (-1,)).unwrap(), 1);
}

#[test]
fn a_worker_that_dies_in_a_nested_call_is_lost_for_both() {
    let (py, _folder) = fixture();
    let (tell, told) = mpsc::channel();
    let inner = py.clone();
    let kill = py.callback(move || {
        let error = inner.call::<()>("os", "_exit", (3,)).wait().unwrap_err();
        tell.send(error.kind()).unwrap();
        Ok(())
    });
    let error = py.call::<()>("fixture", "apply", (&kill,)).wait().unwrap_err();
    assert_eq!(told.recv().unwrap(), ErrorKind::WorkerLost);
    assert_eq!(error.kind(), ErrorKind::WorkerLost);
    assert_eq!(py.call::<i64>("builtins", "abs", (-1,)).unwrap(), 1);
}

#[test]
fn the_deadline_ends_a_call_that_calls_back_for_ever() {
    let (py, _folder) = fixture();
    let pid = common::worker_pid(&py);
    let nothing = py.callback(|| Ok(()));
    let limit = Duration::from_millis(100);
    let call = py.call::<String>("fixture", "stubborn", (&nothing,)).timeout(limit);
    assert_eq!(call.wait().unwrap_err().kind(), ErrorKind::Timeout);
    // It stopped at the interrupt, or at the callback: the same worker goes on.
    assert_eq!(common::worker_pid(&py), pid);
}

#[test]
fn a_callback_that_comes_back_too_late_ends_the_call() {
    let (py, _folder) = fixture();
    let pid = common::worker_pid(&py);
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let late = py.callback(move || {
        let waited = gone.lock().unwrap().recv_timeout(Duration::from_millis(150));
        assert_eq!(waited, Err(RecvTimeoutError::Timeout));
        Ok(())
    });
    let call =
        py.call::<String>("fixture", "swallow", (&late,)).timeout(Duration::from_millis(100));
    assert_eq!(call.wait().unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(common::worker_pid(&py), pid);
    drop(go);
}

#[test]
fn a_callback_that_does_not_come_back_costs_the_worker() {
    let (_builder, folder) = common::builder_with(FIXTURE);
    let pool = Pool::new().module_path(folder.path()).grace(Duration::from_millis(50));
    let py = common::quiet().pool("default", pool).build().unwrap();
    let pid = common::worker_pid(&py);
    let stuck = py.callback(move || {
        common::eventually("the worker is killed", || !common::is_running(pid));
        Ok(())
    });
    let call =
        py.call::<String>("fixture", "swallow", (&stuck,)).timeout(Duration::from_millis(50));
    let error = call.wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert_ne!(common::worker_pid(&py), pid);
}

#[test]
fn a_nested_call_ends_at_the_deadline_of_the_call_around_it() {
    let (py, _folder) = fixture();
    let pid = common::worker_pid(&py);
    let (tell, told) = mpsc::channel();
    let inner = py.clone();
    let sleep = py.callback(move || {
        let error = inner.exec("time", "sleep", (60,)).wait().unwrap_err();
        tell.send(error.kind()).unwrap();
        Ok(())
    });
    let call =
        py.call::<String>("fixture", "swallow", (&sleep,)).timeout(Duration::from_millis(100));
    assert_eq!(call.wait().unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(told.recv().unwrap(), ErrorKind::Timeout);
    assert_eq!(common::worker_pid(&py), pid);
}

#[test]
fn a_nested_call_that_is_given_up_ends_the_call_around_it() {
    let (py, _folder) = fixture();
    let inner = py.clone();
    let sleep = py.callback(move || {
        let call = inner.exec("time", "sleep", (60,)).timeout(Duration::from_millis(50));
        Ok(call.wait().is_err())
    });
    let error = py.call::<String>("fixture", "swallow", (&sleep,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(py.call::<i64>("builtins", "abs", (-1,)).unwrap(), 1);
}

#[test]
fn a_callback_of_another_bridge_is_refused() {
    let (py, _folder) = fixture();
    let other = common::bridge();
    let callback = other.callback(|| Ok(()));
    let error = py.call::<()>("fixture", "apply", (&callback,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    insta::assert_snapshot!(error, @"fixture.apply: the callback belongs to another bridge");
}

#[test]
fn a_callback_is_no_json() {
    let py = common::bridge();
    let callback = py.callback(|| Ok(()));
    assert!(serde_json::to_string(&callback).is_err());
}

#[test]
fn a_callback_can_return_a_callback() {
    let (py, _folder) = fixture();
    let inner = py.clone();
    let adder = py.callback(move |n: i64| Ok(inner.callback(move |m: i64| Ok(n + m))));
    let add_two: Ref = py.call("fixture", "apply", (&adder, 2)).unwrap();
    assert_eq!(add_two.call::<i64>((40,)).unwrap(), 42);
}

#[test]
fn each_call_runs_the_function_once() {
    let (py, _folder) = fixture();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let callback = py.callback(move |_: i64| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let list: Ref = py.call("builtins", "range", (1000,)).unwrap();
    let map: Ref = py.call("builtins", "map", (&callback, list)).unwrap();
    py.exec("collections", "deque", (map, 0)).unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 1000);
}

#[test]
fn callbacks_of_many_threads_do_not_meet() {
    let (builder, _folder) = common::builder_with(FIXTURE);
    let py = builder.workers(2).build().unwrap();
    std::thread::scope(|threads| {
        for mine in 0..4_i64 {
            let py = &py;
            threads.spawn(move || {
                let add = py.callback(move |n: i64| Ok(n + mine));
                for n in 0..50 {
                    let sum: i64 = py.call("fixture", "apply", (&add, n)).unwrap();
                    assert_eq!(sum, n + mine);
                }
            });
        }
    });
}

#[test]
fn refs_in_a_callback_are_of_the_session_of_the_call() {
    let (py, _folder) = fixture();
    let session = py.session().id("own").open().unwrap();
    let id = session.callback(|object: Ref| Ok(object.session_id().to_owned()));
    let object: Ref = session.call("fixture", "Box", (1,)).unwrap();
    assert_eq!(session.call::<String>("fixture", "apply", (&id, &object)).unwrap(), "own");
}

#[test]
fn a_callback_whose_session_was_closed_fails_in_python() {
    let (py, _folder) = fixture();
    let callback = py.callback(|| Ok(()));
    let session = py.session().open().unwrap();
    session.exec("fixture", "keep", (&callback,)).unwrap();
    session.close();
    let error = py.call::<()>("fixture", "call_kept", ()).wait().unwrap_err();
    assert_eq!(error.python().unwrap().message(), "the session of the callback was closed");
}
