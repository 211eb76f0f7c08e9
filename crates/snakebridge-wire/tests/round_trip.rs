//! What is written is what is read, for every shape of serde's data model.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use snakebridge_wire::{Careful, DecodeErrorKind, Encoder, Limits, Tape};

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.value(value).unwrap();
    encoder.finish()
}

fn back<T: Serialize + for<'de> Deserialize<'de>>(value: &T) -> T {
    Tape::scan(&encode(value), Limits::DEFAULT).unwrap().decode().unwrap()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Number(i64),
    Pair(u8, Option<String>),
    Branch { left: Box<Self>, right: Vec<Self> },
    Map(BTreeMap<String, Self>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Leaf),
        any::<i64>().prop_map(Tree::Number),
        any::<(u8, Option<String>)>().prop_map(|(a, b)| Tree::Pair(a, b)),
    ];
    leaf.prop_recursive(6, 80, 6, |inner| {
        prop_oneof![
            (inner.clone(), prop::collection::vec(inner.clone(), 0..6))
                .prop_map(|(left, right)| Tree::Branch { left: Box::new(left), right }),
            prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(Tree::Map),
        ]
    })
}

proptest! {
    #[test]
    fn trees(tree in tree()) {
        prop_assert_eq!(back(&tree), tree);
    }

    #[test]
    fn scalars(
        a: (i8, i16, i32, i64, i128),
        b: (u8, u16, u32, u64, u128),
        c: (bool, char, String),
    ) {
        prop_assert_eq!(back(&(a, b, c.clone())), (a, b, c));
    }

    #[test]
    fn floats(bits: u64) {
        let value = f64::from_bits(bits);
        prop_assert_eq!(back(&value).to_bits(), bits);
    }

    #[test]
    fn maps(map in prop::collection::btree_map(any::<(i32, bool)>(), any::<Vec<u8>>(), 0..40)) {
        prop_assert_eq!(back(&map), map);
    }

    #[test]
    fn cut_off_values_are_errors(tree in tree(), cut in any::<prop::sample::Index>()) {
        let bytes = encode(&tree);
        let cut = cut.index(bytes.len());
        prop_assert!(Tape::scan(&bytes[..cut], Limits::DEFAULT).is_err());
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        snakebridge_wire::fuzzing::decode(&bytes);
    }
}

#[test]
fn names_outside_of_the_list_are_refused() {
    for body in [
        &b"cos\nsystem\n."[..],
        b"\x8c\x02os\x8c\x06system\x93.",
        b"\x8c\x02os\x8c\x06system\x93)R.",
    ] {
        let error = Tape::scan(body, Limits::DEFAULT).unwrap_err();
        assert_eq!(error.kind(), DecodeErrorKind::Malformed, "{error}");
    }
}

#[test]
fn depth_is_limited() {
    // A list in a list in a list: 201 levels, then 200.
    let deep = [vec![b']'; 201], vec![b'a'; 200], vec![b'.']].concat();
    let tape = Tape::scan(&deep, Limits::DEFAULT).unwrap();
    let error = tape.decode::<serde_json::Value>().unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::Careful(Careful::Depth));
    let shallow = [vec![b']'; 200], vec![b'a'; 199], vec![b'.']].concat();
    Tape::scan(&shallow, Limits::DEFAULT).unwrap().decode::<serde_json::Value>().unwrap();
}

#[test]
fn the_number_of_values_is_limited() {
    let many = encode(&vec![0; 1000]);
    let error = Tape::scan(&many, Limits::DEFAULT.with_values(1000)).unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::Limit);
    Tape::scan(&many, Limits::DEFAULT.with_values(1001)).unwrap();

    // Ten lists, each holding the one before ten times: a few bytes, 10^10 values.
    let mut body = b"K\x00\x94".to_vec();
    for level in 0..10_u8 {
        body.extend_from_slice(b"0](");
        for _ in 0..10 {
            body.extend_from_slice(&[b'h', level]);
        }
        body.extend_from_slice(b"e\x94");
    }
    body.push(b'.');
    let error = Tape::scan(&body, Limits::DEFAULT).unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::Careful(Careful::Values));
}

#[test]
fn long_text_that_is_shared_is_weighed() {
    let text = "x".repeat(1 << 16);
    let mut shared = b"]\x94(".to_vec();
    shared.extend_from_slice(b"X\0\0\x01\0");
    shared.extend_from_slice(text.as_bytes());
    shared.push(b'\x94');
    // As often as it takes to be 64 GiB.
    shared.extend(b"h\x01".repeat(1 << 20));
    shared.extend_from_slice(b"e.");
    let error = Tape::scan(&shared, Limits::DEFAULT).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::Careful(Careful::Values));
    // A few times is honest use, and so is much text that is there but once.
    let few = [&shared[..shared.len() - (2 << 20) - 2 + 2000], b"e."].concat();
    let texts: Vec<String> = Tape::scan(&few, Limits::DEFAULT).unwrap().decode().unwrap();
    assert!(texts.len() == 1001 && texts[1000] == text);
    let limits = Limits::DEFAULT.with_values(100);
    assert!(Tape::scan(&encode(&vec![text.clone(); 10]), limits).is_ok());
}

#[test]
fn cycles_and_surrogates_ask_for_care() {
    let cycle = b"]\x94h\x00a.";
    let error = Tape::scan(cycle, Limits::DEFAULT).unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::Careful(Careful::Cycle));
    let surrogate = b"\x8c\x03\xed\xa0\x80.";
    let error = Tape::scan(surrogate, Limits::DEFAULT).unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::Careful(Careful::Surrogate));
}

#[test]
fn the_path_to_what_does_not_fit() {
    let data = BTreeMap::from([("rows", vec![(1, "a"), (2, "b")])]);
    let bytes = encode(&data);
    let tape = Tape::scan(&bytes, Limits::DEFAULT).unwrap();
    let error = tape.decode::<BTreeMap<String, Vec<(i32, i32)>>>().unwrap_err();
    assert_eq!(error.to_string(), r#"expected i32, found str `a` at `["rows"][0][1]`"#);
}
