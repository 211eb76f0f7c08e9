//! Values there and back: nothing is lost, nothing is changed.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::OnceLock;

use common::{bridge, bridge_with, quiet};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use snakebridge::types::{
    BigInt, Complex, Date, DateTime, Decimal, FrozenSet, Set, Time, TimeDelta, UtcOffset, Uuid,
};
use snakebridge::value::Dict;
use snakebridge::{Bridge, Bytes, Ref, Value};

fn shared() -> &'static Bridge {
    static BRIDGE: OnceLock<Bridge> = OnceLock::new();
    BRIDGE.get_or_init(|| quiet().build().unwrap())
}

/// Sends a value to Python, where it becomes an object, and back.
fn echo<T: Serialize, R: serde::de::DeserializeOwned + 'static>(value: T) -> R {
    shared().call("copy", "copy", (value,)).wait().unwrap()
}

/// What Python makes of a value.
fn repr(value: impl Serialize) -> String {
    shared().call("builtins", "repr", (value,)).wait().unwrap()
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i128>().prop_map(Value::from),
        any::<f64>().prop_filter("is not equal to itself", |x| !x.is_nan()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|data| Value::from(Bytes::from(data))),
        prop::collection::vec(any::<u8>(), 9..80)
            .prop_map(|data| Value::from(BigInt::from_le_bytes(&data))),
        (any::<u16>(), 1..=12u8, 1..=28u8)
            .prop_map(|(y, m, d)| { Value::from(Date::new(y % 9999 + 1, m, d).unwrap()) }),
        time().prop_map(Value::from),
        (any::<u16>(), time()).prop_map(|(year, time)| {
            let date = Date::new(year % 9997 + 2, 6, 15).unwrap();
            Value::from(DateTime { date, time })
        }),
        (-999_999_999..=999_999_999i32, 0..86_400u32, 0..1_000_000u32)
            .prop_map(|(d, s, us)| Value::from(TimeDelta::new(d, s, us).unwrap())),
        (any::<i64>(), -50..50i32).prop_map(|(digits, exponent)| {
            Value::from(format!("{digits}E{exponent:+}").parse::<Decimal>().unwrap())
        }),
        any::<[u8; 16]>().prop_map(|bytes| Value::from(Uuid::from_bytes(bytes))),
        (any::<i32>(), any::<i32>()).prop_map(|(re, im)| {
            Value::from(Complex { re: re.into(), im: f64::from(im) / 7.0 })
        }),
    ]
}

