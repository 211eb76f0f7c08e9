//! Python types that Rust has no counterpart for, exact in every field.
//!
//! Each can be an argument, a result, a part of either, and a variant of
//! [`Value`](crate::Value). Other serde formats see plain fields or text.

mod decimal;
mod integer;
mod set;
mod time;

pub use decimal::{Complex, Decimal, Uuid};
pub use integer::BigInt;
pub use set::{FrozenSet, Set};
pub use time::{Date, DateTime, Time, TimeDelta, UtcOffset};

/// An error of a conversion from text or numbers: what was wrong with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue(String);

impl InvalidValue {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidValue {}

/// Implements serde for a type whose fields travel as a tuple under a token.
macro_rules! serde_by_tuple {
    ($type:ident, $token:path, $python:literal, $tuple:ty, $to:expr, $from:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if !crate::scope::is_encoding() {
                    return serializer.collect_str(self);
                }
                let to: fn(&$type) -> $tuple = $to;
                serializer.serialize_newtype_struct($token, &to(self))
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($python)
                    }

                    fn visit_newtype_struct<D: serde::Deserializer<'de>>(
                        self,
                        deserializer: D,
                    ) -> Result<$type, D::Error> {
                        deserializer.deserialize_any(self)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_seq<A: serde::de::SeqAccess<'de>>(
                        self,
                        seq: A,
                    ) -> Result<$type, A::Error> {
                        let deserializer = serde::de::value::SeqAccessDeserializer::new(seq);
                        let fields: $tuple = serde::Deserialize::deserialize(deserializer)?;
                        let from: fn($tuple) -> Result<$type, crate::types::InvalidValue> = $from;
                        from(fields).map_err(serde::de::Error::custom)
                    }
                }
                deserializer.deserialize_newtype_struct($token, Visitor)
            }
        }
    };
}
pub(crate) use serde_by_tuple;
