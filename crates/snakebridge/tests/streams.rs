//! Streams of items, as real workers make them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::time::Duration;

#[cfg(feature = "tokio")]
use common::eventually;
use common::{bridge, bridge_with, builder_with, kill, worker_pid};
#[cfg(feature = "tokio")]
use snakebridge::args;
use snakebridge::{Bridge, ErrorKind, Pool, Ref, Result, Value};

const FIXTURE: &str = r#"
import time

made = []

def count_up(limit):
    for number in range(limit):
        made.append(number)
        yield number

def how_many():
    return len(made)

closed = []

def closing(name):
    try:
        while True:
            yield name
    finally:
        closed.append(name)

def was_closed():
    return list(closed)

def mixed():
    yield from [None, "text", "", {}, {1: 2}, [1], (1, 2), b"raw", 2.0, 2, 1 << 70, object()]

def breaks(count):
    yield from range(count)
    raise LookupError("it broke", count)

def slow(count):
    for number in range(count):
        time.sleep(0.005)
        made.append(number)
        yield number

def endless_silence():
    yield 1
    while True:
        pass

class Odd:
    """An iterator that does not say that it is one."""
    def __init__(self): self.left = 3
    def __next__(self):
        if not self.left: raise StopIteration
        self.left -= 1
        return self.left

class Source:
    def __iter__(self): return Odd()

class Many(list):
    """A value, were it not asked for its items."""
    def __iter__(self): return self
    def __next__(self):
        if not len(self): raise StopIteration
        return self.pop()
"#;

fn all<T>(items: impl Iterator<Item = Result<T>>) -> Vec<T> {
    items.map(Result::unwrap).collect()
}

#[test]
fn anything_that_python_iterates_over_is_a_stream() {
    let (py, _folder) = bridge_with(FIXTURE);
    let call = |code: &str| py.call::<Value>("builtins", "eval", (code,)).iter();
    let ints = |range: std::ops::Range<i64>| range.map(Value::from).collect::<Vec<_>>();
    assert_eq!(all(call("range(5)")), ints(0..5));
    assert_eq!(all(call("[0, 1]")), ints(0..2));
    assert_eq!(all(call("(n for n in range(10_000))")), ints(0..10_000));
    assert_eq!(all(call("{0: 'a', 1: 'b'}")), ints(0..2));
    assert_eq!(all(call("iter([])")), []);
    assert_eq!(all(call("'text'")), [Value::from("text")]);
    assert_eq!(all(call("4.5")), [Value::from(4.5)]);
    assert_eq!(all(call("None")), [Value::None]);
    assert_eq!(all(py.get::<i64>("sys", "version_info").iter().take(1)), [3]);
    assert_eq!(all(py.call::<i64>("fixture", "Source", ()).iter()), [2, 1, 0]);
    assert_eq!(all(py.call::<i64>("fixture", "Many", ([1, 2, 3],)).iter()), [3, 2, 1]);
}

#[test]
fn items_arrive_as_they_are() {
    let (py, _folder) = bridge_with(FIXTURE);
    let items = all(py.call::<Value>("fixture", "mixed", ()).iter());
    assert_eq!(items.len(), 12);
    assert_eq!(items[0], Value::None);
    assert_eq!(items[3].to_string(), "{}");
    assert_eq!(items[4].to_string(), "{1: 2}");
    assert_eq!(items[6].to_string(), "(1, 2)");
    assert_eq!(items[10].to_string(), (1_i128 << 70).to_string());
    assert!(matches!(&items[11], Value::Ref(object) if object.type_name() == "object"));
}

#[test]
fn an_iterator_goes_on_and_a_container_begins_anew() {
    let py = bridge();
    let numbers: Ref = py.call("itertools", "count", (1,)).wait().unwrap();
    assert_eq!(all(numbers.iter::<i64>().one_by_one().take(3)), [1, 2, 3]);
    assert_eq!(all(numbers.iter::<i64>().one_by_one().take(2)), [4, 5]);
    let range: Ref = py.call("builtins", "range", (3,)).by_ref().wait().unwrap();
    assert_eq!(all(range.iter::<i64>()), [0, 1, 2]);
    assert_eq!(all(range.iter::<i64>()), [0, 1, 2]);
    // A stream is an object like any other.
    let sum: i64 = py.call("builtins", "sum", (&range,)).wait().unwrap();
    assert_eq!(sum, 3);
}

