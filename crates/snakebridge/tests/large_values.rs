//! Bytes and text that are large enough for shared memory.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::collections::HashMap;

use common::bridge_with;
use snakebridge::{Bridge, Bytes, ErrorKind, Ref, Value};

const FIXTURE: &str = r#"
import hashlib

def same(value):
    return value

def described(value):
    data = value.encode() if isinstance(value, str) else value
    return [type(value).__name__, len(value), hashlib.md5(data).hexdigest()]

def full(kind, count):
    return {"bytes": b"a" * count, "bytearray": bytearray(b"b" * count), "str": "c" * count,
            "wide": "\xe4" * count, "surrogate": "\ud800" + "d" * count}[kind]

kept = []

def keep(value):
    kept.append(value)

def kept_firsts():
    return [value[0] for value in kept]

def call_with(callback, value):
    return callback(value)
"#;

/// Around the size from which shared memory is used, and well above it.
const SIZES: [usize; 4] = [(1 << 18) - 1, 1 << 18, (1 << 18) + 1, 3_000_001];

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n * 31 % 251) as u8).collect()
}

fn copied(py: &Bridge) -> u64 {
    py.status().unwrap().memory.copied
}

#[test]
fn bytes_are_exact() {
    let (py, _folder) = bridge_with(FIXTURE);
    for size in SIZES {
        let data = Bytes::from(pattern(size));
        let back: Bytes = py.call("fixture", "same", (&data,)).wait().unwrap();
        assert!(back == data);
        let described: (String, usize, String) =
            py.call("fixture", "described", (&data,)).wait().unwrap();
        assert_eq!((described.0.as_str(), described.1), ("bytes", size));
        let back: Vec<u8> = py.call("fixture", "same", (&data,)).wait().unwrap();
        assert!(back == *data);
        let back: Value = py.call("fixture", "same", (&data,)).wait().unwrap();
        assert!(matches!(back, Value::Bytes(back) if back == data));
        let back: Option<Bytes> = py.call("builtins", "bytearray", (&data,)).wait().unwrap();
        assert!(back.unwrap() == data);
    }
}

#[test]
fn text_is_exact() {
    let (py, _folder) = bridge_with(FIXTURE);
    for size in SIZES {
        for letter in ["a", "\u{e4}", "\u{1f40d}"] {
            let text = letter.repeat(size / letter.len());
            let back: String = py.call("fixture", "same", (&text,)).wait().unwrap();
            assert!(back == text);
            let back: Value = py.call("fixture", "same", (&text,)).wait().unwrap();
            assert!(matches!(back, Value::Str(back) if back == text));
            let (kind, count, _): (String, usize, String) =
                py.call("fixture", "described", (&text,)).wait().unwrap();
            assert_eq!((kind.as_str(), count), ("str", text.chars().count()));
        }
    }
    // What is no valid Unicode stays in Python, however large.
    let odd: Value = py.call("fixture", "full", ("surrogate", 1 << 20)).wait().unwrap();
    assert!(matches!(odd, Value::Ref(_)));
    let error = py.call::<i64>("fixture", "full", ("str", 1 << 20)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.to_string().len() < 300, "{}", error.to_string().len());
}

#[test]
#[cfg(target_os = "linux")]
fn they_go_through_shared_memory() {
    let (py, _folder) = bridge_with(FIXTURE);
    let before = copied(&py);
    let data = Bytes::from(pattern(1 << 20));
    let _: Bytes = py.call("fixture", "same", (&data,)).wait().unwrap();
    assert_eq!(copied(&py) - before, 2 << 20);
    let _: Ref = py.call("fixture", "same", (&data,)).wait().unwrap();
    assert_eq!(copied(&py) - before, 3 << 20);
    let _: Bytes = py.call("fixture", "full", ("bytes", 1000)).wait().unwrap();
    assert_eq!(copied(&py) - before, 3 << 20);
}

#[test]
fn they_can_stand_anywhere_in_arguments() {
    let (py, _folder) = bridge_with(FIXTURE);
    let data = Bytes::from(pattern(1 << 20));
    let text = "t".repeat(1 << 20);
    let nested = HashMap::from([("data", vec![&data, &data])]);
    let back: (HashMap<String, Vec<Bytes>>, String) =
        py.call("builtins", "tuple", ((nested, &text),)).wait().unwrap();
    assert!(back.0["data"].iter().all(|back| *back == data) && back.1 == text);
    // On a value, and in a pipeline.
    let count: usize = py.method(&text, "count", ("t",)).wait().unwrap();
    assert_eq!(count, 1 << 20);
    let mut calls = py.pipeline();
    let same = calls.call::<Bytes>("fixture", "same", (&data,));
    let len = calls.call::<usize>("builtins", "len", (same,));
    let mut results = calls.wait().unwrap();
    assert_eq!(results.take(len).unwrap(), 1 << 20);
}

#[test]
fn what_was_received_and_what_python_keeps_stays_as_it_is() {
    let (py, _folder) = bridge_with(FIXTURE);
    let first: Bytes = py.call("fixture", "full", ("bytes", 1 << 20)).wait().unwrap();
    for n in 0..4_u8 {
        py.exec("fixture", "keep", (Bytes::from(vec![n; 1 << 20]),)).wait().unwrap();
    }
    for _ in 0..10 {
        let other: Bytes = py.call("fixture", "full", ("bytearray", 1 << 20)).wait().unwrap();
        assert!(other.iter().all(|byte| *byte == b'b'));
    }
    assert!(first.iter().all(|byte| *byte == b'a'));
    let firsts: Vec<u8> = py.call("fixture", "kept_firsts", ()).wait().unwrap();
    assert_eq!(firsts, [0, 1, 2, 3]);
    drop(py);
    assert!(first.iter().all(|byte| *byte == b'a'));
}

#[test]
fn bytes_are_read_from_other_formats() {
    let read = |json: &str| serde_json::from_str::<Bytes>(json).unwrap();
    assert_eq!(read("[1, 2]"), Bytes::from([1, 2]));
    let other = serde::de::value::BytesDeserializer::<serde_json::Error>::new(b"ab");
    assert_eq!(<Bytes as serde::Deserialize>::deserialize(other).unwrap(), Bytes::from(b"ab"));
}

#[test]
fn callbacks_have_them_too() {
    let (py, _folder) = bridge_with(FIXTURE);
    let data = Bytes::from(pattern(1 << 20));
    let callback = py.callback(|data: Bytes| Ok(data));
    let back: Bytes = py.call("fixture", "call_with", (&callback, &data)).wait().unwrap();
    assert!(back == data);
}
