//! Limits of sessions: how many refs, how long unused, and what can be seen of them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::time::Duration;

use common::{bridge_with, builder_with, eventually};
use snakebridge::{Bridge, ErrorKind, Ref, SessionStatus};

const THINGS: &str = "import weakref, time\n\
    class Thing:\n    def __init__(self): alive.add(self)\n    def stay(self, s): time.sleep(s)\n    def touch(self): pass\n\
    alive = weakref.WeakSet()\n\
    def late(): time.sleep(0.2); return Thing()\n\
    def things(n): return [Thing() for _ in range(n)]\n\
    def count(): return len(alive)\n";

const SHORT: Duration = Duration::from_millis(50);

fn thing(py: &Bridge) -> Ref {
    py.call("fixture", "Thing", ()).wait().unwrap()
}

fn count(py: &Bridge) -> usize {
    py.call("fixture", "count", ()).wait().unwrap()
}

fn status(py: &Bridge, id: &str) -> Option<SessionStatus> {
    py.sessions().unwrap().into_iter().find(|session| session.id == id)
}

#[test]
fn refs_beyond_the_limit_replace_those_used_least_lately() {
    let (py, _folder) = bridge_with(THINGS);
    let session = py.session().id("few").max_refs(2).open().unwrap();
    let (first, second) = (thing(&session), thing(&session));
    first.method::<()>("touch", ()).wait().unwrap();
    let third = thing(&session);
    first.method::<()>("touch", ()).wait().unwrap();
    third.method::<()>("touch", ()).wait().unwrap();
    let error = second.method::<()>("touch", ()).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RefReleased);
    assert_eq!(
        error.to_string(),
        "Thing.touch: the ref to a `Thing` was evicted: the session `few` may have 2 refs, and this one was \
         used least lately"
    );
    assert_eq!(count(&py), 2);
    let status = status(&py, "few").unwrap();
    assert_eq!((status.refs, status.evicted, status.expired), (2, 1, 0));
    drop(second);
    assert_eq!(count(&py), 2);
}

#[test]
fn limits_hold_for_each_session_by_itself() {
    let (py, _folder) = bridge_with(THINGS);
    let few = py.session().max_refs(1).open().unwrap();
    let other = thing(&py);
    let (first, second) = (thing(&few), thing(&few));
    other.method::<()>("touch", ()).wait().unwrap();
    second.method::<()>("touch", ()).wait().unwrap();
    first.method::<()>("touch", ()).wait().unwrap_err();
}

#[test]
fn a_reply_with_more_refs_than_allowed_keeps_as_many_as_allowed() {
    let (py, _folder) = bridge_with(THINGS);
    let session = py.session().max_refs(3).open().unwrap();
    let things: Vec<Ref> = session.call("fixture", "things", (10,)).wait().unwrap();
    let live = things.iter().filter(|thing| thing.method::<()>("touch", ()).wait().is_ok());
    assert_eq!(live.count(), 3);
    assert_eq!(count(&py), 3);
}

#[test]
fn unused_refs_expire_by_themselves() {
    let (py, _folder) = bridge_with(THINGS);
    let session = py.session().id("brief").ttl(SHORT).open().unwrap();
    let thing = thing(&session);
    eventually("the object is released", || count(&py) == 0);
    let error = thing.method::<()>("touch", ()).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RefReleased);
    assert_eq!(
        error.to_string(),
        "Thing.touch: the ref to a `Thing` has expired: it was not used for 50ms, the limit of the session \
         `brief`"
    );
    assert_eq!(status(&py, "brief").unwrap().expired, 1);
}

#[test]
fn a_ref_that_a_call_uses_neither_expires_nor_makes_room() {
    let (py, _folder) = bridge_with(THINGS);
    let session = py.session().ttl(SHORT).max_refs(1).open().unwrap();
    let thing = thing(&session);
    // Six times the limit, within one call.
    thing.method::<()>("stay", (0.3,)).wait().unwrap();
    thing.method::<()>("touch", ()).wait().unwrap();
    let same: Ref = session.call("builtins", "max", ([&thing, &thing],)).wait().unwrap_or(thing);
    assert_eq!(same.type_name(), "Thing");
}

#[test]
fn a_session_that_nobody_holds_ends_when_it_was_not_used_for_long_enough() {
    let (builder, _folder) = builder_with(THINGS);
    let py = builder.session_ttl(SHORT).build().unwrap();
    // The call takes longer than the session may go unused, with the start of the worker or without.
    let thing: Ref = py.call("fixture", "late", ()).session("guest").wait().unwrap();
    assert_eq!(thing.session_id(), "guest");
    drop(thing);
    eventually("the session has ended", || status(&py, "guest").is_none());
    // The id is free, and a guard keeps its session.
    let held = py.session().id("guest").open().unwrap();
    let other = py.session().id("other").open().unwrap();
    eventually("the refs of another have expired", || {
        status(&py, "other").is_some_and(|it| it.age > SHORT * 4)
    });
    assert!(status(&py, held.id()).is_some());
    drop(other);
    assert!(status(&py, "other").is_none());
}

#[test]
fn sessions_and_their_refs_are_listed() {
    let (py, _folder) = bridge_with(THINGS);
    let session = py.session().id("ada").tag("user", "17").open().unwrap();
    let kept = thing(&session);
    let things: Vec<Ref> = session.call("fixture", "things", (4,)).wait().unwrap();
    drop(things);
    let found = status(&py, "ada").unwrap();
    assert_eq!(
        (found.refs, found.pool.as_str(), found.tags["user"].as_str()),
        (1, "default", "17")
    );
    assert_eq!((found.ttl, found.max_refs), (None, None));
    let refs = py.session_refs("ada").unwrap();
    let [only] = &refs[..] else { panic!("{refs:?}") };
    assert_eq!((only.type_module.as_str(), only.type_qualname.as_str()), ("fixture", "Thing"));
    assert_eq!(only.worker, kept.worker_id());
    assert!(only.unused <= only.age && only.age <= found.age);
    assert!(py.session_refs("nobody").unwrap().is_empty());
}

#[test]
fn a_session_has_one_set_of_settings() {
    let (py, _folder) = bridge_with(THINGS);
    let session = py.session().id("one").max_refs(5).open().unwrap();
    let error = py.session().id("one").max_refs(6).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert_eq!(error.to_string(), "the session `one` is open with other settings");
    // Saying nothing takes what there is; and the refused guard holds nothing open.
    drop(py.session().id("one").open().unwrap());
    drop(session);
    py.session().id("one").max_refs(6).open().unwrap();
}