#[test]
fn nothing_is_made_that_nobody_asks_for() {
    let (py, _folder) = bridge_with(FIXTURE);
    let made = || py.call::<usize>("fixture", "how_many", ()).wait().unwrap();
    let mut items = py.call::<i64>("fixture", "count_up", (1_000_000,)).iter().one_by_one();
    assert_eq!(made(), 0);
    for number in 0..20 {
        assert_eq!(items.next().unwrap().unwrap(), number);
        assert_eq!(made(), number as usize + 1);
    }
    drop(items);
    // In batches it is ahead, but not by more than what was taken.
    let mut items = py.call::<i64>("fixture", "count_up", (1_000_000,)).iter();
    let before = made();
    let taken = items.by_ref().take(1000).count();
    let ahead = made() - before - taken;
    assert!(ahead <= 1024, "{ahead} ahead");
    let mut items = py.call::<i64>("fixture", "count_up", (1_000_000,)).iter().batch(8);
    let before = made();
    let taken = items.by_ref().take(1000).count();
    assert!(made() - before - taken < 8);
}

#[test]
fn a_stream_that_is_dropped_closes_its_generator() {
    let (py, _folder) = bridge_with(FIXTURE);
    let closed = || py.call::<Vec<String>>("fixture", "was_closed", ()).wait().unwrap();
    let mut items = py.call::<String>("fixture", "closing", ("one",)).iter();
    assert_eq!(items.next().unwrap().unwrap(), "one");
    assert_eq!(closed(), [""; 0]);
    drop(items);
    assert_eq!(closed(), ["one"]);
    // One that somebody else holds stays open.
    let held: Ref = py.call("fixture", "closing", ("two",)).wait().unwrap();
    assert_eq!(all(held.iter::<String>().take(3)), ["two"; 3]);
    assert_eq!(closed(), ["one"]);
    held.method::<()>("close", ()).wait().unwrap();
    assert_eq!(closed(), ["one", "two"]);
    assert_eq!(all(held.iter::<String>()), [""; 0]);
}

#[test]
fn an_exception_comes_after_the_items_before_it_and_once() {
    let (py, _folder) = bridge_with(FIXTURE);
    for count in [0, 1, 2, 5, 100] {
        let mut items = py.call::<i64>("fixture", "breaks", (count,)).iter();
        for number in 0..count {
            assert_eq!(items.next().unwrap().unwrap(), number);
        }
        let error = items.next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Python);
        let python = error.python().unwrap();
        assert_eq!(python.type_name(), "LookupError");
        assert_eq!(python.frames().last().unwrap().function, "breaks");
        assert_eq!(error.target(), Some("fixture.breaks"));
        assert!(items.next().is_none());
        assert!(items.next().is_none());
    }
}

#[test]
fn an_item_that_does_not_fit_is_an_error_and_the_next_one_comes() {
    let py = bridge();
    let items = py.call::<i64>("builtins", "iter", ((1, "two", 3, 4.5, 5),)).iter();
    let items: Vec<_> = items.collect();
    let fits: Vec<_> = items.iter().map(|item| item.as_ref().ok().copied()).collect();
    assert_eq!(fits, [Some(1), None, Some(3), None, Some(5)]);
    assert_eq!(
        items[1].as_ref().unwrap_err().to_string(),
        "builtins.iter: the result does not fit: expected i64, found str `two`"
    );
}

#[test]
fn items_can_be_refs() {
    let (py, _folder) = bridge_with(FIXTURE);
    let items = py.call::<Ref>("builtins", "iter", (([1], [2, 3]),)).iter();
    let lengths: Vec<usize> = items.map(|item| item.unwrap().len().wait().unwrap()).collect();
    assert_eq!(lengths, [1, 2]);
    let generators: Vec<Ref> =
        all(py.call("builtins", "eval", ("((m for m in range(n)) for n in range(3))",)).iter());
    let lengths: Vec<usize> =
        generators.iter().map(|generator| generator.iter::<i64>().count()).collect();
    assert_eq!(lengths, [0, 1, 2]);
}

