//! Dates, times, decimals and UUIDs as Python prints them, for types that are read as text.

use crate::tape::{Node, Tape};
use crate::token::Marker;

/// Prints a special as `str()` does in Python.
pub(crate) fn special(marker: Marker, parts: &[Node], tape: &Tape<'_>) -> Option<String> {
    let number = |place: usize| match parts.get(place) {
        Some(Node::Int(value)) => *value,
        _ => 0,
    };
    let date = || format!("{:04}-{:02}-{:02}", number(0), number(1), number(2));
    match marker {
        Marker::Date => Some(date()),
        Marker::DateTime => Some(format!("{}T{}", date(), clock(&parts[3..]))),
        Marker::Time => Some(clock(parts)),
        Marker::Decimal => match parts {
            [Node::Str(span)] => Some(tape.str(*span).to_owned()),
            _ => None,
        },
        Marker::Uuid => match parts {
            [Node::Bytes(span)] => Some(hyphenated(tape.bytes(*span))),
            _ => None,
        },
        Marker::Adapter
        | Marker::Array
        | Marker::Bytes
        | Marker::Complex
        | Marker::Plain
        | Marker::Ref
        | Marker::Table
        | Marker::Text
        | Marker::TimeDelta => None,
    }
}

/// ISO 8601 time of day from hour, minute, second, microsecond, fold and offset.
fn clock(parts: &[Node]) -> String {
    let number = |place: usize| match parts.get(place) {
        Some(Node::Int(value)) => *value,
        _ => 0,
    };
    let mut out = format!("{:02}:{:02}:{:02}", number(0), number(1), number(2));
    if number(3) != 0 {
        out.push_str(&format!(".{:06}", number(3)));
    }
    if let Some(Node::Int(offset)) = parts.get(5) {
        let (sign, micros) = if *offset < 0 { ('-', -offset) } else { ('+', *offset) };
        let seconds = micros / 1_000_000;
        out.push_str(&format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60));
        if micros % 60_000_000 != 0 {
            out.push_str(&format!(":{:02}", seconds % 60));
        }
        if micros % 1_000_000 != 0 {
            out.push_str(&format!(".{:06}", micros % 1_000_000));
        }
    }
    out
}

fn hyphenated(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push_str(&format!("{byte:02x}"));
    }
    out
}
