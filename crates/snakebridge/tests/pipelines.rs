//! Pipelines and batches, as real workers carry them out.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{bridge, bridge_with, kill, worker_pid};
use snakebridge::{Bytes, CallOptions, ErrorKind, Ref, Value, args};

#[test]
fn results_are_those_of_the_calls_in_order() {
    let py = bridge();
    let mut calls = py.pipeline();
    let root = calls.call::<f64>("math", "sqrt", (16,));
    let text = calls.call::<String>("builtins", "format", args![2.5, ".2f"]);
    let parts = calls.method::<Vec<String>>("a-b", "split", ("-",));
    let raw = calls.call::<Bytes>("builtins", "bytes", (3,));
    let table = calls.call::<BTreeMap<String, i64>>("builtins", "dict", args![a = 1]);
    let nothing = calls.call::<Option<i64>>("builtins", "print", ());
    assert_eq!((calls.len(), calls.is_empty()), (6, false));
    let mut results = calls.wait().unwrap();
    assert_eq!(results.take(nothing).unwrap(), None);
    assert_eq!(results.take(root).unwrap(), 4.0);
    assert_eq!(results.take(text).unwrap(), "2.50");
    assert_eq!(results.take(parts).unwrap(), ["a", "b"]);
    assert_eq!(&*results.take(raw).unwrap(), [0, 0, 0]);
    assert_eq!(results.take(table).unwrap()["a"], 1);
    results.check().unwrap();
}

#[test]
fn an_empty_pipeline_has_no_results() {
    let results = bridge().pipeline().wait().unwrap();
    results.check().unwrap();
}

#[test]
fn later_calls_use_results_of_earlier_ones() {
    let py = bridge();
    let mut calls = py.pipeline();
    let queue = calls.call::<Ref>("collections", "deque", ([1, 2],));
    calls.method::<()>(queue, "append", (3,));
    let deep = calls.call::<Value>("builtins", "list", (([queue],),));
    let max = calls.attr::<Option<usize>>(queue, "maxlen");
    let copy = calls.call::<Vec<i64>>("builtins", "list", args![&queue]);
    let sum = calls.call::<i64>("builtins", "sum", (copy,));
    let mut results = calls.wait().unwrap();
    let queue = results.take(queue).unwrap();
    assert_eq!(queue.type_name(), "deque");
    assert_eq!(queue.len().wait().unwrap(), 3);
    assert_eq!(results.take(max).unwrap(), None);
    assert_eq!(results.take(copy).unwrap(), [1, 2, 3]);
    assert_eq!(results.take(sum).unwrap(), 6);
    assert!(matches!(results.take(deep).unwrap(), Value::List(parts) if parts.len() == 1));
}

#[test]
fn each_call_has_its_own_error() {
    let py = bridge();
    let mut calls = py.pipeline();
    let good = calls.call::<f64>("math", "sqrt", (4,));
    let raised = calls.call::<f64>("math", "sqrt", (-1,));
    let user = calls.call::<f64>("math", "floor", (raised,));
    let user_of_user = calls.call::<f64>("math", "floor", (user,));
    let misfit = calls.call::<i64>("math", "sqrt", (2,));
    let after = calls.call::<i64>("math", "floor", (misfit,));
    let mut results = calls.wait().unwrap();
    let mut error = |promise| results.take(promise).unwrap_err();
    let found = error(raised);
    assert_eq!(found.kind(), ErrorKind::Python);
    assert_eq!(
        found.to_string().lines().next().unwrap(),
        "math.sqrt raised ValueError: math domain error"
    );
    assert!(found.worker().is_some());
    assert_eq!(
        error(user).to_string(),
        "math.floor: the call was not made: call 2, whose result it uses, has failed"
    );
    assert_eq!(error(user_of_user).kind(), ErrorKind::NotMade);
    let found = results.take(misfit).unwrap_err();
    assert_eq!((found.kind(), found.target()), (ErrorKind::Decode, Some("math.sqrt")));
    assert_eq!(results.take(after).unwrap(), 1);
    assert_eq!(results.take(good).unwrap(), 2.0);
    results.check().unwrap();
}

