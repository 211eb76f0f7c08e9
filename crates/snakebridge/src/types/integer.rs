//! Integers of any size.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use snakebridge_wire::{int_from_decimal, int_to_decimal, token};

use super::InvalidValue;

/// An integer of any size.
///
/// Holds the number exactly and converts it; to compute with it, convert it to a type of a library
/// for that, by [`to_le_bytes`](Self::to_le_bytes) or by its text.
///
/// ```
/// use snakebridge::{Bridge, types::BigInt};
///
/// let py = Bridge::new()?;
/// let big: BigInt = py.call("math", "factorial", (30,)).wait()?;
/// assert_eq!(big.to_string(), "265252859812191058636308480000000");
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BigInt {
    /// Two's complement, little-endian, as short as it can be: so equal numbers have equal bytes.
    bytes: Box<[u8]>,
}

impl BigInt {
    /// The number with these two's complement bytes, lowest first. No bytes are zero.
    #[must_use]
    pub fn from_le_bytes(bytes: &[u8]) -> Self {
        let mut bytes = bytes;
        while let [rest @ .., last] = bytes {
            let sign = rest.last().map_or(0, |byte| byte >> 7) * 0xff;
            if *last != sign {
                break;
            }
            bytes = rest;
        }
        Self { bytes: bytes.into() }
    }

    /// The two's complement bytes, lowest first, without bytes that only repeat the sign.
    #[must_use]
    pub fn to_le_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the number is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.bytes.last().is_some_and(|byte| byte & 0x80 != 0)
    }

    fn widen<const N: usize>(&self) -> Option<[u8; N]> {
        let mut wide = [if self.is_negative() { 0xff } else { 0 }; N];
        wide.get_mut(..self.bytes.len())?.copy_from_slice(&self.bytes);
        Some(wide)
    }
}

macro_rules! from_integers {
    ($($type:ty)*) => {
        $(impl From<$type> for BigInt {
            fn from(value: $type) -> Self {
                Self::from_le_bytes(&i128::from(value).to_le_bytes())
            }
        }

        impl TryFrom<&BigInt> for $type {
            type Error = InvalidValue;

            fn try_from(value: &BigInt) -> Result<Self, InvalidValue> {
                value.widen().map(i128::from_le_bytes).and_then(|wide| wide.try_into().ok()).ok_or_else(
                    || InvalidValue::new(format!("{value} is no {}", stringify!($type))),
                )
            }
        })*
    };
}

from_integers!(i8 i16 i32 i64 i128 u8 u16 u32 u64);

impl From<u128> for BigInt {
    fn from(value: u128) -> Self {
        let mut bytes = [0; 17];
        bytes[..16].copy_from_slice(&value.to_le_bytes());
        Self::from_le_bytes(&bytes)
    }
}

impl FromStr for BigInt {
    type Err = InvalidValue;

    /// Reads decimal digits with an optional sign.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        int_from_decimal(text)
            .map(|bytes| Self::from_le_bytes(&bytes))
            .ok_or_else(|| InvalidValue::new("an integer is decimal digits with an optional sign"))
    }
}

impl fmt::Display for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = int_to_decimal(&self.bytes);
        f.pad_integral(!self.is_negative(), "", text.trim_start_matches('-'))
    }
}

impl fmt::Debug for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for BigInt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !crate::scope::is_encoding() {
            return match i128::try_from(self) {
                Ok(value) => match i64::try_from(value) {
                    Ok(value) => serializer.serialize_i64(value),
                    Err(_) => serializer.serialize_i128(value),
                },
                Err(_) => serializer.collect_str(self),
            };
        }
        struct Raw<'a>(&'a [u8]);

        impl Serialize for Raw<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(self.0)
            }
        }
        serializer.serialize_newtype_struct(token::BIG_INT, &Raw(&self.bytes))
    }
}

impl<'de> Deserialize<'de> for BigInt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = BigInt;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<BigInt, D::Error> {
                deserializer.deserialize_any(self)
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<BigInt, E> {
                Ok(BigInt::from_le_bytes(bytes))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<BigInt, E> {
                Ok(value.into())
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<BigInt, E> {
                Ok(value.into())
            }

            fn visit_i128<E: de::Error>(self, value: i128) -> Result<BigInt, E> {
                Ok(value.into())
            }

            fn visit_u128<E: de::Error>(self, value: u128) -> Result<BigInt, E> {
                Ok(value.into())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<BigInt, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_newtype_struct(token::BIG_INT, Visitor)
    }
}
