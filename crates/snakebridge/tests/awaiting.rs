//! Calls that are awaited.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::future::Future;
use std::path::Path;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{bridge, bridge_with, builder_with, eventually, is_running, kill, quiet, worker_pid};
use rustix::process::{Pid, Signal, kill_process};
use snakebridge::{Bridge, Bytes, CallFuture, ErrorKind, Pool, Ref, Retry, WorkerState, args};
use tokio::runtime::{Builder, Runtime};

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A generator function that says in a file when it has begun, and in another when it was stopped.
const STOPPABLE: &str = r#"
import pathlib
def forever(folder):
    folder = pathlib.Path(folder)
    try:
        (folder / "begun").touch()
        while True:
            pass
    finally:
        (folder / "ended").touch()
"#;

/// Polls a future until a file is there.
fn poll_until(future: &mut (impl Future + Unpin), file: &Path) {
    let mut context = Context::from_waker(Waker::noop());
    eventually("the call has begun", || {
        assert!(std::pin::Pin::new(&mut *future).poll(&mut context).is_pending());
        file.exists()
    });
}

async fn use_all(py: Bridge) {
    let root: f64 = py.call("math", "sqrt", (16,)).await.unwrap();
    assert_eq!(root, 4.0);
    let path: Ref = py.call("pathlib", "Path", ("/tmp/x.txt",)).await.unwrap();
    let name: String = path.attr("name").await.unwrap();
    assert_eq!(name, "x.txt");
    let error = py.call::<f64>("math", "sqrt", (-1,)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Python);
    assert_eq!(error.target(), Some("math.sqrt"));
    let shape: Vec<i64> =
        py.call("builtins", "sorted", args![[3, 1, 2], reverse = true]).await.unwrap();
    assert_eq!(shape, [3, 2, 1]);
}

#[test]
fn calls_are_awaited_on_any_flavor_of_runtime() {
    let py = bridge();
    current_thread().block_on(use_all(py.clone()));
    let runtime = multi_thread();
    runtime.block_on(use_all(py.clone()));
    runtime.block_on(async { tokio::spawn(use_all(py)).await.unwrap() });
}

#[test]
fn a_lane_goes_from_runtime_to_runtime_and_to_threads() {
    let py = bridge();
    for number in 0..20_i64 {
        let call = py.call::<i64>("builtins", "abs", (-number,));
        let result = match number % 3 {
            0 => call.wait(),
            1 => current_thread().block_on(call.into_future()),
            _ => multi_thread().block_on(call.into_future()),
        };
        assert_eq!(result.unwrap(), number);
    }
}

#[test]
fn many_calls_share_a_few_workers() {
    let py = quiet().workers(2).build().unwrap();
    let sum: i64 = current_thread().block_on(async {
        let calls: Vec<_> = (0..500_i64)
            .map(|number| tokio::spawn(py.call::<i64>("builtins", "abs", (-number,)).into_future()))
            .collect();
        let mut sum = 0;
        for call in calls {
            sum += call.await.unwrap().unwrap();
        }
        sum
    });
    assert_eq!(sum, 499 * 500 / 2);
}

#[test]
fn frames_larger_than_a_pipe_travel_both_ways() {
    let py = bridge();
    let data = vec![7_u8; 8 << 20];
    let back: Bytes = current_thread()
        .block_on(py.call("builtins", "bytes", (Bytes::from(&data[..]),)).into_future())
        .unwrap();
    assert_eq!(&*back, &data[..]);
}

#[test]
fn the_deadline_ends_a_call_and_the_worker_goes_on() {
    let (py, folder) = bridge_with(STOPPABLE);
    let pid = worker_pid(&py);
    current_thread().block_on(async {
        let call = py.exec("fixture", "forever", (folder.path(),));
        let error = call.timeout(Duration::from_millis(300)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.to_string(), "fixture.forever: no answer within 300ms");
        let after: i32 = py.call("os", "getpid", ()).await.unwrap();
        assert_eq!(after, pid);
    });
    assert!(folder.path().join("ended").exists());
}

