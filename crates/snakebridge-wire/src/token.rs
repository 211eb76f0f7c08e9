//! Names by which types of the `snakebridge` crate make themselves known to this codec.
//!
//! serde knows no sets, dates or refs. A type that is one of those serializes as a newtype struct
//! with a name from this module; the [`Encoder`](crate::Encoder) and the
//! [`Deserializer`](crate::Deserializer) recognise the name, any other format sees a plain newtype.
//! The names are Rust identifiers in our own source, so no data of a user can be taken for one.

/// What a marker on the wire stands for: a name in the module [`MARKER_MODULE`] of the worker,
/// applied to a tuple of plain values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Marker {
    /// `adapter(kind, callback)`: an object that is made around a callback; from the host only.
    Adapter,
    /// `array(dtype, shape, data)`: numpy's name of the type of its items, and the items in C order.
    Array,
    /// `bytes_(data)`: `bytes` in shared memory.
    Bytes,
    /// `complex(real, imag)`.
    Complex,
    /// `date(year, month, day)`.
    Date,
    /// `datetime(year, month, day, hour, minute, second, microsecond, fold, offset)`.
    DateTime,
    /// `decimal(text)`.
    Decimal,
    /// `plain(value)`: an instance of a subclass of a builtin, as the builtin value.
    Plain,
    /// `ref(id, module, qualname, traits)`.
    Ref,
    /// `table(kind, columns, data)`: a stream of Arrow's IPC format, or columns one by one.
    Table,
    /// `text(data)`: `str` in shared memory.
    Text,
    /// `time(hour, minute, second, microsecond, fold, offset)`.
    Time,
    /// `timedelta(days, seconds, microseconds)`.
    TimeDelta,
    /// `uuid(sixteen_bytes)`.
    Uuid,
}

/// The Python module that holds the markers. Nothing else is ever looked up by name on the wire.
pub const MARKER_MODULE: &str = "snakebridge_worker.markers";

impl Marker {
    /// All markers, in the order of their memo slots.
    pub const ALL: [Self; 14] = [
        Self::Adapter,
        Self::Array,
        Self::Bytes,
        Self::Complex,
        Self::Date,
        Self::DateTime,
        Self::Decimal,
        Self::Plain,
        Self::Ref,
        Self::Table,
        Self::Text,
        Self::Time,
        Self::TimeDelta,
        Self::Uuid,
    ];

    /// The name in [`MARKER_MODULE`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::Array => "array",
            Self::Bytes => "bytes_",
            Self::Complex => "complex_",
            Self::Date => "date",
            Self::DateTime => "datetime",
            Self::Decimal => "decimal",
            Self::Plain => "plain",
            Self::Ref => "ref",
            Self::Table => "table",
            Self::Text => "text",
            Self::Time => "time",
            Self::TimeDelta => "timedelta",
            Self::Uuid => "uuid",
        }
    }

    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|marker| marker.name().as_bytes() == name)
    }
}

/// A reader, writer or iterator; content: `(kind, callback)`. There is none to decode.
pub const ADAPTER: &str = "$snakebridge::Adapter";
/// An array; content: `(dtype, shape, data)`.
pub const ARRAY: &str = "$snakebridge::Array";
/// An integer of any size; content: its little-endian two's complement bytes.
pub const BIG_INT: &str = "$snakebridge::BigInt";
/// `bytes`, which may be in shared memory: then the content is `((id, length),)`, otherwise it is the bytes. To
/// decode only.
pub const BYTES: &str = "$snakebridge::Bytes";
/// A callback; content: its id, not 0. There is none to decode.
pub const CALLBACK: &str = "$snakebridge::Callback";
/// `complex`; content: `(f64, f64)`.
pub const COMPLEX: &str = "$snakebridge::Complex";
/// `datetime.date`; content: `(i32, u8, u8)`.
pub const DATE: &str = "$snakebridge::Date";
/// `datetime.datetime`; content: date fields, time fields, fold, offset in microseconds or none.
pub const DATE_TIME: &str = "$snakebridge::DateTime";
/// `decimal.Decimal`; content: `(text,)`.
pub const DECIMAL: &str = "$snakebridge::Decimal";
/// `frozenset`; content: a sequence.
pub const FROZEN_SET: &str = "$snakebridge::FrozenSet";
/// A ref; content when encoding: its id. When decoding see [`crate::Deserializer`].
pub const REF: &str = "$snakebridge::Ref";
/// `set`; content: a sequence.
pub const SET: &str = "$snakebridge::Set";
/// A table; content: `(kind, columns, data)`.
pub const TABLE: &str = "$snakebridge::Table";
/// `datetime.time`; content: time fields, fold, offset.
pub const TIME: &str = "$snakebridge::Time";
/// `datetime.timedelta`; content: `(days, seconds, microseconds)`.
pub const TIME_DELTA: &str = "$snakebridge::TimeDelta";
/// `uuid.UUID`; content: `(sixteen bytes,)`.
pub const UUID: &str = "$snakebridge::Uuid";
/// The dynamic value: asks the deserializer for an enum whose variants are [`Shape`]s.
pub const VALUE: &str = "$snakebridge::Value";

pub(crate) const PREFIX: &str = "$snakebridge::";

/// What kind of value stands at a place, as the variant index of the enum that answers [`VALUE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "each name is the Python type")]
#[expect(clippy::exhaustive_enums, reason = "hidden protocol between two crates of one version")]
pub enum Shape {
    None,
    Bool,
    Int,
    BigInt,
    Float,
    Str,
    Bytes,
    List,
    Tuple,
    Set,
    FrozenSet,
    Dict,
    Complex,
    Date,
    DateTime,
    Decimal,
    Time,
    TimeDelta,
    Uuid,
    Ref,
    Array,
    Table,
}

impl Shape {
    /// The Python name of the type.
    #[must_use]
    pub const fn python_name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool => "bool",
            Self::Int | Self::BigInt => "int",
            Self::Float => "float",
            Self::Str => "str",
            Self::Bytes => "bytes",
            Self::List => "list",
            Self::Tuple => "tuple",
            Self::Set => "set",
            Self::FrozenSet => "frozenset",
            Self::Dict => "dict",
            Self::Complex => "complex",
            Self::Date => "date",
            Self::DateTime => "datetime",
            Self::Decimal => "Decimal",
            Self::Time => "time",
            Self::TimeDelta => "timedelta",
            Self::Uuid => "UUID",
            Self::Ref => "ref",
            Self::Array => "array",
            Self::Table => "table",
        }
    }
}