#[test]
fn what_cannot_be_written_fast_arrives_with_care() {
    let py = bridge();
    // A lone surrogate is no text, and a list that holds itself is no value.
    let code = "(lambda loop: (loop.append(loop), iter([1, '\\ud800', loop, 2]))[1])([])";
    let items = all(py.call::<Value>("builtins", "eval", (code,)).iter().batch(10));
    assert_eq!(items.len(), 4);
    assert_eq!((&items[0], &items[3]), (&Value::from(1), &Value::from(2)));
    assert!(matches!(&items[1], Value::Ref(text) if text.type_name() == "str"));
    let items = all(py.call::<Ref>("builtins", "eval", (code,)).iter());
    assert_eq!(items.len(), 4);
}

#[test]
fn what_is_no_iterable_is_an_error() {
    let py = bridge();
    let object: Ref = py.call("builtins", "object", ()).wait().unwrap();
    let mut items = object.iter::<i64>();
    let error = items.next().unwrap().unwrap_err();
    assert_eq!(error.python().unwrap().message(), "'object' object is not iterable");
    assert!(items.next().is_none());
    let error = object.len().iter().next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
}

#[test]
fn a_slow_item_comes_when_it_is_made() {
    let (py, _folder) = bridge_with(FIXTURE);
    let made = || py.call::<i64>("fixture", "how_many", ()).wait().unwrap();
    let mut items = py.call::<i64>("fixture", "slow", (10,)).iter();
    for number in 0..10 {
        assert_eq!(items.next().unwrap().unwrap(), number);
        assert_eq!(made(), number + 1, "it has waited for others");
    }
    assert!(items.next().is_none());
}

#[test]
fn time_is_limited_by_item_and_as_a_whole() {
    let (py, _folder) = bridge_with(FIXTURE);
    let pid = worker_pid(&py);
    let short = Duration::from_millis(100);
    let mut items = py.call::<i64>("fixture", "endless_silence", ()).iter().timeout(short);
    assert_eq!(items.next().unwrap().unwrap(), 1);
    let error = items.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.to_string(), "fixture.endless_silence: no answer within 100ms");
    assert!(items.next().is_none());
    let items = py.call::<i64>("fixture", "closing", ("x",)).iter();
    let items = items.total_timeout(short);
    let last = items.last().unwrap().unwrap_err();
    assert_eq!(last.kind(), ErrorKind::Timeout);
    assert_eq!(last.to_string(), "fixture.closing: the stream has not ended within 100ms");
    assert_eq!(worker_pid(&py), pid, "an interrupt was enough");
}

#[test]
fn a_lost_worker_ends_a_stream_once() {
    let (py, _folder) = bridge_with(FIXTURE);
    let mut items = py.call::<String>("fixture", "closing", ("x",)).iter();
    assert_eq!(items.next().unwrap().unwrap(), "x");
    kill(worker_pid(&py));
    let errors: Vec<_> = items.filter_map(Result::err).take(10).collect();
    assert_eq!(errors.len(), 1);
    assert!(matches!(errors[0].kind(), ErrorKind::WorkerLost | ErrorKind::RefLost), "{errors:?}");
}

#[test]
fn streams_share_a_worker() {
    let py = bridge();
    let evens = py.call::<i64>("itertools", "count", (0, 2)).iter();
    let odds = py.call::<i64>("itertools", "count", (1, 2)).iter();
    let merged = evens.zip(odds).take(5000).flat_map(|(even, odd)| [even.unwrap(), odd.unwrap()]);
    assert!(merged.eq(0..10_000));
}

#[test]
fn streams_run_callbacks() {
    let py = bridge();
    let double = py.callback(|n: i64| Ok(n * 2));
    let items = py.call::<i64>("builtins", "map", (&double, [1, 2, 3])).iter();
    assert_eq!(all(items), [2, 4, 6]);
}

#[test]
fn generators_are_sent_to() {
    let source = "def accumulate():\n    total = 0\n    while True: total += (yield total)\n";
    let (py, _folder) = bridge_with(source);
    let sums: Ref = py.call("fixture", "accumulate", ()).wait().unwrap();
    assert_eq!(sums.iter::<i64>().one_by_one().next().unwrap().unwrap(), 0);
    let sum: i64 = sums.method("send", (5,)).wait().unwrap();
    assert_eq!(sum, 5);
}

