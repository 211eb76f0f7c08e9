//! What errors say of values and of what was expected.

use std::fmt;

use serde::de::{Unexpected, Visitor};

use crate::decimal::int_to_decimal;
use crate::error::DecodeError;

pub(super) fn inexact(value: i64, target: &str) -> DecodeError {
    DecodeError::mismatch(format!("int `{value}` cannot be {target} without loss"))
}

/// The first digits of a large integer.
pub(super) struct Glimpse<'a>(pub(super) &'a [u8]);

impl fmt::Display for Glimpse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() > 32 {
            return write!(f, "of {} bytes", self.0.len());
        }
        f.write_str(&int_to_decimal(self.0))
    }
}

pub(super) struct Expecting<'a, V>(pub(super) &'a V);

impl<'de, V: Visitor<'de>> fmt::Display for Expecting<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

pub(super) struct Found<'a>(pub(super) Unexpected<'a>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unexpected::Unit => f.write_str("`None`"),
            Unexpected::Bool(_) => f.write_str("of type `bool`"),
            Unexpected::Signed(_) => f.write_str("of type `int`"),
            Unexpected::Float(_) => f.write_str("of type `float`"),
            Unexpected::Str(_) => f.write_str("of type `str`"),
            Unexpected::Bytes(_) => f.write_str("of type `bytes`"),
            Unexpected::Other(name) => write!(f, "of type `{name}`"),
            other => write!(f, "{other}"),
        }
    }
}
