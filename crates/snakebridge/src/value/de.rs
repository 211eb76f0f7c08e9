//! Values and dicts from results, and from other formats.

use std::fmt;

use serde::de::{
    Deserialize, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use snakebridge_wire::token::{self, Shape};

use super::{Dict, Value};
use crate::scope;
use crate::types::BigInt;

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(token::VALUE, AnyValue)
    }
}

impl<'de> Deserialize<'de> for Dict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

/// Our own codec answers with an enum that says which shape the value has; other formats with
/// whatever they hold.
struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Value, A::Error> {
        let (shape, content): (u8, _) = data.variant()?;
        const ALL: [Shape; 22] = [
            Shape::None,
            Shape::Bool,
            Shape::Int,
            Shape::BigInt,
            Shape::Float,
            Shape::Str,
            Shape::Bytes,
            Shape::List,
            Shape::Tuple,
            Shape::Set,
            Shape::FrozenSet,
            Shape::Dict,
            Shape::Complex,
            Shape::Date,
            Shape::DateTime,
            Shape::Decimal,
            Shape::Time,
            Shape::TimeDelta,
            Shape::Uuid,
            Shape::Ref,
            Shape::Array,
            Shape::Table,
        ];
        let shape = ALL.get(usize::from(shape)).copied();
        match shape.ok_or_else(|| A::Error::custom("unknown shape of a value"))? {
            Shape::None => content.unit_variant().map(|()| Value::None),
            Shape::Bool => content.newtype_variant().map(Value::Bool),
            Shape::Int => content.newtype_variant().map(Value::Int),
            Shape::BigInt => content.newtype_variant().map(Value::BigInt),
            Shape::Float => content.newtype_variant().map(Value::Float),
            Shape::Str => content.newtype_variant().map(Value::Str),
            Shape::Bytes => content.newtype_variant().map(Value::Bytes),
            Shape::List => content.tuple_variant(0, Items).map(Value::List),
            Shape::Tuple => content.tuple_variant(0, Items).map(Value::Tuple),
            Shape::Set => content.tuple_variant(0, Items).map(Value::Set),
            Shape::FrozenSet => content.tuple_variant(0, Items).map(Value::FrozenSet),
            Shape::Dict => content.struct_variant(&[], Entries).map(Value::Dict),
            Shape::Complex => content.newtype_variant().map(Value::Complex),
            Shape::Date => content.newtype_variant().map(Value::Date),
            Shape::DateTime => content.newtype_variant().map(Value::DateTime),
            Shape::Decimal => content.newtype_variant().map(Value::Decimal),
            Shape::Time => content.newtype_variant().map(Value::Time),
            Shape::TimeDelta => content.newtype_variant().map(Value::TimeDelta),
            Shape::Uuid => content.newtype_variant().map(Value::Uuid),
            Shape::Ref => content.newtype_variant().map(Value::Ref),
            Shape::Array => Err(A::Error::custom(
                "an array stands where any value may: ask for an `Array`, or for all of them by ref",
            )),
            Shape::Table => Err(A::Error::custom(
                "a table stands where any value may: ask for a `Table`, or for all of them by ref",
            )),
        }
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        Ok(BigInt::from(value).into())
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        Ok(BigInt::from(value).into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Value, A::Error> {
        Items.visit_seq(seq).map(Value::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        let dict = Entries.visit_map(map)?;
        let meant = single_entry(&dict).and_then(|(key, content)| match key {
            token::REF => claimed_ref(content),
            JSON_NUMBER => json_number(content),
            _ => None,
        });
        Ok(meant.unwrap_or(Value::Dict(dict)))
    }
}

fn single_entry(dict: &Dict) -> Option<(&str, &Value)> {
    let mut entries = dict.iter();
    match (entries.next(), entries.next()) {
        (Some((Value::Str(key), content)), None) => Some((key, content)),
        _ => None,
    }
}

/// A ref that comes through a buffer of serde, as with `flatten`. Its key proves that it is one.
fn claimed_ref(content: &Value) -> Option<Value> {
    let Value::List(parts) = content else { return None };
    let number = |part: &Value| match part {
        Value::Int(value) => u64::try_from(*value).ok(),
        Value::BigInt(value) => u64::try_from(value).ok(),
        _ => None,
    };
    let [key, place] = &parts[..] else { return None };
    scope::claim(number(key)?, number(place)?).map(Value::Ref)
}

const JSON_NUMBER: &str = "$serde_json::private::Number";

/// The number that `serde_json` hands over as a map of one text, where its feature
/// `arbitrary_precision` is on. Our own codec comes here only through buffers of serde.
fn json_number(content: &Value) -> Option<Value> {
    let Value::Str(text) = content else { return None };
    match text.parse::<BigInt>() {
        Ok(integer) => Some(integer.into()),
        Err(_) => text.parse::<f64>().ok().map(Value::Float),
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Dict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dict")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Dict, A::Error> {
        let mut dict = Dict::with_capacity(capacity(map.size_hint()));
        while let Some((key, value)) = map.next_entry()? {
            dict.push(key, value);
        }
        Ok(dict)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Value>, A::Error> {
        let mut items = Vec::with_capacity(capacity(seq.size_hint()));
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}

/// A hint may come from anywhere; memory is given out in steps.
fn capacity(hint: Option<usize>) -> usize {
    hint.unwrap_or(0).min(1 << 16)
}