#[test]
fn memory_stays_flat_where_the_consumer_is_slow() {
    let (builder, _folder) = builder_with(FIXTURE);
    let py = builder.pool("default", Pool::new().memory_limit(400 << 20)).build().unwrap();
    // A gigabyte and more, if all of it were kept.
    let code = "(bytes(1 << 20) for _ in range(1500))";
    let items = py.call::<snakebridge::Bytes>("builtins", "eval", (code,)).iter();
    assert_eq!(items.map(|item| item.unwrap().len()).sum::<usize>(), 1500 << 20);
}

#[test]
fn a_stream_needs_its_bridge() {
    let py = bridge();
    let mut items = py.call::<i64>("itertools", "count", ()).iter().one_by_one();
    items.next().unwrap().unwrap();
    py.shutdown();
    assert!(items.next().unwrap().is_err());
    assert!(items.next().is_none());
    let _: Option<Bridge> = None;
}

#[cfg(feature = "tokio")]
mod stream {
    use std::pin::{Pin, pin};
    use std::task::{Context, Waker};

    use futures_core::Stream as _;
    use snakebridge::Stream;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    async fn collect<T: serde::de::DeserializeOwned + Send + 'static>(
        mut stream: Stream<T>,
    ) -> Vec<T> {
        let mut items = Vec::new();
        while let Some(item) = stream.next().await {
            items.push(item.unwrap());
        }
        assert!(stream.next().await.is_none());
        items
    }

    #[test]
    fn items_are_awaited() {
        let (py, _folder) = bridge_with(FIXTURE);
        block_on(async {
            let call = py.call::<i64>("builtins", "range", (10_000,));
            assert!(collect(call.stream()).await.into_iter().eq(0..10_000));
            let range: Ref = py.call("builtins", "range", (3,)).by_ref().await.unwrap();
            assert_eq!(collect(range.stream::<i64>().one_by_one()).await, [0, 1, 2]);
            let mut items = py.call::<i64>("fixture", "breaks", (3,)).stream();
            for number in 0..3 {
                assert_eq!(items.next().await.unwrap().unwrap(), number);
            }
            assert_eq!(items.next().await.unwrap().unwrap_err().kind(), ErrorKind::Python);
            assert!(items.next().await.is_none());
        });
    }

    #[test]
    fn an_item_that_was_not_awaited_to_the_end_is_not_lost() {
        let (py, _folder) = bridge_with(FIXTURE);
        block_on(async {
            let mut items = py.call::<i64>("builtins", "range", (200,)).stream().batch(1);
            let mut seen = Vec::new();
            let mut context = Context::from_waker(Waker::noop());
            while seen.len() < 200 {
                // Given up at once, more often than not.
                if let std::task::Poll::Ready(Some(item)) = pin!(items.next()).poll(&mut context) {
                    seen.push(item.unwrap());
                }
                tokio::task::yield_now().await;
            }
            assert!(seen.into_iter().eq(0..200));
        });
    }

    #[test]
    fn dropping_a_stream_stops_the_code_that_makes_its_items() {
        let source = "
import pathlib
def items(folder):
    folder = pathlib.Path(folder)
    yield 1
    try:
        (folder / 'begun').touch()
        while True: pass
    finally:
        (folder / 'ended').touch()
";
        let (py, folder) = bridge_with(source);
        block_on(async {
            let mut items = py.call::<i64>("fixture", "items", (folder.path(),)).stream();
            assert_eq!(items.next().await.unwrap().unwrap(), 1);
            let mut context = Context::from_waker(Waker::noop());
            while !folder.path().join("begun").exists() {
                assert!(Pin::new(&mut items).poll_next(&mut context).is_pending());
                tokio::task::yield_now().await;
            }
            drop(items);
            py.exec("gc", "collect", ()).await.unwrap();
        });
        assert!(folder.path().join("ended").exists());
        eventually("it can be used again", || py.exec("gc", "collect", args![]).wait().is_ok());
    }
}