#[test]
fn a_call_waits_for_a_worker_no_longer_than_it_may() {
    let (py, folder) = bridge_with(STOPPABLE);
    current_thread().block_on(async {
        let busy = tokio::spawn(py.exec("fixture", "forever", (folder.path(),)).into_future());
        while !folder.path().join("begun").exists() {
            tokio::task::yield_now().await;
        }
        let call = py.exec("gc", "collect", ()).queue_timeout(Duration::from_millis(50));
        let error = call.await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Safe));
        assert_eq!(
            error.to_string(),
            "gc.collect: no worker was free within 50ms, as long as the call may wait"
        );
        busy.abort();
        py.exec("gc", "collect", ()).await.unwrap();
    });
}

#[test]
fn dropping_a_future_stops_the_python_code() {
    let (py, folder) = bridge_with(STOPPABLE);
    let pid = worker_pid(&py);
    let runtime = current_thread();
    let _inside = runtime.enter();
    let mut call = py.exec("fixture", "forever", (folder.path(),)).into_future();
    poll_until(&mut call, &folder.path().join("begun"));
    drop(call);
    eventually("the code has ended", || folder.path().join("ended").exists());
    assert_eq!(worker_pid(&py), pid);
}

#[test]
fn a_future_that_was_never_polled_does_nothing() {
    let (py, folder) = bridge_with(STOPPABLE);
    drop(py.exec("fixture", "forever", (folder.path(),)).into_future());
    py.exec("gc", "collect", ()).wait().unwrap();
    assert!(!folder.path().join("begun").exists());
}

#[test]
fn dropping_futures_that_wait_leaves_the_queue_to_others() {
    let (py, folder) = bridge_with(STOPPABLE);
    py.ready().unwrap();
    let runtime = current_thread();
    let _inside = runtime.enter();
    let mut busy = py.exec("fixture", "forever", (folder.path(),)).into_future();
    poll_until(&mut busy, &folder.path().join("begun"));
    let mut context = Context::from_waker(Waker::noop());
    let mut queued: Vec<CallFuture<i64>> =
        (0..10).map(|_| py.call("builtins", "abs", (1,)).into_future()).collect();
    for call in &mut queued {
        assert!(std::pin::Pin::new(call).poll(&mut context).is_pending());
    }
    assert_eq!(py.status().unwrap().pools[0].waiting, 10);
    // Some leave before they have a lane, and one perhaps after: the lane is free again in any case.
    queued.truncate(5);
    assert_eq!(py.status().unwrap().pools[0].waiting, 5);
    drop(busy);
    eventually("one has the lane", || py.status().unwrap().pools[0].waiting == 4);
    drop(queued);
    assert_eq!(py.status().unwrap().pools[0].waiting, 0);
    let one: i64 = runtime.block_on(py.call("builtins", "abs", (1,)).into_future()).unwrap();
    assert_eq!(one, 1);
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Arguments that do not fit into a pipe, and do not go through shared memory.
fn long_list() -> Vec<String> {
    (0..300_000).map(|number| number.to_string()).collect()
}

/// Begins to write a request, and gives it up.
fn give_up_half_way(runtime: &Runtime, call: snakebridge::Call<usize>) {
    let _inside = runtime.enter();
    let mut call = call.into_future();
    let polled = std::pin::Pin::new(&mut call).poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
}

#[test]
fn a_request_that_is_given_up_half_way_costs_nothing() {
    let (py, _folder) = bridge_with("made = []\ndef make(of): made.append(1)\n");
    let runtime = current_thread();
    let data = long_list();
    let kept: Ref = py.call("builtins", "list", ([1, 2],)).by_ref().wait().unwrap();
    let pid = worker_pid(&py);
    for _ in 0..3 {
        signal(pid, Signal::STOP);
        give_up_half_way(&runtime, py.call("fixture", "make", (&data,)));
        signal(pid, Signal::CONT);
        let length: usize =
            runtime.block_on(py.call("builtins", "len", (&data,)).into_future()).unwrap();
        assert_eq!(length, data.len());
    }
    assert_eq!(kept.len().wait().unwrap(), 2, "the worker is the same");
    assert_eq!(py.get::<Vec<i64>>("fixture", "made").wait().unwrap(), [0; 0], "no call was made");
}

#[test]
fn a_function_in_a_request_that_is_given_up_half_way_is_dropped() {
    let py = bridge();
    let pid = worker_pid(&py);
    let (alive, gone) = std::sync::mpsc::channel::<()>();
    let callback = py.callback(move |n: i64| {
        let _ = &alive;
        Ok(n)
    });
    signal(pid, Signal::STOP);
    give_up_half_way(&current_thread(), py.call("builtins", "len", (long_list(), &callback)));
    drop(callback);
    assert_ne!(worker_pid(&py), pid, "how much of it the worker knows is not known");
    assert!(gone.recv_timeout(Duration::from_secs(10)).is_err(), "nobody sends");
    assert_eq!(gone.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected));
}

