//! Values and dicts as arguments, and in other formats.

use serde::ser::{Serialize, SerializeMap as _, SerializeTuple as _, Serializer};

use super::{Dict, Value};
use crate::types::{FrozenSet, Set};

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::BigInt(value) => value.serialize(serializer),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Str(value) => serializer.serialize_str(value),
            Self::Bytes(value) => value.serialize(serializer),
            Self::List(items) => items.serialize(serializer),
            Self::Tuple(items) => {
                let mut tuple = serializer.serialize_tuple(items.len())?;
                for item in items {
                    tuple.serialize_element(item)?;
                }
                tuple.end()
            }
            Self::Set(items) => Set(items).serialize(serializer),
            Self::FrozenSet(items) => FrozenSet(items).serialize(serializer),
            Self::Dict(dict) => dict.serialize(serializer),
            Self::Complex(value) => value.serialize(serializer),
            Self::Date(value) => value.serialize(serializer),
            Self::DateTime(value) => value.serialize(serializer),
            Self::Decimal(value) => value.serialize(serializer),
            Self::Time(value) => value.serialize(serializer),
            Self::TimeDelta(value) => value.serialize(serializer),
            Self::Uuid(value) => value.serialize(serializer),
            Self::Ref(object) => object.serialize(serializer),
        }
    }
}

impl Serialize for Dict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