#[test]
fn what_cannot_be_sent_is_the_error_of_one_call() {
    let py = bridge();
    let other = py.session().open().unwrap();
    let mut calls = py.pipeline();
    let unsendable = calls.call::<i64>("builtins", "len", (Unsendable,));
    let user = calls.call::<i64>("builtins", "len", (unsendable,));
    let late = calls.push(py.call::<i64>("builtins", "int", ()).timeout(Duration::from_secs(1)));
    let stranger = calls.push(other.call::<i64>("builtins", "int", ()));
    let unhashable = calls.call::<i64>("builtins", "len", (BTreeMap::from([(vec![1], 1)]),));
    let foreign = py.pipeline().call::<i64>("builtins", "int", ());
    let lost = calls.call::<i64>("builtins", "int", (foreign,));
    let fine = calls.call::<i64>("builtins", "int", ());
    let mut results = calls.wait().unwrap();
    let told = [unsendable, user, late, stranger, unhashable, lost].map(|promise| {
        let error = results.take(promise).unwrap_err();
        format!("{:?}: {error}", error.kind())
    });
    insta::assert_snapshot!(told.join("\n"));
    assert_eq!(results.take(foreign).unwrap_err().kind(), ErrorKind::Misuse);
    assert_eq!(results.take(fine).unwrap(), 0);
}

struct Unsendable;

impl serde::Serialize for Unsendable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it will not be sent"))
    }
}

#[test]
fn promises_are_used_in_their_pipeline_only() {
    let py = bridge();
    let mut calls = py.pipeline();
    let promise = calls.call::<i64>("builtins", "int", ());
    let error = py.call::<i64>("builtins", "int", (promise,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert!(serde_json::to_string(&promise).is_err());
    let mut results = calls.wait().unwrap();
    assert_eq!(results.take(promise).unwrap(), 0);
    let error = results.take(promise).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Misuse, "the result of call 1 was taken already")
    );
}

#[test]
fn calls_on_refs_can_be_pushed() {
    let py = bridge();
    let list: Ref = py.call("builtins", "list", ([1, 2],)).by_ref().wait().unwrap();
    let mut calls = py.pipeline();
    calls.push(list.set_item(0, 10));
    let first = calls.push(list.item::<i64>(0));
    let copy = calls.push(list.method::<Ref>("copy", ()));
    let repr = calls.method::<String>(&list, "__repr__", ());
    let mut results = calls.wait().unwrap();
    assert_eq!(results.take(first).unwrap(), 10);
    assert_eq!(results.take(repr).unwrap(), "[10, 2]");
    assert_eq!(results.take(copy).unwrap().len().wait().unwrap(), 2);
    list.release();
    let mut calls = py.pipeline();
    calls.push(list.len());
    let error = calls.wait().unwrap_err();
    assert_eq!((error.kind(), error.target()), (ErrorKind::RefReleased, Some("the pipeline")));
}

#[test]
fn coroutines_and_callbacks_work_in_a_pipeline() {
    let py = bridge();
    let double = py.callback(|number: i64| Ok(2 * number));
    let mut calls = py.pipeline();
    let awake = calls.push(py.call::<i64>("asyncio", "sleep", (0, 7)).awaited());
    let doubled = calls.call::<i64>("functools", "reduce", (&double, [awake]));
    let all = calls.call::<Ref>("builtins", "map", (&double, [1, 2]));
    let listed = calls.call::<Vec<i64>>("builtins", "list", (all,));
    let mut results = calls.wait().unwrap();
    assert_eq!(results.take(doubled).unwrap(), 7);
    assert_eq!(results.take(listed).unwrap(), [2, 4]);
}

#[test]
fn text_that_is_no_unicode_becomes_a_ref_among_the_others() {
    let py = bridge();
    let mut calls = py.pipeline();
    let odd = calls.call::<Value>("builtins", "chr", (0xd800,));
    let text = calls.call::<String>("builtins", "chr", (0xe9,));
    let mut results = calls.wait().unwrap();
    assert!(matches!(results.take(odd).unwrap(), Value::Ref(_)));
    assert_eq!(results.take(text).unwrap(), "é");
}

