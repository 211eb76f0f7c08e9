//! Values as Python prints them.

use std::fmt::{self, Write as _};

use super::{Dict, Value};

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Int(value) => write!(f, "{value}"),
            Self::BigInt(value) => write!(f, "{value}"),
            Self::Float(value) => float(f, *value),
            Self::Str(value) => text(f, value),
            Self::Bytes(value) => bytes(f, value),
            Self::List(list) => items(f, "[", list, "]"),
            Self::Tuple(tuple) => match &tuple[..] {
                [one] => write!(f, "({one},)"),
                _ => items(f, "(", tuple, ")"),
            },
            Self::Set(set) if set.is_empty() => f.write_str("set()"),
            Self::Set(set) => items(f, "{", set, "}"),
            Self::FrozenSet(set) if set.is_empty() => f.write_str("frozenset()"),
            Self::FrozenSet(set) => items(f, "frozenset({", set, "})"),
            Self::Dict(dict) => write!(f, "{dict}"),
            Self::Complex(value) => write!(f, "{value}"),
            Self::Date(value) => write!(f, "{value:?}"),
            Self::DateTime(value) => write!(f, "{value:?}"),
            Self::Decimal(value) => write!(f, "Decimal('{value}')"),
            Self::Time(value) => write!(f, "{value:?}"),
            Self::TimeDelta(value) => write!(f, "{value:?}"),
            Self::Uuid(value) => write!(f, "UUID('{value}')"),
            Self::Ref(object) => write!(f, "{object:?}"),
        }
    }
}

/// The same as `Display`: it is what a person wants to read.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Dict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (place, (key, value)) in self.iter().enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            write!(f, "{separator}{key}: {value}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Dict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn items(f: &mut fmt::Formatter<'_>, open: &str, list: &[Value], close: &str) -> fmt::Result {
    f.write_str(open)?;
    for (place, item) in list.iter().enumerate() {
        let separator = if place == 0 { "" } else { ", " };
        write!(f, "{separator}{item}")?;
    }
    f.write_str(close)
}

/// Python's shortest form that reads back as the same float: `1.0`, `1e+16`, `1e-05`, `inf`.
fn float(f: &mut fmt::Formatter<'_>, value: f64) -> fmt::Result {
    if !value.is_finite() {
        return f.write_str(&value.to_string().to_lowercase());
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        return write!(f, "{value:?}");
    }
    // Rust writes `1e16` and `1e-5`.
    let shortest = format!("{value:e}");
    match shortest.split_once('e') {
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => write!(f, "{digits}e-{exponent:0>2}"),
            None => write!(f, "{digits}e+{exponent:0>2}"),
        },
        None => f.write_str(&shortest),
    }
}

fn text(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    let quote = if value.contains('\'') && !value.contains('"') { '"' } else { '\'' };
    f.write_char(quote)?;
    for letter in value.chars() {
        match letter {
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            letter if letter == quote => write!(f, "\\{letter}")?,
            letter if (letter as u32) < 0x20 || letter as u32 == 0x7f => {
                write!(f, "\\x{:02x}", letter as u32)?;
            }
            letter => f.write_char(letter)?,
        }
    }
    f.write_char(quote)
}

fn bytes(f: &mut fmt::Formatter<'_>, value: &[u8]) -> fmt::Result {
    f.write_str("b'")?;
    for byte in value {
        match byte {
            b'\\' => f.write_str("\\\\")?,
            b'\'' => f.write_str("\\'")?,
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            b'\t' => f.write_str("\\t")?,
            0x20..=0x7e => f.write_char(char::from(*byte))?,
            byte => write!(f, "\\x{byte:02x}")?,
        }
    }
    f.write_str("'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bytes;

    #[test]
    fn as_python_prints_it() {
        for (value, shown) in [
            (Value::None, "None"),
            (Value::from(1.0), "1.0"),
            (Value::from(1e16), "1e+16"),
            (Value::from(1.5e-5), "1.5e-05"),
            (Value::from(-0.0), "-0.0"),
            (Value::from(f64::NAN), "nan"),
            (Value::from(f64::NEG_INFINITY), "-inf"),
            (Value::from("it's"), "\"it's\""),
            (Value::from("a\n'\""), "'a\\n\\'\"'"),
            (Value::from(Bytes::from(b"a\x00'")), "b'a\\x00\\''"),
            (Value::from((1,)), "(1,)"),
            (Value::Set(vec![]), "set()"),
            (Value::from(Dict::from([("a", vec![1, 2])])), "{'a': [1, 2]}"),
        ] {
            assert_eq!(value.to_string(), shown);
        }
    }

    #[test]
    fn order_of_dicts_and_sets_does_not_matter() {
        let (a, b) = (Dict::from([(1, 2), (3, 4)]), Dict::from([(3, 4), (1, 2)]));
        assert_eq!(Value::from(a), Value::from(b));
        let (a, b) = (Value::Set(vec![1.into(), 2.into()]), Value::Set(vec![2.into(), 1.into()]));
        assert_eq!(a, b);
        assert_ne!(Value::from(1), Value::from(1.0));
    }
}
