//! Numbers and ids that Rust has no type for.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use snakebridge_wire::token;

use super::{InvalidValue, serde_by_tuple};

/// A complex number, as Python's `complex`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "complete by nature")]
pub struct Complex {
    /// The real part.
    pub re: f64,
    /// The imaginary part.
    pub im: f64,
}

impl fmt::Display for Complex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}{:+}j)", self.re, self.im)
    }
}

impl Serialize for Complex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(token::COMPLEX, &(self.re, self.im))
    }
}

impl<'de> Deserialize<'de> for Complex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (re, im) = Deserialize::deserialize(deserializer)?;
        Ok(Self { re, im })
    }
}

/// A decimal number, as Python's `decimal.Decimal`: its text, digit by digit.
///
/// Equality is that of the texts: `1.0` and `1.00` differ, as they do in precision. To compute,
/// convert to a type of a library for that.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Decimal(Box<str>);

impl Decimal {
    /// The number as Python prints it: `1.50`, `1E+3`, `NaN`, `-Infinity`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Decimal {
    type Err = InvalidValue;

    /// Reads what Python's `Decimal` reads, without underscores and spaces.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match is_decimal(text) {
            true => Ok(Self(text.into())),
            false => Err(InvalidValue::new("a decimal is written like `-1.50`, `1E+3` or `NaN`")),
        }
    }
}

fn is_decimal(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = body.to_ascii_lowercase();
    if matches!(lower.as_str(), "inf" | "infinity") {
        return true;
    }
    if let Some(payload) = lower.strip_prefix("snan").or_else(|| lower.strip_prefix("nan")) {
        return digits(payload);
    }
    let (number, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let has_digits = whole.len() + fraction.len() > 0 && !exponent.is_empty();
    has_digits && digits(whole) && digits(fraction) && digits(exponent)
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decimal({})", self.0)
    }
}

serde_by_tuple!(
    Decimal,
    token::DECIMAL,
    "a Decimal",
    (String,),
    |number| (number.0.to_string(),),
    |(text,)| text.parse()
);

/// A UUID, as Python's `uuid.UUID`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// The UUID with these bytes, most significant first.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, most significant first.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for Uuid {
    type Err = InvalidValue;

    /// Reads 32 hexadecimal digits, with or without hyphens.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let error = || InvalidValue::new("a UUID is 32 hexadecimal digits");
        let digits: String = text.chars().filter(|letter| *letter != '-').collect();
        if digits.len() != 32 || digits.starts_with('+') {
            return Err(error());
        }
        let value = u128::from_str_radix(&digits, 16).map_err(|_| error())?;
        Ok(Self(value.to_be_bytes()))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from_be_bytes(self.0);
        let part = |from: u32, bits: u32| value >> (128 - from - bits) & ((1 << bits) - 1);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(0, 32),
            part(32, 16),
            part(48, 16),
            part(64, 16),
            part(80, 48)
        )
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

serde_by_tuple!(
    Uuid,
    token::UUID,
    "a UUID",
    (crate::Bytes,),
    |uuid| (crate::Bytes::from(uuid.0),),
    |(bytes,)| match bytes[..].try_into() {
        Ok(bytes) => Ok(Uuid(bytes)),
        Err(_) => Err(InvalidValue::new("a UUID has sixteen bytes")),
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        for good in ["0", "-0.0", "1.50", "1E+3", ".5", "5.", "NaN", "-Infinity", "sNaN12", "1e-9"]
        {
            assert!(is_decimal(good), "{good}");
        }
        for bad in ["", ".", "-", "1.2.3", "1e", "e5", "0x1", "1_0", " 1", "Infinite"] {
            assert!(!is_decimal(bad), "{bad}");
        }
    }

    #[test]
    fn uuids() {
        let text = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        let uuid: Uuid = text.parse().unwrap();
        assert_eq!(uuid.to_string(), text);
        assert_eq!(uuid.as_bytes()[0], 0x6b);
        assert!("6ba7b810".parse::<Uuid>().is_err());
    }
}
