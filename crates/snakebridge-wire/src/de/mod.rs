//! serde's deserializer over a [`Tape`].
//!
//! | Python | Rust types that take it |
//! | --- | --- |
//! | `None` | `()`, `Option` |
//! | `bool` | `bool` |
//! | `int` | integers that can hold it, floats that can hold it exactly |
//! | `float` | `f64`; `f32`, rounded, if it is not too large |
//! | `str` | `String`, `char`, unit variants |
//! | `bytes` | bytes, sequences of `u8` |
//! | `list`, `tuple`, `set`, `frozenset` | sequences; the first two also tuples and structs |
//! | `dict` | maps, structs, other variants |
//! | `Decimal`, `UUID`, `date`, `time`, `datetime` | their own types; text, as Python prints it |
//! | `complex` | its own type; a pair of floats |

mod parts;
mod variants;
mod words;

use serde::de::{self, IntoDeserializer, Unexpected, Visitor};

use parts::{Parts, RefEntry};
use variants::Variant;
use words::{Expecting, Found, Glimpse, inexact};

use crate::error::{Careful, DecodeError};
use crate::print;
use crate::tape::{Node, Runs, Span, Tape};
use crate::token::{self, Marker, Shape};

type Result<T> = std::result::Result<T, DecodeError>;

/// Reads one value of a [`Tape`].
///
/// A type that asks for a newtype named [`token::VALUE`] is given an enum: the variant index is a
/// [`Shape`], the content is that of the shape. A type that asks for [`token::REF`] is given a map
/// with the single key [`token::REF`] and the value `(key, index)`: the secret that was set with
/// [`Tape::set_ref_key`], and the position in [`Tape::refs`].
#[derive(Clone, Copy, Debug)]
pub struct Deserializer<'t, 'de> {
    tape: &'t Tape<'de>,
    node: Node,
    /// Number of the node, where it has one: scalars at the top have none.
    number: Option<u32>,
    depth: usize,
}

impl<'t, 'de> Deserializer<'t, 'de> {
    pub(crate) fn new(tape: &'t Tape<'de>) -> Self {
        // Only the number of a ref matters, and a ref at the top is the last node.
        let number = tape.nodes.len().checked_sub(1).map(|last| last as u32);
        Self { tape, node: tape.root, number, depth: 0 }
    }

    /// The items of a list or a tuple, each to be read by itself: one that does not fit leaves the others
    /// readable.
    ///
    /// # Errors
    /// The value is neither, or too deep.
    pub fn items(self) -> Result<impl Iterator<Item = Self>> {
        let (Node::List(runs) | Node::Tuple(runs)) = self.node else {
            return self.mismatch(&"a list");
        };
        Ok(self.parts(runs)?.items.map(move |number| self.part(number)))
    }

    fn part(&self, number: u32) -> Self {
        let node = self.tape.nodes[number as usize];
        Self { tape: self.tape, node, number: Some(number), depth: self.depth + 1 }
    }

    fn parts(&self, runs: Runs) -> Result<Parts<'t, 'de>> {
        if self.depth >= self.tape.limits.depth {
            return Err(DecodeError::careful(Careful::Depth));
        }
        Ok(Parts { owner: *self, items: self.tape.items(runs), index: 0 })
    }

    fn special(&self, run: u32) -> Result<Parts<'t, 'de>> {
        self.parts(Runs { first: run, last: run })
    }

    fn mismatch<T>(&self, expected: &dyn de::Expected) -> Result<T> {
        Err(match self.node {
            Node::Special(Marker::Ref, run) => DecodeError::mismatch(format!(
                "expected {expected}, found a ref to {}",
                self.tape.ref_class(run)
            )),
            Node::Marker(_) => DecodeError::careful(Careful::Marker),
            Node::BigInt(span) => DecodeError::mismatch(format!(
                "expected {expected}, found int `{}`",
                Glimpse(self.tape.bytes(span))
            )),
            _ => de::Error::invalid_type(self.unexpected(), expected),
        })
    }