#[test]
fn a_request_that_is_never_taken_costs_the_worker() {
    let pool = Pool::new().grace(Duration::from_millis(100));
    let py = quiet().pool("default", pool).build().unwrap();
    let before = worker_pid(&py);
    signal(before, Signal::STOP);
    give_up_half_way(&current_thread(), py.call("builtins", "len", (long_list(),)));
    assert_ne!(worker_pid(&py), before);
}

#[test]
fn a_request_that_an_event_loop_has_no_time_for_does_not_end_its_other_calls() {
    let source = "import pathlib, time\ndef until(begun, go):\n    \
        pathlib.Path(begun).touch()\n    \
        while not pathlib.Path(go).exists(): time.sleep(0.001)\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("fixture.py"), source).unwrap();
    let pool = Pool::new().asyncio(4).module_path(folder.path()).grace(Duration::from_secs(60));
    let py = quiet().pool("default", pool).build().unwrap();
    let (begun, go) = (folder.path().join("begun"), folder.path().join("go"));
    let data = long_list();
    let busy = py.exec("fixture", "until", (&begun, &go)).start();
    eventually("the loop is busy", || begun.exists());
    give_up_half_way(&current_thread(), py.call("builtins", "len", (&data,)));
    let late = py.call::<usize>("builtins", "len", (&data,)).timeout(Duration::from_millis(20));
    let error = late.wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("the worker did not take the request"), "{error}");
    std::fs::write(&go, "").unwrap();
    busy.wait().unwrap();
    assert_eq!(py.call::<usize>("builtins", "len", (&data,)).wait().unwrap(), data.len());
}

#[test]
fn a_lost_worker_ends_a_call_with_what_is_known() {
    let (py, folder) = bridge_with(STOPPABLE);
    let pid = worker_pid(&py);
    current_thread().block_on(async {
        let call = tokio::spawn(py.exec("fixture", "forever", (folder.path(),)).into_future());
        while !folder.path().join("begun").exists() {
            tokio::task::yield_now().await;
        }
        kill(pid);
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WorkerLost);
        assert!(error.to_string().contains("SIGKILL"), "{error}");
        py.exec("gc", "collect", ()).await.unwrap();
    });
    assert!(!is_running(pid));
}

