//! Errors of the codec.

use std::fmt;

/// A Rust value that cannot be sent to Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError {
    message: String,
}

impl EncodeError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EncodeError {}

impl serde::ser::Error for EncodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

/// A value from Python that cannot be read, or not into the Rust type that was asked for.
///
/// Boxed, so that the `Result`s on the way of every nested value stay one word wide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    kind: DecodeErrorKind,
    message: String,
    /// Innermost segment first: segments are added while the error travels outwards.
    path: Vec<PathSegment>,
}

/// Why a value could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The value is sound, but does not fit the Rust type.
    Mismatch,
    /// The worker must encode the value again with more care.
    Careful(Careful),
    /// A limit of [`Limits`](crate::Limits) was exceeded.
    Limit,
    /// The bytes are not in the subset of pickle that the protocol allows.
    Malformed,
}

/// What the fast encoding of the worker could not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Careful {
    /// A ref where an array is wanted.
    Array,
    /// A container that contains itself.
    Cycle,
    /// Containers nested deeper than the limit.
    Depth,
    /// A marker object where a value was expected.
    Marker,
    /// Text with lone surrogates.
    Surrogate,
    /// A ref where a table is wanted.
    Table,
    /// More values than the limit once shared containers are expanded.
    Values,
}

/// One step of the path to the place where decoding failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathSegment {
    /// Position in a list, tuple or set.
    Index(usize),
    /// Key of a dict, as text.
    Key(String),
}

impl DecodeError {
    pub(crate) fn mismatch(message: impl Into<String>) -> Self {
        Self::new(DecodeErrorKind::Mismatch, message)
    }

    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(DecodeErrorKind::Malformed, message)
    }

    pub(crate) fn careful(reason: Careful) -> Self {
        let message = match reason {
            Careful::Array => "a ref where an array is wanted",
            Careful::Cycle => "the value contains itself",
            Careful::Depth => "the value is nested too deeply",
            Careful::Marker => "the value contains a marker of the worker",
            Careful::Surrogate => "text contains lone surrogates",
            Careful::Table => "a ref where a table is wanted",
            Careful::Values => "the value has too many parts",
        };
        Self::new(DecodeErrorKind::Careful(reason), message)
    }

    /// The worker may be able to send an array where it has sent a ref.
    pub(crate) fn wants_array(message: String) -> Self {
        Self::new(DecodeErrorKind::Careful(Careful::Array), message)
    }

    /// The worker may be able to send a table where it has sent a ref.
    pub(crate) fn wants_table(message: String) -> Self {
        Self::new(DecodeErrorKind::Careful(Careful::Table), message)
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(DecodeErrorKind::Limit, message)
    }

    fn new(kind: DecodeErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), path: Vec::new() }))
    }

    #[must_use]
    pub(crate) fn at(mut self, segment: PathSegment) -> Self {
        self.0.path.push(segment);
        self
    }

    /// Why it failed.
    #[must_use]
    pub fn kind(&self) -> DecodeErrorKind {
        self.0.kind
    }

    /// The text without the path.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where in the value it failed, written as Python would index it: `[3]["name"]`. Empty for
    /// the value as a whole.
    #[must_use]
    pub fn path(&self) -> String {
        use std::fmt::Write as _;
        let mut out = String::new();
        for segment in self.0.path.iter().rev() {
            // Writing to a String cannot fail.
            let _ = match segment {
                PathSegment::Index(index) => write!(out, "[{index}]"),
                PathSegment::Key(key) => write!(out, "[{key}]"),
            };
        }
        out
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if self.0.path.is_empty() {
            return Ok(());
        }
        write!(f, " at `{}`", self.path())
    }
}

impl std::error::Error for DecodeError {}

impl serde::de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::mismatch(message.to_string())
    }

    fn invalid_type(found: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::mismatch(format!("expected {expected}, found {}", Python(found)))
    }

    fn invalid_value(found: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::mismatch(format!("expected {expected}, found {}", Python(found)))
    }
}

/// Names what was found in Python's words, with a glimpse of short scalars.
struct Python<'a>(serde::de::Unexpected<'a>);

impl fmt::Display for Python<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use serde::de::Unexpected as U;
        match self.0 {
            U::Bool(true) => f.write_str("bool `True`"),
            U::Bool(false) => f.write_str("bool `False`"),
            U::Unsigned(value) => write!(f, "int `{value}`"),
            U::Signed(value) => write!(f, "int `{value}`"),
            U::Float(value) => write!(f, "float `{value}`"),
            U::Char(value) => write!(f, "str `{value}`"),
            U::Str(value) if value.chars().count() <= 40 => write!(f, "str `{value}`"),
            U::Str(value) => {
                let start: String = value.chars().take(40).collect();
                write!(f, "str `{start}`... ({} bytes)", value.len())
            }
            U::Bytes(value) => write!(f, "bytes of length {}", value.len()),
            U::Unit | U::Option => f.write_str("None"),
            U::Seq => f.write_str("a sequence"),
            U::Map => f.write_str("a dict"),
            other => write!(f, "{other}"),
        }
    }
}