    fn unexpected(&self) -> Unexpected<'de> {
        match self.node {
            Node::None => Unexpected::Unit,
            Node::Bool(value) => Unexpected::Bool(value),
            Node::Int(value) => Unexpected::Signed(value),
            Node::Float(value) => Unexpected::Float(value),
            Node::Str(span) => Unexpected::Str(self.tape.str(span)),
            Node::Bytes(span) => Unexpected::Bytes(self.tape.bytes(span)),
            other => Unexpected::Other(other.shape().map_or("a marker", Shape::python_name)),
        }
    }

    fn integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::Int(value) => visitor.visit_i64(value),
            Node::BigInt(span) => match self.wide(span) {
                Wide::Signed(value) => visitor.visit_i128(value),
                Wide::Unsigned(value) => match u64::try_from(value) {
                    Ok(value) => visitor.visit_u64(value),
                    Err(_) => visitor.visit_u128(value),
                },
                Wide::Wider => self.mismatch(&visitor),
            },
            _ => self.mismatch(&visitor),
        }
    }

    fn wide(&self, span: Span) -> Wide {
        let bytes = self.tape.bytes(span);
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 16];
        match bytes {
            [low @ .., 0] if low.len() <= 16 => {
                wide[..low.len()].copy_from_slice(low);
                Wide::Unsigned(u128::from_le_bytes(wide))
            }
            _ if bytes.len() <= 16 => {
                wide[..bytes.len()].copy_from_slice(bytes);
                match negative {
                    true => Wide::Signed(i128::from_le_bytes(wide)),
                    false => Wide::Unsigned(u128::from_le_bytes(wide)),
                }
            }
            _ => Wide::Wider,
        }
    }

    /// Text of the types that Python prints in one standard way.
    fn printed(&self) -> Option<String> {
        let Node::Special(marker, run) = self.node else {
            return None;
        };
        let parts: Vec<Node> = self
            .tape
            .items(Runs { first: run, last: run })
            .map(|number| self.tape.nodes[number as usize])
            .collect();
        print::special(marker, &parts, self.tape)
    }

    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::Str(span) => visitor.visit_borrowed_str(self.tape.str(span)),
            Node::Special(Marker::Text, run) => {
                // It is checked here, where nobody else can change it any more.
                let text = String::from_utf8(self.tape.copied(run)?);
                visitor.visit_string(
                    text.map_err(|_| DecodeError::malformed("text in shared memory"))?,
                )
            }
            _ => match self.printed() {
                Some(text) => visitor.visit_string(text),
                None => self.mismatch(&visitor),
            },
        }
    }

    fn blob<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::Bytes(span) => visitor.visit_borrowed_bytes(self.tape.bytes(span)),
            Node::Special(Marker::Bytes, run) => visitor.visit_byte_buf(self.tape.copied(run)?),
            _ => self.mismatch(&visitor),
        }
    }

    /// Items of a fixed number: all must be taken.
    fn fixed<V: Visitor<'de>>(self, runs: Runs, visitor: V) -> Result<V::Value> {
        let mut parts = self.parts(runs)?;
        let value = visitor.visit_seq(&mut parts)?;
        match parts.items.left() {
            0 => Ok(value),
            left => Err(DecodeError::mismatch(format!(
                "expected {} items, found {}",
                parts.index,
                parts.index + left
            ))),
        }
    }

    fn mapping<V: Visitor<'de>>(self, runs: Runs, visitor: V) -> Result<V::Value> {
        visitor.visit_map(self.parts(runs)?)
    }

    fn reference<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let number = self.number.unwrap_or(u32::MAX);
        // Nodes are numbered in the order in which they were listed.
        match self.tape.refs.binary_search(&number) {
            Ok(place) => {
                visitor.visit_map(RefEntry { content: Some((self.tape.ref_key, place as u64)) })
            }
            Err(_) => Err(DecodeError::malformed("a ref that is not listed")),
        }
    }

    fn token<V: Visitor<'de>>(self, name: &str, visitor: V) -> Result<V::Value> {
        match (name, self.node) {
            (token::VALUE, _) => visitor.visit_enum(self),
            (token::REF, Node::Special(Marker::Ref, _)) => self.reference(visitor),
            (token::REF, _) => {
                let found = Found(self.unexpected());
                Err(DecodeError::mismatch(format!("expected a ref, found the value {found}")))
            }
            (token::BIG_INT, Node::Int(value)) => visitor.visit_bytes(&value.to_le_bytes()),
            (token::BIG_INT, Node::BigInt(span)) => {
                visitor.visit_borrowed_bytes(self.tape.bytes(span))
            }
            (token::SET, Node::Set(runs)) | (token::FROZEN_SET, Node::FrozenSet(runs)) => {
                visitor.visit_seq(self.parts(runs)?)
            }
            (token::ARRAY, Node::Special(Marker::Ref, run)) => Err(DecodeError::wants_array(
                format!("expected an array, found a ref to {}", self.tape.ref_class(run)),
            )),
            (token::BYTES, Node::Special(Marker::Bytes, run)) => {
                visitor.visit_seq(self.special(run)?)
            }
            (token::BYTES, _) => visitor.visit_newtype_struct(self),
            (token::TABLE, Node::Special(Marker::Ref, run)) => Err(DecodeError::wants_table(
                format!("expected a table, found a ref to {}", self.tape.ref_class(run)),
            )),
            (token::ARRAY, Node::Special(Marker::Array, run))
            | (token::COMPLEX, Node::Special(Marker::Complex, run))
            | (token::DATE, Node::Special(Marker::Date, run))
            | (token::DATE_TIME, Node::Special(Marker::DateTime, run))
            | (token::DECIMAL, Node::Special(Marker::Decimal, run))
            | (token::TABLE, Node::Special(Marker::Table, run))
            | (token::TIME, Node::Special(Marker::Time, run))
            | (token::TIME_DELTA, Node::Special(Marker::TimeDelta, run))
            | (token::UUID, Node::Special(Marker::Uuid, run)) => {
                visitor.visit_seq(self.special(run)?)
            }
            _ => self.mismatch(&visitor),
        }
    }
}

