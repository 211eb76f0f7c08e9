//! What Python awaits.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::time::Duration;

use common::{bridge_with, worker_pid};
use snakebridge::{ErrorKind, Ref, Result, Value};

const FIXTURE: &str = r#"
import asyncio, contextvars

async def fetch(value):
    await asyncio.sleep(0)
    return {"value": value}

async def fail():
    await asyncio.sleep(0)
    raise LookupError("not there")

log = []

async def linger():
    try:
        await asyncio.sleep(300)
    finally:
        await asyncio.sleep(0)
        log.append("cleaned up")

def busy():
    while True: pass

async def spin():
    try:
        busy()
    finally:
        log.append("stopped")

async def stubborn():
    while True:
        try:
            await asyncio.sleep(300)
        except asyncio.CancelledError:
            pass

loops = set()

async def count_loops():
    loops.add(id(asyncio.get_running_loop()))
    return len(loops)

background = []

async def start_task():
    async def work():
        for number in range(3):
            background.append(number)
            await asyncio.sleep(0)
    start_task.task = asyncio.ensure_future(work())

async def finish_task():
    await start_task.task
    return background

name = contextvars.ContextVar("name", default="nobody")

async def set_name(value):
    name.set(value)

async def get_name():
    return name.get()

async def ticks(count):
    try:
        for number in range(count):
            await asyncio.sleep(0)
            yield number
    finally:
        await asyncio.sleep(0)
        log.append("closed")

async def breaks():
    yield 1
    raise LookupError("it broke")

class Later:
    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return "later"
"#;

#[test]
fn results_are_awaited() {
    let (py, _folder) = bridge_with(FIXTURE);
    let fetched: Value = py.call("fixture", "fetch", (5,)).awaited().wait().unwrap();
    assert_eq!(fetched.to_string(), "{'value': 5}");
    let coroutine: Ref = py.call("fixture", "fetch", (6,)).wait().unwrap();
    assert_eq!(coroutine.awaited::<Value>().wait().unwrap().to_string(), "{'value': 6}");
    let later: String = py.call("fixture", "Later", ()).awaited().wait().unwrap();
    assert_eq!(later, "later");
    let error = py.exec("fixture", "fail", ()).awaited().wait().unwrap_err();
    assert_eq!(error.python().unwrap().type_name(), "LookupError");
    assert_eq!(error.python().unwrap().frames().last().unwrap().function, "fail");
    let error = py.exec("math", "sqrt", (4,)).awaited().wait().unwrap_err();
    assert_eq!(error.python().unwrap().type_name(), "TypeError");
}

#[test]
fn what_should_have_been_awaited_says_so() {
    let (py, _folder) = bridge_with(FIXTURE);
    let error = py.call::<f64>("fixture", "fetch", (5,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert_eq!(error.hint(), Some("have Python await it: `.awaited()`"));
}

#[test]
fn one_loop_serves_all_calls_and_their_tasks() {
    let (py, _folder) = bridge_with(FIXTURE);
    for _ in 0..3 {
        let loops: usize = py.call("fixture", "count_loops", ()).awaited().wait().unwrap();
        assert_eq!(loops, 1);
    }
    py.exec("fixture", "start_task", ()).awaited().wait().unwrap();
    let done: Vec<i64> = py.call("fixture", "finish_task", ()).awaited().wait().unwrap();
    assert_eq!(done, [0, 1, 2]);
    // A function of the user may have a loop of its own.
    let coroutine: Ref = py.call("fixture", "fetch", (1,)).wait().unwrap();
    py.exec("asyncio", "run", (coroutine,)).wait().unwrap();
}

#[test]
fn context_variables_belong_to_a_session() {
    let (py, _folder) = bridge_with(FIXTURE);
    let sessions = ["one", "two"].map(|id| py.session().id(id).open().unwrap());
    for session in &sessions {
        session.exec("fixture", "set_name", (session.id(),)).awaited().wait().unwrap();
    }
    for session in &sessions {
        let name: String = session.call("fixture", "get_name", ()).awaited().wait().unwrap();
        assert_eq!(name, session.id());
    }
    let name: String = py.call("fixture", "get_name", ()).awaited().wait().unwrap();
    assert_eq!(name, "nobody");
}

#[test]
fn a_timeout_cancels_the_task_and_lets_it_clean_up() {
    let (py, _folder) = bridge_with(FIXTURE);
    let pid = worker_pid(&py);
    // What the first coroutine of a worker imports is not to be a part of the time.
    py.exec("fixture", "get_name", ()).awaited().wait().unwrap();
    let short = Duration::from_millis(200);
    for function in ["linger", "spin"] {
        let call = py.exec("fixture", function, ()).awaited().timeout(short);
        assert_eq!(call.wait().unwrap_err().kind(), ErrorKind::Timeout);
    }
    let log: Vec<String> = py.get("fixture", "log").wait().unwrap();
    assert_eq!(log, ["cleaned up", "stopped"]);
    assert_eq!(worker_pid(&py), pid);
    let call = py.exec("fixture", "stubborn", ()).awaited().timeout(short);
    assert_eq!(call.wait().unwrap_err().kind(), ErrorKind::Timeout);
    assert_ne!(worker_pid(&py), pid, "it was killed");
}

#[test]
fn asynchronous_generators_are_streams() {
    let (py, _folder) = bridge_with(FIXTURE);
    let ticks = py.call::<i64>("fixture", "ticks", (1000,)).iter();
    assert!(ticks.map(Result::unwrap).eq(0..1000));
    let ticks: Ref = py.call("fixture", "ticks", (3,)).wait().unwrap();
    assert_eq!(ticks.iter::<i64>().collect::<Result<Vec<_>>>().unwrap(), [0, 1, 2]);
    let items: Vec<_> = py.call::<i64>("fixture", "breaks", ()).iter().collect();
    assert_eq!(items.len(), 2);
    assert_eq!(items[0].as_ref().unwrap(), &1);
    assert_eq!(items[1].as_ref().unwrap_err().python().unwrap().type_name(), "LookupError");
}

#[test]
fn an_asynchronous_generator_that_is_dropped_is_closed() {
    let (py, _folder) = bridge_with(FIXTURE);
    let mut ticks = py.call::<i64>("fixture", "ticks", (1000,)).iter();
    assert_eq!(ticks.next().unwrap().unwrap(), 0);
    drop(ticks);
    let log: Vec<String> = py.get("fixture", "log").wait().unwrap();
    assert_eq!(log, ["closed"]);
}
