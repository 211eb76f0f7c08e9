//! serde's serializer over an [`Encoder`].
//!
//! | Rust | Python |
//! | --- | --- |
//! | `()`, `None`, unit structs | `None` |
//! | `bool`, integers of any width, floats | `bool`, `int`, `float` |
//! | `char`, text | `str` |
//! | bytes (`serialize_bytes`) | `bytes` |
//! | sequences | `list` |
//! | tuples, tuple structs | `tuple` |
//! | maps, structs | `dict` |
//! | unit variants | their name, a `str` |
//! | other variants | a `dict` of the name and the content |
//! | newtypes | their content, except those of [`token`](crate::token) |

mod compound;
mod key;

use serde::ser::{self, Serialize};

use compound::Compound;

use crate::encode::Encoder;
use crate::error::EncodeError;
use crate::limits::Limits;
use crate::opcode as op;
use crate::token::{self, Marker};

pub(crate) struct Serializer<'a> {
    encoder: &'a mut Encoder,
    depth: usize,
    /// What the next sequence, tuple or number becomes, where a token said so.
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    BigInt,
    Callback,
    FrozenSet,
    Ref,
    Set,
}

type Result<T = ()> = std::result::Result<T, EncodeError>;

impl<'a> Serializer<'a> {
    pub(crate) fn new(encoder: &'a mut Encoder) -> Self {
        Self { encoder, depth: 0, form: Form::Plain }
    }

    fn deeper(&self) -> Result<usize> {
        let depth = self.depth + 1;
        if depth > Limits::DEFAULT.depth {
            let limit = Limits::DEFAULT.depth;
            return Err(EncodeError::new(format!(
                "the value is nested deeper than {limit} levels"
            )));
        }
        Ok(depth)
    }

    fn compound(self, open: &[u8], close: &'static [u8]) -> Result<Compound<'a>> {
        let depth = self.deeper()?;
        for opcode in open {
            self.encoder.op(*opcode);
        }
        Ok(Compound { encoder: self.encoder, depth, close, count: 0 })
    }

    fn variant(self, name: &str) -> Result<Self> {
        let depth = self.deeper()?;
        self.encoder.op(op::EMPTY_DICT);
        self.encoder.key(name);
        Ok(Self { encoder: self.encoder, depth, form: Form::Plain })
    }

    fn marked<T: Serialize + ?Sized>(self, marker: Marker, content: &T) -> Result {
        self.encoder.marker(marker);
        let inner =
            Serializer { encoder: &mut *self.encoder, depth: self.depth, form: Form::Plain };
        content.serialize(inner)?;
        self.encoder.op(op::REDUCE);
        Ok(())
    }
}

impl<'a> ser::Serializer for Serializer<'a> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    fn serialize_bool(self, value: bool) -> Result {
        self.encoder.op(if value { op::NEWTRUE } else { op::NEWFALSE });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result {
        self.encoder.signed(value);
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result {
        match i64::try_from(value) {
            Ok(value) => self.encoder.signed(value),
            Err(_) => self.encoder.wide(value),
        }
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result {
        match self.form {
            Form::Callback => self.encoder.callback_id(value),
            Form::Ref => self.encoder.ref_id(value),
            _ => self.encoder.unsigned(value),
        }
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result {
        match u64::try_from(value) {
            Ok(value) => self.encoder.unsigned(value),
            Err(_) => {
                // One byte more, so that the highest bit is not taken for the sign.
                let mut bytes = [0; 17];
                bytes[..16].copy_from_slice(&value.to_le_bytes());
                self.encoder.long(&bytes);
            }
        }
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result {
        self.encoder.float(value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result {
        self.encoder.str(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result {
        if !self.encoder.shared(Marker::Text, value.as_bytes()) {
            self.encoder.str(value);
        }
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result {
        match self.form {
            Form::BigInt => self.encoder.long(value),
            _ if self.encoder.shared(Marker::Bytes, value) => {}
            _ => self.encoder.bytes(value),
        }
        Ok(())
    }

    fn serialize_none(self) -> Result {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result {
        self.encoder.op(op::NONE);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result {
        self.encoder.key(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        mut self,
        name: &'static str,
        value: &T,
    ) -> Result {
        if !name.starts_with(token::PREFIX) {
            // A newtype costs a level too: `struct Nest(Box<Nest>)` is as deep as it looks.
            self.depth = self.deeper()?;
            return value.serialize(self);
        }
        let marker = match name {
            token::BIG_INT => {
                self.form = Form::BigInt;
                return value.serialize(self);
            }
            token::CALLBACK => {
                self.form = Form::Callback;
                return value.serialize(self);
            }
            token::FROZEN_SET => {
                self.form = Form::FrozenSet;
                return value.serialize(self);
            }
            token::REF => {
                self.form = Form::Ref;
                return value.serialize(self);
            }
            token::SET => {
                self.form = Form::Set;
                return value.serialize(self);
            }
            token::ADAPTER => Marker::Adapter,
            token::ARRAY => Marker::Array,
            token::COMPLEX => Marker::Complex,
            token::DATE => Marker::Date,
            token::DATE_TIME => Marker::DateTime,
            token::DECIMAL => Marker::Decimal,
            token::TABLE => Marker::Table,
            token::TIME => Marker::Time,
            token::TIME_DELTA => Marker::TimeDelta,
            token::UUID => Marker::Uuid,
            _ => return Err(EncodeError::new(format!("`{name}` is no known token"))),
        };
        self.marked(marker, value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result {
        let inner = self.variant(variant)?;
        let Serializer { encoder, depth, form } = inner;
        value.serialize(Serializer { encoder: &mut *encoder, depth, form })?;
        encoder.op(op::SETITEM);
        Ok(())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Compound<'a>> {
        match self.form {
            Form::Set => self.compound(&[op::EMPTY_SET, op::MARK], &[op::ADDITEMS]),
            Form::FrozenSet => self.compound(&[op::MARK], &[op::FROZENSET]),
            _ => self.compound(&[op::EMPTY_LIST, op::MARK], &[op::APPENDS]),
        }
    }

    fn serialize_tuple(self, len: usize) -> Result<Compound<'a>> {
        match len {
            // Arrays are tuples to serde, and may be what a set is made of.
            _ if matches!(self.form, Form::Set | Form::FrozenSet) => self.serialize_seq(Some(len)),
            0 => self.compound(&[op::EMPTY_TUPLE], &[]),
            1 => self.compound(&[], &[op::TUPLE1]),
            2 => self.compound(&[], &[op::TUPLE2]),
            3 => self.compound(&[], &[op::TUPLE3]),
            _ => self.compound(&[op::MARK], &[op::TUPLE]),
        }
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Compound<'a>> {
        self.serialize_tuple(len)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Compound<'a>> {
        self.variant(variant)?.compound(&[op::MARK], &[op::TUPLE, op::SETITEM])
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Compound<'a>> {
        self.compound(&[op::EMPTY_DICT, op::MARK], &[op::SETITEMS])
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Compound<'a>> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Compound<'a>> {
        let open = [op::EMPTY_DICT, op::MARK];
        self.variant(variant)?.compound(&open, &[op::SETITEMS, op::SETITEM])
    }
}