enum Wide {
    Signed(i128),
    Unsigned(u128),
    Wider,
}

macro_rules! integers {
    ($($name:ident)*) => {
        $(fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.integer(visitor)
        })*
    };
}

impl<'de> de::Deserializer<'de> for Deserializer<'_, 'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::None => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(value),
            Node::Int(_) | Node::BigInt(_) => self.integer(visitor),
            Node::Float(value) => visitor.visit_f64(value),
            Node::Str(_) => self.text(visitor),
            Node::Bytes(_) => self.blob(visitor),
            Node::List(runs) | Node::Tuple(runs) | Node::Set(runs) | Node::FrozenSet(runs) => {
                visitor.visit_seq(self.parts(runs)?)
            }
            Node::Dict(runs) => self.mapping(runs, visitor),
            Node::Special(Marker::Ref, _) => self.reference(visitor),
            Node::Special(Marker::Complex | Marker::TimeDelta, run) => {
                visitor.visit_seq(self.special(run)?)
            }
            Node::Special(Marker::Bytes, _) => self.blob(visitor),
            Node::Special(..) => self.text(visitor),
            Node::Marker(_) => Err(DecodeError::careful(Careful::Marker)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::Bool(value) => visitor.visit_bool(value),
            _ => self.mismatch(&visitor),
        }
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::Float(value) if value.is_finite() && (value as f32).is_infinite() => {
                Err(DecodeError::mismatch(format!("float `{value}` is too large for an f32")))
            }
            Node::Float(value) => visitor.visit_f32(value as f32),
            Node::Int(value) if i128::from(value) == value as f32 as i128 => {
                visitor.visit_f32(value as f32)
            }
            Node::Int(value) => Err(inexact(value, "an f32")),
            _ => self.mismatch(&visitor),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::Float(value) => visitor.visit_f64(value),
            Node::Int(value) if i128::from(value) == value as f64 as i128 => {
                visitor.visit_f64(value as f64)
            }
            Node::Int(value) => Err(inexact(value, "an f64")),
            _ => self.mismatch(&visitor),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::Str(span) => visitor.visit_borrowed_str(self.tape.str(span)),
            _ => self.mismatch(&visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.text(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.blob(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.blob(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::None => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::None => visitor.visit_unit(),
            _ => self.mismatch(&visitor),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        if name.starts_with(token::PREFIX) {
            return self.token(name, visitor);
        }
        // A newtype is a level of its own: `struct Nest(Box<Nest>)` would never end otherwise.
        self.depth += 1;
        if self.depth > self.tape.limits.depth {
            return Err(DecodeError::careful(Careful::Depth));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::List(runs) | Node::Tuple(runs) | Node::Set(runs) | Node::FrozenSet(runs) => {
                visitor.visit_seq(self.parts(runs)?)
            }
            Node::Bytes(span) => visitor
                .visit_seq(de::value::SeqDeserializer::new(self.tape.bytes(span).iter().copied())),
            Node::Special(Marker::Bytes, run) => {
                let bytes = self.tape.copied(run)?.into_iter();
                visitor.visit_seq(de::value::SeqDeserializer::new(bytes))
            }
            _ => self.mismatch(&visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::List(runs) | Node::Tuple(runs) => self.fixed(runs, visitor),
            Node::Special(Marker::Complex, run) => {
                self.fixed(Runs { first: run, last: run }, visitor)
            }
            Node::Bytes(span) => {
                let bytes = self.tape.bytes(span).iter().copied();
                let mut parts = de::value::SeqDeserializer::new(bytes);
                let value = visitor.visit_seq(&mut parts)?;
                parts.end()?;
                Ok(value)
            }
            _ => self.mismatch(&visitor),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::Dict(runs) => self.mapping(runs, visitor),
            _ => self.mismatch(&visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.node {
            Node::Dict(runs) => self.mapping(runs, visitor),
            Node::List(runs) | Node::Tuple(runs) => self.fixed(runs, visitor),
            _ => self.mismatch(&visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.node {
            Node::Str(span) => visitor.visit_enum(self.tape.str(span).into_deserializer()),
            Node::Dict(runs) => {
                let parts = self.parts(runs)?;
                let mut items = parts.items.clone();
                match (items.next(), items.next(), items.next()) {
                    (Some(key), Some(content), None) => visitor
                        .visit_enum(Variant { key: self.part(key), content: self.part(content) }),
                    _ => Err(DecodeError::mismatch(format!(
                        "expected a dict with one key for {}, found {} keys",
                        Expecting(&visitor),
                        parts.items.left() / 2
                    ))),
                }
            }
            _ => self.mismatch(&visitor),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::Str(span) => visitor.visit_borrowed_str(self.tape.str(span)),
            Node::Int(_) => self.integer(visitor),
            Node::Bytes(span) => visitor.visit_borrowed_bytes(self.tape.bytes(span)),
            _ => self.mismatch(&visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }
}

impl<'a> Tape<'a> {
    fn ref_class(&self, run: u32) -> String {
        let mut parts = self
            .items(Runs { first: run, last: run })
            .map(|number| self.nodes[number as usize])
            .filter_map(|node| match node {
                Node::Str(span) => Some(self.str(span)),
                _ => None,
            });
        match (parts.next(), parts.next()) {
            (Some("builtins"), Some(qualname)) => format!("a `{qualname}`"),
            (Some(module), Some(qualname)) => format!("a `{module}.{qualname}`"),
            _ => "an object".to_owned(),
        }
    }
}
