//! Context managers around code of the program.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{bridge, bridge_with};
use snakebridge::{Bridge, Error, ErrorKind, Ref, Value};

const FIXTURE: &str = r#"
import os

raised = []

def fail(text):
    error = LookupError(text)
    raised.append(error)
    raise error

class Manager:
    def __init__(self, takes=False, exit_raises=False, kills=False):
        self.events = []
        self.takes, self.exit_raises, self.kills = takes, exit_raises, kills

    def __enter__(self):
        self.events.append("enter")
        return self

    def __exit__(self, cls, error, traceback):
        if self.kills:
            os._exit(7)
        self.events.append("exit")
        self.error = error
        self.original = bool(raised) and error is raised[-1] and traceback is error.__traceback__
        self.names = [frame for frame in iter_names(traceback)]
        if self.exit_raises:
            raise KeyError("from exit")
        return self.takes

    def what(self):
        return None if self.error is None else f"{type(self.error).__name__}: {self.error}"

def iter_names(traceback):
    while traceback is not None:
        yield traceback.tb_frame.f_code.co_name
        traceback = traceback.tb_next

class AsyncManager:
    def __init__(self): self.events = []
    async def __aenter__(self):
        self.events.append("enter")
        return "entered"
    async def __aexit__(self, cls, error, traceback):
        self.events.append("exit " + ("clean" if error is None else str(error)))
        return True
"#;

fn manager(py: &Bridge, takes: bool) -> Ref {
    py.call("fixture", "Manager", (takes,)).wait().unwrap()
}

fn events(manager: &Ref) -> Vec<String> {
    manager.attr("events").wait().unwrap()
}

fn what(manager: &Ref) -> Option<String> {
    manager.method("what", ()).wait().unwrap()
}

#[test]
fn the_body_runs_between_enter_and_exit() {
    let (py, _folder) = bridge_with(FIXTURE);
    let manager = manager(&py, false);
    let given = manager.with(|entered: Ref| -> Result<i64, Error> {
        assert_eq!(entered.attr::<Vec<String>>("events").wait()?, ["enter"]);
        Ok(5)
    });
    assert_eq!(given.unwrap(), Some(5));
    assert_eq!(events(&manager), ["enter", "exit"]);
    assert_eq!(what(&manager), None);
}

#[test]
fn an_exception_reaches_exit_as_it_is() {
    let (py, _folder) = bridge_with(FIXTURE);
    for takes in [false, true] {
        let manager = manager(&py, takes);
        let done = manager.with(|_: Value| py.exec("fixture", "fail", ("gone",)).wait());
        match (takes, done) {
            (true, Ok(None)) => {}
            (false, Err(error)) => assert_eq!(error.python().unwrap().message(), "gone"),
            other => panic!("{other:?}"),
        }
        assert!(manager.attr::<bool>("original").wait().unwrap());
        assert!(manager.attr::<Vec<String>>("names").wait().unwrap().contains(&"fail".into()));
        assert_eq!(events(&manager), ["enter", "exit"]);
    }
}

#[test]
fn errors_of_other_types_hold_the_exception_or_are_told() {
    let (py, _folder) = bridge_with(FIXTURE);
    let manager = manager(&py, false);
    let done = manager.with(|_: Value| -> Result<(), Box<dyn StdError + Send + Sync>> {
        Ok(py.exec("fixture", "fail", ("boxed",)).wait()?)
    });
    assert!(done.unwrap_err().downcast_ref::<Error>().is_some());
    assert!(manager.attr::<bool>("original").wait().unwrap());
    let done =
        manager.with(|_: Value| -> Result<(), Box<dyn StdError>> { Err("no such file".into()) });
    assert_eq!(done.unwrap_err().to_string(), "no such file");
    assert_eq!(what(&manager).unwrap(), "RustError: no such file");
}

