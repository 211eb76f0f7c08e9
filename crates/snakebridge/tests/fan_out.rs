//! One function with many inputs, and calls that were started, on several workers.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{bridge, builder_with, eventually, quiet, worker_pid};
use snakebridge::{Bridge, ErrorKind, Pending, Ref, Value};

const FIXTURE: &str = r#"
import os, pathlib, time

def meet(folder, mine, count):
    """Returns when so many calls run at the same time."""
    pathlib.Path(folder, str(mine)).touch()
    while len(os.listdir(folder)) < count:
        time.sleep(0.001)
    return os.getpid()

def alone(path):
    """Fails if another call does the same at the same time."""
    os.mkdir(path)
    time.sleep(0.001)
    os.rmdir(path)

def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.001)
    return path

def forever(path):
    try:
        pathlib.Path(path).touch()
        while True:
            time.sleep(0.001)
    finally:
        pathlib.Path(path).unlink()

def die_at(n, bad):
    if n == bad:
        os._exit(3)
    return n
"#;

fn fixture(workers: usize) -> (Bridge, tempfile::TempDir) {
    let (builder, folder) = builder_with(FIXTURE);
    (builder.workers(workers).build().unwrap(), folder)
}

#[test]
fn results_come_in_the_order_of_the_inputs() {
    let py = quiet().workers(2).build().unwrap();
    let results = py.map::<i64>("builtins", "abs", (0..5000).map(|n| (-n,))).iter();
    assert!(results.map(Result::unwrap).eq(0..5000));
    assert_eq!(py.map::<i64>("builtins", "abs", Vec::<(i64,)>::new()).iter().count(), 0);
}

#[test]
fn as_completed_gives_all_in_any_order() {
    let (py, folder) = fixture(2);
    let gate = folder.path().join("gate");
    // The first input waits for something that is made when the second one is done.
    let inputs = [gate.clone(), folder.path().join("fixture.py")];
    let mut results = py.map::<String>("fixture", "wait_for", inputs.map(|path| (path,)));
    results = results.chunk(1).as_completed();
    let mut results = results.iter();
    assert!(results.next().unwrap().unwrap().ends_with("fixture.py"));
    std::fs::write(&gate, "").unwrap();
    assert!(results.next().unwrap().unwrap().ends_with("gate"));
    assert!(results.next().is_none());
    assert!(results.next().is_none());
}

#[test]
fn all_workers_are_used_and_no_more_than_wanted() {
    let (py, _folder) = fixture(3);
    let meeting = tempfile::tempdir().unwrap();
    let path = meeting.path().to_str().unwrap().to_owned();
    let meet = |count: usize| {
        let path = path.clone();
        py.map::<i32>("fixture", "meet", (0..count).map(move |n| (path.clone(), n, count)))
    };
    let pids: HashSet<i32> = meet(3).chunk(1).iter().map(Result::unwrap).collect();
    assert_eq!(pids.len(), 3);
    let path = meeting.path().join("alone");
    let inputs = (0..50).map(move |_| (path.clone(),));
    let alone = py.map::<()>("fixture", "alone", inputs).chunk(1).workers(1).iter();
    assert!(alone.map(Result::unwrap).count() == 50);
}

#[test]
fn each_call_has_its_own_error() {
    let py = quiet().workers(2).build().unwrap();
    let results = py.map::<f64>("math", "sqrt", (-1..200).map(|n| (n,))).chunk(7).iter();
    let (good, bad): (Vec<_>, Vec<_>) = results.partition(Result::is_ok);
    assert_eq!((good.len(), bad.len()), (200, 1));
    let error = bad.into_iter().next().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.target()), (ErrorKind::Python, Some("math.sqrt")));
}

#[test]
fn a_lost_worker_is_the_error_of_those_that_travelled_together() {
    let (py, _folder) = fixture(2);
    let results = py.map::<i64>("fixture", "die_at", (0..40).map(|n| (n, 20))).chunk(4).iter();
    let results: Vec<_> = results.collect();
    assert_eq!(results.len(), 40);
    for (n, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => assert_eq!(value, n as i64),
            Err(error) => {
                assert!((17..24).contains(&n), "{n}: {error}");
                assert_eq!(error.kind(), ErrorKind::WorkerLost);
                assert_eq!(error.target(), Some("fixture.die_at"));
            }
        }
    }
}