#[test]
fn a_value_is_as_it_is_at_the_end() {
    let py = bridge();
    let mut calls = py.pipeline();
    let list = calls.call::<Vec<i64>>("builtins", "list", ());
    calls.method::<()>(list, "append", (1,));
    assert_eq!(calls.wait().unwrap().take(list).unwrap(), [1]);
}

#[test]
fn the_time_limit_is_that_of_the_whole() {
    let (py, _folder) =
        bridge_with("made = []\ndef spin(n):\n    made.append(n)\n    while n: pass\n");
    py.call::<()>("fixture", "spin", (0,)).wait().unwrap();
    let mut calls = py.pipeline().timeout(Duration::from_millis(50));
    for number in [0, 1, 2] {
        calls.call::<()>("fixture", "spin", (number,));
    }
    let error = calls.wait().unwrap_err();
    assert_eq!((error.kind(), error.target()), (ErrorKind::Timeout, Some("the pipeline")));
    let made: Vec<i64> = py.get("fixture", "made").wait().unwrap();
    assert_eq!(made, [0, 0, 1]);
}

#[test]
fn the_loss_of_the_worker_is_the_error_of_the_whole() {
    let py = bridge();
    let pid = worker_pid(&py);
    let mut calls = py.pipeline();
    calls.call::<f64>("math", "sqrt", (1,));
    calls.call::<()>("os", "_exit", (3,));
    assert_eq!(calls.wait().unwrap_err().kind(), ErrorKind::WorkerLost);
    assert_ne!(worker_pid(&py), pid);
    kill(worker_pid(&py));
    let mut calls = py.pipeline().options(&CallOptions::new().idempotent(true));
    let root = calls.call::<f64>("math", "sqrt", (4,));
    assert_eq!(calls.wait().unwrap().take(root).unwrap(), 2.0);
}

#[test]
fn many_calls_and_large_arguments() {
    let py = bridge();
    let mut calls = py.pipeline();
    let promises: Vec<_> =
        (0..10_000).map(|n| calls.call::<i64>("builtins", "abs", (-n,))).collect();
    let long = "x".repeat(1 << 20);
    let large = calls.call::<String>("builtins", "str", (&long,));
    let mut results = calls.wait().unwrap();
    assert!(results.take(large).unwrap() == long);
    assert!((0..).zip(promises).all(|(n, promise)| results.take(promise).unwrap() == n));
}

#[test]
fn a_batch_has_an_outcome_for_each_input() {
    let py = bridge();
    let inputs = vec![args!["11"], args!["11", base = 2], args!["?"]];
    let outcomes = py.batch::<i64>("builtins", "int", inputs).wait().unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap(), &11);
    assert_eq!(outcomes[1].as_ref().unwrap(), &3);
    let error = outcomes[2].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.target()), (ErrorKind::Python, Some("builtins.int")));
    let none: [(i64,); 0] = [];
    assert!(py.batch::<i64>("builtins", "int", none).wait().unwrap().is_empty());
}

#[test]
fn a_batch_of_refs_can_be_used() {
    let py = bridge();
    let refs = py.batch::<Ref>("collections", "deque", [([1],), ([2],)]).wait().unwrap();
    let refs: Vec<Ref> = refs.into_iter().collect::<Result<_, _>>().unwrap();
    let lens = py.batch::<usize>("builtins", "len", refs.iter().map(|one| (one,))).wait().unwrap();
    assert!(lens.into_iter().all(|len| len.unwrap() == 1));
    assert_eq!(py.sessions().unwrap()[0].refs, 2);
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn pipelines_and_batches_can_be_awaited() {
    let py = bridge();
    let mut calls = py.pipeline();
    let root = calls.call::<f64>("math", "sqrt", (16,));
    assert_eq!(calls.await.unwrap().take(root).unwrap(), 4.0);
    let roots = py.batch::<f64>("math", "sqrt", [(4,), (9,)]).await.unwrap();
    assert_eq!(roots.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [2.0, 3.0]);
    let mut calls = py.pipeline();
    calls.call::<()>("time", "sleep", (30,));
    assert!(tokio::time::timeout(Duration::from_millis(20), calls).await.is_err());
    assert_eq!(py.call::<f64>("math", "sqrt", (4,)).await.unwrap(), 2.0);
}