#[test]
fn a_shut_down_bridge_ends_those_who_wait() {
    let (py, folder) = bridge_with(STOPPABLE);
    multi_thread().block_on(async {
        let busy = tokio::spawn(py.exec("fixture", "forever", (folder.path(),)).into_future());
        while !folder.path().join("begun").exists() {
            tokio::task::yield_now().await;
        }
        let queued = tokio::spawn(py.exec("gc", "collect", ()).into_future());
        while py.status().unwrap().pools[0].waiting == 0 {
            tokio::task::yield_now().await;
        }
        let closing = py.clone();
        tokio::task::spawn_blocking(move || closing.shutdown()).await.unwrap();
        assert_eq!(queued.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
        assert!(busy.await.unwrap().is_err());
    });
}

#[test]
fn a_runtime_that_ends_ends_its_calls() {
    let (py, folder) = bridge_with(STOPPABLE);
    let runtime = multi_thread();
    runtime.spawn(py.exec("fixture", "forever", (folder.path(),)).into_future());
    eventually("the call has begun", || folder.path().join("begun").exists());
    drop(runtime);
    eventually("the code has ended", || folder.path().join("ended").exists());
    py.exec("gc", "collect", ()).wait().unwrap();
}

#[test]
fn awaiting_outside_of_a_runtime_is_an_error() {
    let py = bridge();
    let mut call = py.exec("gc", "collect", ()).into_future();
    match std::pin::Pin::new(&mut call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error)) => {
            assert_eq!(error.kind(), ErrorKind::Misuse);
            assert_eq!(
                error.to_string(),
                "gc.collect: a call was awaited outside of a tokio runtime"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn blocking_a_runtime_is_an_error_and_blocking_elsewhere_is_not() {
    let py = bridge();
    py.ready().unwrap();
    let refused = |py: &Bridge| {
        let error = py.exec("gc", "collect", ()).wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse);
        assert_eq!(
            error.to_string(),
            "gc.collect: a blocking call was made on a thread that runs tasks of tokio"
        );
        assert!(error.hint().unwrap().contains(".await"));
    };
    let allowed = |py: &Bridge| py.exec("gc", "collect", ()).wait().unwrap();
    for runtime in [current_thread(), multi_thread()] {
        runtime.block_on(async {
            refused(&py);
            let inner = py.clone();
            tokio::spawn(async move { refused(&inner) }).await.unwrap();
            let inner = py.clone();
            tokio::task::spawn_blocking(move || allowed(&inner)).await.unwrap();
            // The budget that was looked at is as it was.
            refused(&py);
            assert!(tokio::task::coop::has_budget_remaining());
        });
        let _inside = runtime.enter();
        allowed(&py);
    }
    let runtime = multi_thread();
    runtime.block_on(async { tokio::task::block_in_place(|| allowed(&py)) });
    allowed(&py);
}

#[test]
fn callbacks_run_within_awaited_calls_and_call_back() {
    let py = quiet().pool("default", Pool::new().workers(1)).build().unwrap();
    let inner = py.clone();
    let double = py.callback(move |number: i64| {
        // Down the lane of the call that waits, so nothing can lock up.
        let two: i64 = inner.call("builtins", "abs", (-2,)).wait()?;
        Ok(number * two)
    });
    current_thread().block_on(async {
        let doubled: Vec<i64> =
            py.call("builtins", "sorted", args![[1, 3, 2], key = &double]).await.unwrap();
        assert_eq!(doubled, [1, 2, 3]);
    });
}

#[test]
fn a_session_awaits_as_well() {
    let (builder, _folder) = builder_with("import threading\n");
    let py = builder.workers(2).build().unwrap();
    current_thread().block_on(async {
        let session = py.session().id("mine").open().unwrap();
        let list: Ref = session.call("builtins", "list", ()).await.unwrap();
        list.method::<()>("append", (1,)).await.unwrap();
        assert_eq!(list.len().await.unwrap(), 1);
        assert_eq!(
            py.status().unwrap().pools[0]
                .workers
                .iter()
                .filter(|worker| worker.state == WorkerState::Busy)
                .count(),
            0
        );
    });
}

#[test]
fn futures_can_be_sent_and_need_no_more_of_results_than_blocking_calls_do() {
    fn is_send<T: Send>(_: &T) {}
    let py = bridge();
    is_send(&py.call::<Ref>("builtins", "list", ()).into_future());
    // An `Rc` cannot be sent itself.
    is_send(&py.call::<RcText>("builtins", "str", (1,)).into_future());
}

#[derive(Debug, serde::Deserialize)]
#[serde(from = "String")]
struct RcText(#[expect(dead_code, reason = "for its type")] std::rc::Rc<str>);

impl From<String> for RcText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}