#[test]
fn an_exception_that_was_handled_is_none() {
    let (py, _folder) = bridge_with(FIXTURE);
    let manager = manager(&py, false);
    let done = manager.with(|_: Value| -> Result<(), Error> {
        py.exec("fixture", "fail", ("seen",)).wait().unwrap_err();
        Ok(())
    });
    assert_eq!(done.unwrap(), Some(()));
    assert_eq!(what(&manager), None);
}

#[test]
fn a_panic_leaves_once_and_goes_on() {
    let (py, _folder) = bridge_with(FIXTURE);
    let manager = manager(&py, true);
    let body = |_: Value| -> Result<(), Error> { panic!("out of luck") };
    let panic = catch_unwind(AssertUnwindSafe(|| manager.with(body))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"out of luck"));
    assert_eq!(events(&manager), ["enter", "exit"]);
    assert_eq!(what(&manager).unwrap(), "RustError: the body panicked: out of luck");
}

#[test]
fn an_exception_in_exit_takes_the_place_of_the_error() {
    let (py, _folder) = bridge_with(FIXTURE);
    let manager: Ref = py.call("fixture", "Manager", (false, true)).wait().unwrap();
    let error = manager.with(|_: Value| py.exec("fixture", "fail", ("gone",)).wait()).unwrap_err();
    let python = error.python().unwrap();
    assert_eq!(python.type_name(), "KeyError");
    assert_eq!(python.context().unwrap().message(), "gone");
    let error = manager.with(|_: Value| Ok::<_, Error>(())).unwrap_err();
    assert_eq!(error.python().unwrap().type_name(), "KeyError");
}

#[test]
fn one_inside_of_the_other() {
    let (py, _folder) = bridge_with(FIXTURE);
    let (outer, inner) = (manager(&py, true), manager(&py, false));
    let done = outer.with(|_: Value| {
        inner.with(|_: Value| py.exec("fixture", "fail", ("deep",)).wait()).map(drop)
    });
    assert_eq!(done.unwrap(), None);
    for manager in [outer, inner] {
        assert!(manager.attr::<bool>("original").wait().unwrap());
        assert_eq!(events(&manager), ["enter", "exit"]);
    }
}

#[test]
fn what_is_no_manager_or_gives_something_else_does_not_run_the_body() {
    let (py, _folder) = bridge_with(FIXTURE);
    let object: Ref = py.call("builtins", "object", ()).wait().unwrap();
    let never = |_: i64| -> Result<(), Error> { panic!("the body has run") };
    let error = object.with(never).unwrap_err();
    assert_eq!(error.python().unwrap().type_name(), "TypeError");
    let manager = manager(&py, false);
    let error = manager.with(never).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert_eq!(events(&manager), ["enter", "exit"], "it was entered, so it is left");
}

