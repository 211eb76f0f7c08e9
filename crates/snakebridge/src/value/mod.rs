//! The dynamic value: whatever Python gives, when its type is not known beforehand.

mod convert;
mod de;
mod dict;
mod ser;
mod show;

pub use convert::ValueError;
pub use dict::Dict;

use crate::Bytes;
use crate::refs::Ref;
use crate::types::{BigInt, Complex, Date, DateTime, Decimal, Time, TimeDelta, Uuid};

/// Any Python value, or a ref to an object that is none.
///
/// As an argument it becomes the same value again. Compares as Python does within a type: the order
/// of dicts and sets does not matter, `NaN` is not equal to itself. Prints as Python prints it.
///
/// ```
/// use snakebridge::{Bridge, Value};
///
/// let py = Bridge::new()?;
/// let found: Value = py.call("json", "loads", ("{\"a\": [1, 2.5, null]}",)).wait()?;
/// assert_eq!(found.to_string(), "{'a': [1, 2.5, None]}");
/// assert_eq!(found.get("a").and_then(|list| list.item(1)), Some(&Value::Float(2.5)));
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    #[default]
    None,
    /// `bool`.
    Bool(bool),
    /// An `int` of up to 64 bits.
    Int(i64),
    /// A larger `int`.
    BigInt(BigInt),
    /// `float`.
    Float(f64),
    /// `str`.
    Str(String),
    /// `bytes` or `bytearray`.
    Bytes(Bytes),
    /// `list`.
    List(Vec<Self>),
    /// `tuple`.
    Tuple(Vec<Self>),
    /// `set`, in no particular order.
    Set(Vec<Self>),
    /// `frozenset`, in no particular order.
    FrozenSet(Vec<Self>),
    /// `dict`, in its order.
    Dict(Dict),
    /// `complex`.
    Complex(Complex),
    /// `datetime.date`.
    Date(Date),
    /// `datetime.datetime`.
    DateTime(DateTime),
    /// `decimal.Decimal`.
    Decimal(Decimal),
    /// `datetime.time`.
    Time(Time),
    /// `datetime.timedelta`.
    TimeDelta(TimeDelta),
    /// `uuid.UUID`.
    Uuid(Uuid),
    /// An object that stays in Python.
    Ref(Ref),
}

impl Value {
    /// The name of the Python type: that of its class for a ref.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match self {
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::BigInt(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Set(_) => "set",
            Self::FrozenSet(_) => "frozenset",
            Self::Dict(_) => "dict",
            Self::Complex(_) => "complex",
            Self::Date(_) => "date",
            Self::DateTime(_) => "datetime",
            Self::Decimal(_) => "Decimal",
            Self::Time(_) => "time",
            Self::TimeDelta(_) => "timedelta",
            Self::Uuid(_) => "UUID",
            Self::Ref(object) => object.type_name(),
        }
    }

    /// Whether it is `None`.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Whether it is a ref, that is: the object stayed in Python.
    #[must_use]
    pub fn is_ref(&self) -> bool {
        matches!(self, Self::Ref(_))
    }

    /// The `bool`, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The `int`, if it is one of up to 64 bits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The `float`, if it is one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The text, if it is a `str`.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(value) => Some(value),
            _ => None,
        }
    }

    /// The data, if it is `bytes`.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(value) => Some(value),
            _ => None,
        }
    }

    /// The items of a list, tuple, set or frozenset.
    #[must_use]
    pub fn as_items(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) | Self::Tuple(items) | Self::Set(items) | Self::FrozenSet(items) => {
                Some(items)
            }
            _ => None,
        }
    }

    /// The dict, if it is one.
    #[must_use]
    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Self::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// The ref, if it is one.
    #[must_use]
    pub fn as_python_ref(&self) -> Option<&Ref> {
        match self {
            Self::Ref(object) => Some(object),
            _ => None,
        }
    }

    /// The item of a list or tuple at this position.
    #[must_use]
    pub fn item(&self, index: usize) -> Option<&Self> {
        match self {
            Self::List(items) | Self::Tuple(items) => items.get(index),
            _ => None,
        }
    }

    /// The value of a dict under this text.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_dict().and_then(|dict| dict.get(key))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::BigInt(a), Self::BigInt(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => a == b,
            (Self::Set(a), Self::Set(b)) | (Self::FrozenSet(a), Self::FrozenSet(b)) => {
                a == b || (a.len() == b.len() && a.iter().all(|item| b.contains(item)))
            }
            (Self::Dict(a), Self::Dict(b)) => a == b,
            (Self::Complex(a), Self::Complex(b)) => a == b,
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::DateTime(a), Self::DateTime(b)) => a == b,
            (Self::Decimal(a), Self::Decimal(b)) => a == b,
            (Self::Time(a), Self::Time(b)) => a == b,
            (Self::TimeDelta(a), Self::TimeDelta(b)) => a == b,
            (Self::Uuid(a), Self::Uuid(b)) => a == b,
            (Self::Ref(a), Self::Ref(b)) => a == b,
            _ => false,
        }
    }
}
