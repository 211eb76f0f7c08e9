//! Looking at a bridge from outside.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::io::Read as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use serde_json::Value;
use snakebridge::{Bridge, Pool, Ref, args};

/// The names by which bridges of this process can be asked.
fn names() -> Vec<String> {
    let list = std::fs::read_to_string("/proc/net/unix").unwrap();
    let own = format!("/{}/", std::process::id());
    // Connections have the name of their listener, until both ends are closed.
    let listeners = list.lines().filter(|line| line.split_whitespace().nth(3) == Some("00010000"));
    let names = listeners.filter_map(|line| line.split(" @").nth(1));
    let names = names.filter(|name| name.starts_with("snakebridge/") && name.contains(&own));
    names.map(str::to_owned).collect()
}

fn connect(name: &str) -> Option<UnixStream> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).ok()
}

fn ask(name: &str) -> Option<Value> {
    let mut answer = String::new();
    // The bridge of another test may end just then.
    connect(name)?.read_to_string(&mut answer).ok()?;
    serde_json::from_str(&answer).ok()
}

/// What the bridge says that has this pool, besides the default one.
fn of_bridge_with(pool: &str) -> Option<(String, Value)> {
    let answers = names().into_iter().filter_map(|name| ask(&name).map(|answer| (name, answer)));
    answers.into_iter().find(|(_, answer)| answer["pools"][1]["name"] == pool)
}

#[test]
fn what_can_be_seen() {
    let py = Bridge::builder().monitor(true).pool("seen", Pool::new()).build().unwrap();
    let pid: u32 = py.call("os", "getpid", ()).wait().unwrap();
    for _ in 0..99 {
        py.exec("math", "sqrt", (16,)).wait().unwrap();
    }
    let object: Ref = py.call("collections", "deque", ([1],)).wait().unwrap();
    let (_, seen) = of_bridge_with("seen").unwrap();
    assert_eq!(seen["pid"], std::process::id());
    assert!(seen["program"].as_str().unwrap().contains("monitor"), "{seen}");
    let pool = &seen["pools"][0];
    assert_eq!((&pool["name"], &pool["waiting"]), (&"default".into(), &0.into()));
    assert_eq!(pool["python"].as_str(), Some(&*py.ready().unwrap().version));
    assert_eq!(pool["calls"], 101);
    let (p50, p99) = (&pool["latency_us"]["p50"], &pool["latency_us"]["p99"]);
    assert!(p50.as_f64().unwrap() > 0.0 && p99.as_f64() >= p50.as_f64(), "{pool}");
    let worker = &pool["workers"][0];
    assert_eq!((&worker["pid"], &worker["state"]), (&pid.into(), &"idle".into()));
    assert_eq!((&worker["calls"], &worker["refs"]), (&101.into(), &1.into()));
    assert!(worker["memory"].as_u64().unwrap() > 1 << 20, "{worker}");
    assert!(worker["busy"].as_f64().unwrap() > 0.0, "{worker}");
    drop(object);
}

#[test]
fn what_it_is_doing() {
    let py = Bridge::builder().monitor(true).pool("doing", Pool::new()).build().unwrap();
    let (name, _) = of_bridge_with("doing").unwrap();
    // The call waits for the function here, which looks at the bridge meanwhile.
    let (seen, states) = std::sync::mpsc::channel();
    let look = py.callback(move |key: i64| {
        seen.send(ask(&name).unwrap()["pools"][0]["workers"][0]["state"].clone()).unwrap();
        Ok(key)
    });
    let sorted: Vec<i64> = py.call("builtins", "sorted", args![[1], key = &look]).wait().unwrap();
    assert_eq!((sorted, states.recv().unwrap()), (vec![1], "busy".into()));
}

#[test]
fn nothing_is_shown_that_is_not_to_be() {
    let py = Bridge::builder().pool("hidden", Pool::new()).build().unwrap();
    py.exec("math", "sqrt", (16,)).wait().unwrap();
    assert!(of_bridge_with("hidden").is_none());
}

#[test]
fn nothing_is_left_at_the_end() {
    let py = Bridge::builder().monitor(true).pool("ended", Pool::new()).build().unwrap();
    let (name, _) = of_bridge_with("ended").unwrap();
    py.shutdown();
    assert!(!names().contains(&name));
    assert!(connect(&name).is_none());
}

#[test]
fn those_who_ask_and_do_not_listen_keep_nobody_waiting() {
    let py = Bridge::builder().monitor(true).pool("patient", Pool::new()).build().unwrap();
    let (name, _) = of_bridge_with("patient").unwrap();
    let silent: Vec<_> = (0..100).map(|_| connect(&name).unwrap()).collect();
    let root: f64 = py.call("math", "sqrt", (16,)).timeout(Duration::from_secs(30)).wait().unwrap();
    assert_eq!(root, 4.0);
    assert!(ask(&name).is_some());
    assert!(py.is_alive());
    drop(silent);
}