#[test]
fn a_worker_that_is_lost_in_exit_is_an_error() {
    let (py, _folder) = bridge_with(FIXTURE);
    let manager = || -> Ref { py.call("fixture", "Manager", (false, false, true)).wait().unwrap() };
    let error = manager().with(|_: Value| Ok::<_, Error>(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerLost);
    // The body has said more than that already.
    let error = manager().with(|_: Value| py.exec("fixture", "fail", ("first",)).wait());
    assert_eq!(error.unwrap_err().python().unwrap().message(), "first");
    py.exec("gc", "collect", ()).wait().unwrap();
}

#[test]
fn managers_for_async_with() {
    let (py, _folder) = bridge_with(FIXTURE);
    let manager: Ref = py.call("fixture", "AsyncManager", ()).wait().unwrap();
    let entered = manager.with(|entered: String| Ok::<_, Error>(entered)).unwrap();
    assert_eq!(entered.as_deref(), Some("entered"));
    let done = manager.with(|_: Value| py.exec("fixture", "fail", ("gone",)).wait()).unwrap();
    assert_eq!(done, None);
    assert_eq!(events(&manager), ["enter", "exit clean", "enter", "exit gone"]);
}

#[test]
fn managers_of_the_standard_library() {
    let py = bridge();
    let lookup: Ref = py.get("builtins", "LookupError").wait().unwrap();
    let suppress: Ref = py.call("contextlib", "suppress", (lookup,)).wait().unwrap();
    let items: Ref = py.call("builtins", "list", ()).wait().unwrap();
    assert_eq!(suppress.with(|_: Value| items.item::<i64>(7).wait()).unwrap(), None);
    let lock: Ref = py.call("threading", "Lock", ()).wait().unwrap();
    let locked = lock.with(|_: Value| lock.method::<bool>("locked", ()).wait()).unwrap();
    assert_eq!(locked, Some(true));
    assert!(!lock.method::<bool>("locked", ()).wait().unwrap());
}

#[cfg(feature = "tokio")]
mod tasks {
    use std::time::Duration;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    async fn until_left(manager: &Ref) -> Vec<String> {
        loop {
            let events: Vec<String> = manager.attr("events").await.unwrap();
            if events.len() == 2 {
                return events;
            }
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn bodies_are_awaited() {
        let (py, _folder) = bridge_with(FIXTURE);
        block_on(async {
            let manager: Ref = py.call("fixture", "Manager", (true,)).await.unwrap();
            let given = manager
                .with_async(async |entered: Ref| entered.attr::<Vec<String>>("events").await)
                .await;
            assert_eq!(given.unwrap().unwrap(), ["enter"]);
            let done = manager
                .with_async(async |_: Value| py.exec("fixture", "fail", ("gone",)).await)
                .await;
            assert_eq!(done.unwrap(), None);
            assert!(manager.attr::<bool>("original").await.unwrap());
            let error = manager
                .with_async(async |_: i64| -> Result<(), Error> { panic!("the body has run") })
                .await;
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Decode);
        });
    }

    #[test]
    fn exit_runs_where_the_body_is_dropped_or_panics() {
        let (py, _folder) = bridge_with(FIXTURE);
        block_on(async {
            let manager: Ref = py.call("fixture", "Manager", ()).await.unwrap();
            let forever = manager
                .with_async(async |_: Value| -> Result<(), Error> { std::future::pending().await });
            assert!(tokio::time::timeout(Duration::from_millis(100), forever).await.is_err());
            assert_eq!(until_left(&manager).await, ["enter", "exit"]);
            let what: String = manager.method("what", ()).await.unwrap();
            assert_eq!(what, "KeyboardInterrupt: the body was cancelled by the host");

            let manager: Ref = py.call("fixture", "Manager", ()).await.unwrap();
            let inner = manager.clone();
            let panicking = tokio::spawn(async move {
                let body = async |_: Value| -> Result<(), Error> { panic!("out of luck") };
                inner.with_async(body).await
            });
            assert!(panicking.await.unwrap_err().is_panic());
            assert_eq!(until_left(&manager).await, ["enter", "exit"]);
        });
    }

    #[test]
    fn exit_runs_once_wherever_the_future_is_dropped() {
        let (py, _folder) = bridge_with(FIXTURE);
        block_on(async {
            // Dropped after so many polls, until one comes to its end.
            for polls in 1.. {
                let manager: Ref = py.call("fixture", "Manager", ()).await.unwrap();
                let mut whole =
                    Box::pin(manager.with_async(async |entered: Ref| {
                        entered.attr::<Vec<String>>("events").await
                    }));
                let mut done = false;
                for _ in 0..polls {
                    let mut once = std::pin::pin!(std::future::poll_fn(|context| {
                        std::task::Poll::Ready(whole.as_mut().poll(context).is_ready())
                    }));
                    done = once.as_mut().await;
                    if done {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                drop(whole);
                assert_eq!(until_left(&manager).await, ["enter", "exit"], "after {polls} polls");
                if done {
                    return;
                }
            }
        });
    }
}
