//! Between values and Rust's own types.

use std::fmt;

use super::{Dict, Value};
use crate::Bytes;
use crate::refs::Ref;
use crate::types::{BigInt, Complex, Date, DateTime, Decimal, Time, TimeDelta, Uuid};

/// A value is of another type than was asked for.
#[derive(Clone, Debug)]
pub struct ValueError {
    expected: &'static str,
    found: Value,
}

impl ValueError {
    /// The value, which the conversion did not take.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.found
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found a Python `{}`", self.expected, self.found.type_name())
    }
}

impl std::error::Error for ValueError {}

macro_rules! from {
    ($($variant:ident: $($type:ty),*;)*) => {
        $($(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        })*)*
    };
}

from! {
    Bool: bool;
    Int: i8, i16, i32, i64, u8, u16, u32;
    Float: f32, f64;
    Str: &str, String, char, std::borrow::Cow<'_, str>;
    Bytes: Bytes;
    Dict: Dict;
    Complex: Complex;
    Date: Date;
    DateTime: DateTime;
    Decimal: Decimal;
    Time: Time;
    TimeDelta: TimeDelta;
    Uuid: Uuid;
    Ref: Ref;
}

macro_rules! from_wide {
    ($($type:ty)*) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                match i64::try_from(value) {
                    Ok(value) => Self::Int(value),
                    Err(_) => Self::BigInt(BigInt::from(value)),
                }
            }
        })*
    };
}

from_wide!(u64 i128 u128);

impl From<BigInt> for Value {
    fn from(value: BigInt) -> Self {
        match i64::try_from(&value) {
            Ok(small) => Self::Int(small),
            Err(_) => Self::BigInt(value),
        }
    }
}

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::None
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Self>, const N: usize> From<[T; N]> for Value {
    fn from(items: [T; N]) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

macro_rules! from_tuples {
    ($(($($name:ident)+))*) => {
        $(impl<$($name: Into<Value>),+> From<($($name,)+)> for Value {
            fn from(items: ($($name,)+)) -> Self {
                #[expect(non_snake_case, reason = "the type parameters name the fields")]
                let ($($name,)+) = items;
                Self::Tuple(vec![$($name.into()),+])
            }
        })*
    };
}

from_tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) }

impl<T: Into<Self>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

macro_rules! try_from {
    ($($variant:ident: $type:ty, $expected:literal;)*) => {
        $(impl TryFrom<Value> for $type {
            type Error = ValueError;

            fn try_from(value: Value) -> Result<Self, ValueError> {
                match value {
                    Value::$variant(value) => Ok(value),
                    found => Err(ValueError { expected: $expected, found }),
                }
            }
        })*
    };
}

try_from! {
    Bool: bool, "a bool";
    Int: i64, "an int of 64 bits";
    Float: f64, "a float";
    Str: String, "a str";
    Bytes: Bytes, "bytes";
    Dict: Dict, "a dict";
    Complex: Complex, "a complex";
    Date: Date, "a date";
    DateTime: DateTime, "a datetime";
    Decimal: Decimal, "a Decimal";
    Time: Time, "a time";
    TimeDelta: TimeDelta, "a timedelta";
    Uuid: Uuid, "a UUID";
    Ref: Ref, "a ref";
}

impl TryFrom<Value> for BigInt {
    type Error = ValueError;

    fn try_from(value: Value) -> Result<Self, ValueError> {
        match value {
            Value::Int(value) => Ok(value.into()),
            Value::BigInt(value) => Ok(value),
            found => Err(ValueError { expected: "an int", found }),
        }
    }
}

impl TryFrom<Value> for Vec<Value> {
    type Error = ValueError;

    /// Takes the items of a list, tuple, set or frozenset.
    fn try_from(value: Value) -> Result<Self, ValueError> {
        match value {
            Value::List(items)
            | Value::Tuple(items)
            | Value::Set(items)
            | Value::FrozenSet(items) => Ok(items),
            found => Err(ValueError { expected: "a list, tuple, set or frozenset", found }),
        }
    }
}