#[test]
fn inputs_are_taken_only_while_there_is_room() {
    let py = quiet().workers(2).build().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let inputs = (0..).inspect(move |_| _ = counter.fetch_add(1, Ordering::SeqCst)).map(|n| (n,));
    let mut results = py.map::<i64>("builtins", "abs", inputs).chunk(5).iter();
    assert_eq!(results.next().unwrap().unwrap(), 0);
    // Four chunks ahead for each of two workers, one more for each, and the one that is being given.
    let ahead = 5 * 11;
    for n in 1..1000 {
        assert_eq!(results.next().unwrap().unwrap(), n);
        assert!(taken.load(Ordering::SeqCst) <= n as usize + ahead);
    }
    drop(results);
    eventually("the inputs are dropped", || Arc::strong_count(&taken) == 1);
}

#[test]
fn dropping_the_results_stops_what_runs() {
    let (py, folder) = fixture(2);
    let paths: Vec<_> = (0..3).map(|n| folder.path().join(format!("run{n}"))).collect();
    let inputs: Vec<_> = paths.iter().map(|path| (path.clone(),)).collect();
    let results = py.map::<()>("fixture", "forever", inputs).chunk(1).iter();
    eventually("two run", || paths.iter().filter(|path| path.exists()).count() == 2);
    drop(results);
    eventually("none runs", || paths.iter().all(|path| !path.exists()));
    // Both workers live.
    assert_eq!(py.status().unwrap().pools[0].workers.len(), 2);
    assert_eq!(py.call::<i64>("builtins", "abs", (1,)).wait().unwrap(), 1);
}

#[test]
fn an_input_that_blocks_keeps_no_result_back() {
    let py = quiet().workers(2).build().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut results = py.map::<i64>("builtins", "abs", receiver).iter();
    for n in 0..5 {
        sender.send((-n,)).unwrap();
        assert_eq!(results.next().unwrap().unwrap(), n);
    }
    drop(results);
    drop(sender);
}

#[test]
fn a_panic_of_the_inputs_reaches_who_asks() {
    let py = bridge();
    let inputs = (0..10).map(|n| if n < 3 { (n,) } else { panic!("no more of this") });
    let mut results = py.map::<i64>("builtins", "abs", inputs).chunk(1).iter();
    let panic = catch_unwind(AssertUnwindSafe(|| results.by_ref().count())).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"no more of this"));
    assert!(results.next().is_none());
}