fn time() -> impl Strategy<Value = Time> {
    let offset = prop::option::of(-86_399_999_999i64..86_400_000_000);
    (0..24u8, 0..60u8, 0..60u8, 0..1_000_000u32, any::<bool>(), offset).prop_map(
        |(hour, minute, second, micros, fold, offset)| {
            let offset = offset.map(|micros| UtcOffset::from_micros(micros).unwrap());
            Time::new(hour, minute, second, micros).unwrap().with_fold(fold).with_offset(offset)
        },
    )
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(5, 60, 8, |inner| {
        let items = prop::collection::vec(inner.clone(), 0..8);
        prop_oneof![
            items.clone().prop_map(Value::List),
            items.prop_map(Value::Tuple),
            prop::collection::btree_set(any::<i32>(), 0..6)
                .prop_map(|set| Value::Set(set.into_iter().map(Value::from).collect())),
            prop::collection::btree_set(any::<String>(), 0..6)
                .prop_map(|set| Value::FrozenSet(set.into_iter().map(Value::from).collect())),
            prop::collection::btree_map(any::<String>(), inner.clone(), 0..6)
                .prop_map(|map| Value::Dict(map.into_iter().collect())),
            prop::collection::btree_map(any::<(i16, bool)>(), inner, 0..6)
                .prop_map(|map| Value::Dict(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_value_comes_back_as_it_was(value in value()) {
        // A list, so that `copy` does not hand back what it was given.
        let back: Vec<Value> = echo(vec![&value]);
        prop_assert_eq!(&back[0], &canonical(&value));
    }

    #[test]
    fn integers_of_every_width(a: i8, b: u16, c: i32, d: u64, e: i128, f: u128) {
        let back: (i8, u16, i32, u64, i128, u128) = echo((a, b, c, d, e, f));
        prop_assert_eq!(back, (a, b, c, d, e, f));
    }

    #[test]
    fn floats_bit_by_bit(bits: u64) {
        let value = f64::from_bits(bits);
        let back: f64 = echo(value);
        prop_assert!(back.to_bits() == bits || (value.is_nan() && back.is_nan()));
    }
}

/// Decimal writes its exponent in a way of its own.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Decimal(number) => {
            shared().call("decimal", "Decimal", (number.as_str(),)).wait().unwrap()
        }
        Value::List(items) => Value::List(items.iter().map(canonical).collect()),
        Value::Tuple(items) => Value::Tuple(items.iter().map(canonical).collect()),
        Value::Dict(dict) => {
            dict.iter().map(|(key, value)| (key.clone(), canonical(value))).collect::<Dict>().into()
        }
        other => other.clone(),
    }
}

#[test]
fn rust_types_become_the_right_python_types() {
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct Meters(f64);
    #[derive(Serialize)]
    struct Pair(i32, &'static str);
    #[derive(Serialize)]
    struct Record {
        id: u8,
        name: Option<char>,
    }
    #[derive(Serialize)]
    enum Shape {
        Empty,
        Circle(f64),
        Line(i32, i32),
        Box { width: i32 },
    }
    assert_eq!(repr(()), "None");
    assert_eq!(repr(Unit), "None");
    assert_eq!(repr(None::<i32>), "None");
    assert_eq!(repr(Some(1)), "1");
    assert_eq!(repr(true), "True");
    assert_eq!(repr(u64::MAX), "18446744073709551615");
    assert_eq!(repr(i128::MIN), "-170141183460469231731687303715884105728");
    assert_eq!(repr(u128::MAX), "340282366920938463463374607431768211455");
    assert_eq!(repr(0.1_f32), "0.10000000149011612");
    assert_eq!(repr('é'), "'é'");
    assert_eq!(repr("x"), "'x'");
    assert_eq!(repr(Bytes::from(b"x")), "b'x'");
    assert_eq!(repr([1, 2]), "(1, 2)", "serde takes arrays for tuples");
    assert_eq!(repr(vec![1, 2]), "[1, 2]");
    assert_eq!(repr((1,)), "(1,)");
    assert_eq!(repr(Meters(1.5)), "1.5");
    assert_eq!(repr(Pair(1, "a")), "(1, 'a')");
    assert_eq!(repr(Record { id: 1, name: Some('A') }), "{'id': 1, 'name': 'A'}");
    assert_eq!(repr(Shape::Empty), "'Empty'");
    assert_eq!(repr(Shape::Circle(1.0)), "{'Circle': 1.0}");
    assert_eq!(repr(Shape::Line(1, 2)), "{'Line': (1, 2)}");
    assert_eq!(repr(Shape::Box { width: 3 }), "{'Box': {'width': 3}}");
    assert_eq!(repr(BTreeMap::from([((0, 1), "a")])), "{(0, 1): 'a'}");
    assert_eq!(repr(Set(vec![1, 1])), "{1}");
    assert_eq!(repr(FrozenSet([1])), "frozenset({1})");
    assert_eq!(repr(Complex { re: -0.0, im: 1.0 }), "(-0+1j)");
    assert_eq!(repr("1.50".parse::<Decimal>().unwrap()), "Decimal('1.50')");
}

#[test]
fn python_types_become_the_right_rust_types() {
    #[derive(Debug, PartialEq, Deserialize)]
    enum Shape {
        Empty,
        Circle(f64),
        Box { width: i32 },
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Point {
        x: i32,
        y: Option<f64>,
        #[serde(default)]
        label: String,
    }
    let py = shared();
    let eval = |code: &str| py.call::<Value>("builtins", "eval", (code,));
    fn read<T: serde::de::DeserializeOwned + 'static>(code: &str) -> T {
        shared().call("builtins", "eval", (code,)).wait().unwrap()
    }
    assert_eq!(read::<Shape>("'Empty'"), Shape::Empty);
    assert_eq!(read::<Shape>("{'Circle': 2}"), Shape::Circle(2.0));
    assert_eq!(read::<Shape>("{'Box': {'width': 3}}"), Shape::Box { width: 3 });
    let point = Point { x: 1, y: None, label: String::new() };
    assert_eq!(read::<Point>("{'x': 1, 'y': None}"), point);
    let code = "__import__('collections').namedtuple('P', 'x y label')(1, 2.5, 'a')";
    assert_eq!(read::<Point>(code), Point { x: 1, y: Some(2.5), label: "a".to_owned() });
    assert_eq!(read::<HashSet<i32>>("{1, 2}"), HashSet::from([1, 2]));
    assert_eq!(read::<Vec<u8>>("b'ab'"), b"ab");
    assert_eq!(read::<Vec<u8>>("[97, 98]"), b"ab");
    assert_eq!(read::<[i32; 2]>("[1, 2]"), [1, 2]);
    assert_eq!(read::<HashMap<(i32, i32), String>>("{(0, 0): 'o'}")[&(0, 0)], "o");
    assert_eq!(read::<char>("'é'"), 'é');
    assert_eq!(read::<String>("__import__('datetime').date(2024, 2, 29)"), "2024-02-29");
    assert_eq!(read::<String>("__import__('decimal').Decimal('1.50')"), "1.50");
    assert_eq!(read::<(f64, f64)>("1-2j"), (1.0, -2.0));
    assert_eq!(
        read::<BigInt>("2 ** 200"),
        "1606938044258990275541962092341162602522202993782792835301376".parse().unwrap()
    );
    assert_eq!(read::<f32>("0.1"), 0.1);
    assert!(read::<f64>("float('nan')").is_nan());
    assert_eq!(eval("1e39").wait().unwrap(), Value::from(1e39));
    assert!(py.call::<f32>("builtins", "eval", ("1e39",)).wait().is_err());
    assert!(py.call::<i64>("builtins", "eval", ("True",)).wait().is_err());
    assert!(py.call::<bool>("builtins", "eval", ("1",)).wait().is_err());
}

#[test]
fn refs_inside_of_everything() {
    #[derive(Deserialize)]
    struct Found {
        name: String,
        handle: Ref,
        others: Vec<Ref>,
        maybe: Option<Ref>,
    }
    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only which variant it is matters")]
    enum Either {
        Number(i64),
        Object(Ref),
        Text(String),
    }
    let (py, _folder) = bridge_with(
        "class Thing:\n    pass\none = Thing()\n\
         def found(): return {'name': 'x', 'handle': one, 'others': [one, Thing()], 'maybe': None}\n\
         def mixed(): return [1, one, 'a', {'$snakebridge::Ref': (0, 0)}]\n\
         def keyed(): return {one: {one}}\n\
         def number(): return {'$serde_json::private::Number': '5'}\n",
    );
    let found: Found = py.call("fixture", "found", ()).wait().unwrap();
    assert_eq!((found.name.as_str(), found.handle.type_name()), ("x", "Thing"));
    assert!(found.maybe.is_none());
    assert_eq!(found.others[0], found.handle, "one object, one ref");
    assert_ne!(found.others[1], found.handle);
    let same: bool = py.call("operator", "is_", (&found.handle, &found.others[0])).wait().unwrap();
    assert!(same);

    let error = py.call::<Vec<Either>>("fixture", "mixed", ()).wait().unwrap_err();
    assert!(error.to_string().contains("did not match any variant"), "{error}");
    let mixed: Vec<Value> = py.call("fixture", "mixed", ()).wait().unwrap();
    assert!(mixed[1].is_ref() && !mixed[3].is_ref(), "data that looks like a ref is data");
    let number: Value = py.call("fixture", "number", ()).wait().unwrap();
    assert!(number.as_dict().is_some(), "{number}");
    let one: Either = py.get("fixture", "one").wait().unwrap();
    assert!(matches!(one, Either::Object(thing) if thing.type_name() == "Thing"));

    let keyed: Value = py.call("fixture", "keyed", ()).wait().unwrap();
    let back: bool = py
        .call("operator", "eq", (keyed, py.call::<Ref>("fixture", "keyed", ()).wait().unwrap()))
        .wait()
        .unwrap();
    assert!(back, "refs in keys and sets go back as the same objects");
}

#[test]
fn what_the_fast_way_cannot_say() {
    let (py, _folder) = bridge_with(
        "def cycle():\n    loop = [1]\n    loop.append(loop)\n    return loop\n\
         def nest(depth):\n    value = []\n    for _ in range(depth): value = [value]\n    return value\n\
         def surrogates(): return {'good': 'é', 'bad': '\\ud800', 'deep': [('\\udfff',)]}\n\
         def bomb():\n    value = [0] * 100\n    for _ in range(20): value = [value] * 100\n    return value\n\
         def tuples():\n    inner = []\n    outer = (inner,)\n    inner.append(outer)\n    return outer\n\
         marker = __import__('snakebridge_worker.markers').markers.date\n\
         def markers(): return [marker, 1]\n",
    );
    let read = |name: &str| py.call::<Value>("fixture", name, ()).wait().unwrap();
    let cycle = read("cycle");
    assert_eq!(cycle.item(0), Some(&Value::from(1)));
    assert_eq!(cycle.item(1).unwrap().type_name(), "list");
    assert!(cycle.item(1).unwrap().is_ref());
    assert!(read("tuples").item(0).unwrap().item(0).unwrap().is_ref());
    let text = read("surrogates");
    assert_eq!(text.get("good"), Some(&Value::from("é")));
    assert!(text.get("bad").unwrap().is_ref());
    let bad = text.get("bad").unwrap().clone();
    assert_eq!(py.call::<i64>("builtins", "ord", (bad,)).wait().unwrap(), 0xd800);
    for depth in [150, 250, 900, 5000, 100_000] {
        let mut value = &py.call::<Value>("fixture", "nest", (depth,)).wait().unwrap();
        let mut levels = 0;
        while let Some(inner) = value.item(0) {
            (value, levels) = (inner, levels + 1);
        }
        assert!(levels == depth || value.is_ref(), "{depth}: {levels}");
    }
    let bomb = py.call::<Value>("fixture", "bomb", ()).wait().unwrap();
    assert!(bomb.is_ref() || bomb.as_items().is_some());
    let markers = read("markers");
    assert_eq!(markers.item(0).unwrap().type_name(), "function");
    assert_eq!(py.call::<f64>("math", "sqrt", (4,)).wait().unwrap(), 2.0);
}

#[test]
fn deep_arguments_are_refused_and_nothing_breaks() {
    let py = bridge();
    let mut deep = Value::from(1);
    for _ in 0..150 {
        deep = Value::List(vec![deep]);
    }
    let back: Value = py.call("copy", "copy", (&deep,)).wait().unwrap();
    assert_eq!(back, deep);
    for _ in 0..100 {
        deep = Value::List(vec![deep]);
    }
    let error = py.call::<Value>("copy", "copy", (&deep,)).wait().unwrap_err();
    assert!(error.to_string().contains("nested deeper than 200 levels"), "{error}");
    let one: i64 = py.call("builtins", "int", (1,)).wait().unwrap();
    assert_eq!(one, 1);
}

#[test]
fn values_in_other_formats() {
    let value: Value =
        serde_json::from_str(r#"{"a": [1, -2, 2.5, null, true, "x", 18446744073709551616]}"#)
            .unwrap();
    assert_eq!(value.to_string(), "{'a': [1, -2, 2.5, None, True, 'x', 18446744073709551616]}");
    let date = Value::from(Date::new(2024, 2, 29).unwrap());
    assert_eq!(serde_json::to_string(&date).unwrap(), r#""2024-02-29""#);
    let date: Date = serde_json::from_str(r#""2024-02-29""#).unwrap();
    assert_eq!(date.month(), 2);
    let uuid: Uuid = serde_json::from_str(r#""6ba7b810-9dad-11d1-80b4-00c04fd430c8""#).unwrap();
    assert_eq!(serde_json::to_string(&uuid).unwrap(), r#""6ba7b810-9dad-11d1-80b4-00c04fd430c8""#);
    assert!(serde_json::from_str::<Ref>(r#"{"$snakebridge::Ref": [0, 0]}"#).is_err());
    assert!(serde_json::from_str::<Ref>("7").is_err());
}

#[test]
fn methods_of_values_with_arguments_of_every_form() {
    let py = shared();
    let dict = Value::from(Dict::from([("name", 1), ("other", 2)]));
    let args = snakebridge::Args::new().arg("name").arg(&dict);
    assert_eq!(py.method::<i64>(&dict, "get", args).wait().unwrap(), 1);
    let other = Value::from(Dict::from([("name", "x")]));
    let args = snakebridge::args![&other, more = &other];
    py.method::<()>(&dict, "update", args).wait().unwrap();
    let date = Date::new(2024, 2, 29).unwrap();
    let moved: Date = py.method(date, "replace", snakebridge::args![year = 2028]).wait().unwrap();
    assert_eq!(moved.year(), 2028);
    assert_eq!(py.attr::<i32>(date, "month").wait().unwrap(), 2);
}

#[test]
fn a_serialize_that_makes_calls_itself() {
    struct Lazy;
    impl Serialize for Lazy {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let list: Ref = shared().call("builtins", "list", ([1],)).wait().unwrap();
            let length = list.len().wait().unwrap();
            serializer.serialize_u64(length as u64)
        }
    }
    let list: Ref = shared().call("builtins", "list", ([5],)).wait().unwrap();
    let text = repr((&list, Lazy, &list));
    assert_eq!(text, "([5], 1, [5])");
}
