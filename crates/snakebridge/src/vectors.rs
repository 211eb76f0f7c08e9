//! Golden vectors: values and their bytes, which both languages must agree on.
//!
//! `spec/vectors/host.json` holds what this crate writes; the tests of the worker read it.
//! `spec/vectors/worker.json` holds what a worker writes; it is read here. Each vector is the value
//! as Python prints it, and the bytes in hexadecimal. `SNAKEBRIDGE_UPDATE_VECTORS=1 cargo test`
//! writes the first anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use snakebridge_wire::{Encoder, Limits, Tape};

use crate::types::{BigInt, Complex, Decimal, Uuid};
use crate::value::Dict;
use crate::{Bytes, Value, scope};

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "spec", "vectors", name].iter().collect()
}

fn read(name: &str) -> BTreeMap<String, String> {
    serde_json::from_str(&std::fs::read_to_string(file(name)).unwrap()).unwrap()
}

fn encode(value: &Value) -> Vec<u8> {
    let mut encoder = Encoder::default();
    scope::encoding(|| encoder.value(value)).0.unwrap();
    encoder.finish()
}

fn decode(bytes: &[u8]) -> Value {
    Tape::scan(bytes, Limits::DEFAULT).unwrap().decode().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn values() -> Vec<Value> {
    let date = "2024-02-29".parse::<crate::types::Date>().unwrap();
    let big = "-340282366920938463463374607431768211457".parse::<BigInt>().unwrap();
    let record = |id: i64| Value::from(Dict::from([("id", Value::from(id)), ("name", "x".into())]));
    vec![
        Value::None,
        true.into(),
        false.into(),
        0.into(),
        255.into(),
        256.into(),
        65536.into(),
        (-1).into(),
        i64::from(i32::MIN).into(),
        i64::MAX.into(),
        i64::MIN.into(),
        u64::MAX.into(),
        big.into(),
        0.5.into(),
        (-0.0).into(),
        f64::INFINITY.into(),
        f64::NAN.into(),
        "".into(),
        "naïve 🐍".into(),
        "x".repeat(300).into(),
        Bytes::from([0, 255]).into(),
        Bytes::from(vec![7; 300]).into(),
        Value::List(vec![]),
        vec![1, 2].into(),
        Value::Tuple(vec![]),
        (1,).into(),
        (1, 2, 3, 4).into(),
        Value::Set(vec![1.into()]),
        Value::FrozenSet(vec!["a".into()]),
        Dict::new().into(),
        Dict::from([(Value::from((0, 1)), Value::None), (1.into(), 2.into())]).into(),
        vec![record(1), record(2)].into(),
        Complex { re: 1.5, im: -0.0 }.into(),
        date.into(),
        "12:30:15.123456+05:30".parse::<crate::types::Time>().unwrap().into(),
        "2024-02-29T12:30:15".parse::<crate::types::DateTime>().unwrap().into(),
        "2024-02-29T12:30:15-00:30".parse::<crate::types::DateTime>().unwrap().into(),
        crate::types::TimeDelta::new(-1, 5, 6).unwrap().into(),
        "1.50".parse::<Decimal>().unwrap().into(),
        "NaN".parse::<Decimal>().unwrap().into(),
        Uuid::from_bytes([7; 16]).into(),
    ]
}

#[test]
fn the_host_writes_what_is_written_down() {
    let written: BTreeMap<String, String> =
        values().iter().map(|value| (value.to_string(), hex(&encode(value)))).collect();
    if std::env::var_os("SNAKEBRIDGE_UPDATE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&written).unwrap() + "\n";
        std::fs::write(file("host.json"), text).unwrap();
    }
    assert_eq!(written, read("host.json"));
}

#[test]
fn the_host_reads_what_it_writes() {
    for (shown, bytes) in read("host.json") {
        assert_eq!(decode(&unhex(&bytes)).to_string(), shown);
    }
}

#[test]
fn the_host_reads_what_a_worker_writes() {
    for (shown, bytes) in read("worker.json") {
        assert_eq!(decode(&unhex(&bytes)).to_string(), shown);
    }
}