#[test]
fn refs_go_to_their_workers() {
    let (py, _folder) = fixture(2);
    let meeting = tempfile::tempdir().unwrap();
    let refs: Vec<Ref> = std::thread::scope(|scope| {
        let one = |n: i32| {
            let (py, path) = (&py, meeting.path());
            move || {
                let _: i32 = py.call("fixture", "meet", (path, n, 2)).wait().unwrap();
                py.call("collections", "deque", ([n],)).wait().unwrap()
            }
        };
        let threads = [0, 1].map(|n| scope.spawn(one(n)));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let inputs: Vec<_> = refs.iter().cycle().take(20).map(|one| (one.clone(),)).collect();
    let lens = py.map::<usize>("builtins", "len", inputs).chunk(10).iter();
    assert!(lens.map(Result::unwrap).eq([1; 20]));
}

#[test]
fn a_bridge_that_is_gone_is_the_error_of_each() {
    let py = bridge();
    py.shutdown();
    let results = py.map::<i64>("builtins", "abs", [(1,), (2,)]).iter();
    let kinds: Vec<_> = results.map(|result| result.unwrap_err().kind()).collect();
    assert_eq!(kinds, [ErrorKind::Closed, ErrorKind::Closed]);
}

#[test]
fn started_calls_run_at_the_same_time() {
    let (py, _folder) = fixture(2);
    let meeting = tempfile::tempdir().unwrap();
    let start = |n: i32| py.call::<i32>("fixture", "meet", (meeting.path(), n, 2)).start();
    let pids: HashSet<i32> = [0, 1].map(start).map(|it| it.wait().unwrap()).into();
    assert_eq!(pids.len(), 2);
}

#[test]
fn a_started_call_that_is_dropped_is_cancelled() {
    let (py, folder) = fixture(1);
    let pid = worker_pid(&py);
    let path = folder.path().join("run");
    let pending: Pending<()> = py.call("fixture", "forever", (&path,)).start();
    eventually("it runs", || path.exists());
    assert!(format!("{pending:?}").contains("fixture.forever"));
    drop(pending);
    eventually("it has ended", || !path.exists());
    assert_eq!(worker_pid(&py), pid);
}

#[test]
fn the_time_of_a_started_call_goes_on() {
    let (py, folder) = fixture(1);
    let path = folder.path().join("run");
    worker_pid(&py);
    let call = py.call::<()>("fixture", "forever", (&path,)).timeout(Duration::from_millis(50));
    let pending = call.start();
    eventually("it runs", || path.exists());
    std::thread::sleep(Duration::from_millis(60));
    let begin = Instant::now();
    assert_eq!(pending.wait().unwrap_err().kind(), ErrorKind::Timeout);
    assert!(begin.elapsed() < Duration::from_millis(50));
}

#[test]
fn errors_of_a_started_call_come_when_it_is_waited_for() {
    let py = bridge();
    let error = py.call::<f64>("math", "sqrt", (-1,)).start().wait().unwrap_err();
    assert_eq!((error.kind(), error.target()), (ErrorKind::Python, Some("math.sqrt")));
    let error = py.call::<f64>("math", "sqrt", (4,)).pool("none").start().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownPool);
    let pending = py.call::<()>("os", "_exit", (3,)).start();
    assert_eq!(pending.wait().unwrap_err().kind(), ErrorKind::WorkerLost);
    let pending = py.call::<()>("os", "_exit", (3,)).idempotent(true).start();
    assert_eq!(pending.wait().unwrap_err().kind(), ErrorKind::WorkerLost);
    let object: Ref = py.call("builtins", "object", ()).start().wait().unwrap();
    assert_eq!(object.type_name(), "object");
}

#[test]
fn a_call_started_inside_of_a_callback_is_served_there() {
    let py = bridge();
    let inner = py.clone();
    let callback = py.callback(move |x: f64| {
        let pending: [Pending<f64>; 2] = [x, 4.0].map(|x| inner.call("math", "sqrt", (x,)).start());
        let direct: f64 = inner.call("math", "sqrt", (9,)).wait()?;
        let sum: Result<f64, _> = pending.into_iter().map(Pending::wait).sum();
        Ok(sum? + direct)
    });
    let all: Ref = py.call("builtins", "map", (&callback, [16.0])).wait().unwrap();
    assert_eq!(py.call::<Value>("builtins", "next", (all,)).wait().unwrap(), Value::Float(9.0));
}

#[cfg(feature = "tokio")]
mod awaited {
    use super::*;

    #[tokio::test]
    async fn a_stream_gives_results_in_order() {
        let py = quiet().workers(2).build().unwrap();
        let mut results = py.map::<i64>("builtins", "abs", (0..2000).map(|n| (-n,))).stream();
        let mut next = 0;
        while let Some(result) = results.next().await {
            assert_eq!(result.unwrap(), next);
            next += 1;
        }
        assert_eq!(next, 2000);
        assert!(results.next().await.is_none());
    }

    #[tokio::test]
    async fn calls_of_a_stream_run_at_the_same_time_and_stop_with_it() {
        let (py, folder) = fixture(2);
        let meeting = tempfile::tempdir().unwrap();
        let path = meeting.path().to_owned();
        let inputs = (0..2).map(move |n| (path.clone(), n, 2));
        let mut results = py.map::<i32>("fixture", "meet", inputs).chunk(1).as_completed().stream();
        let pids = [results.next().await.unwrap().unwrap(), results.next().await.unwrap().unwrap()];
        assert_ne!(pids[0], pids[1]);
        let paths: Vec<_> = (0..3).map(|n| folder.path().join(format!("run{n}"))).collect();
        let inputs: Vec<_> = paths.iter().map(|path| (path.clone(),)).collect();
        let mut results = py.map::<()>("fixture", "forever", inputs).chunk(1).stream();
        let never = tokio::time::timeout(Duration::from_millis(100), results.next());
        assert!(never.await.is_err());
        drop(results);
        eventually("none runs", || paths.iter().all(|path| !path.exists()));
        assert_eq!(py.call::<i64>("builtins", "abs", (1,)).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_started_call_can_be_awaited() {
        let (py, _folder) = fixture(2);
        let meeting = tempfile::tempdir().unwrap();
        let call = |n| py.call::<i32>("fixture", "meet", (meeting.path(), n, 2));
        let (one, two) = (call(0).start_async().await, call(1).start_async().await);
        assert_ne!(one.await.unwrap(), two.await.unwrap());
        let error = py.call::<f64>("math", "sqrt", (4,)).start().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse);
    }
}
