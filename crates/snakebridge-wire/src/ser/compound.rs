//! Containers that are being written.

use serde::ser::{self, Serialize};

use super::key::KeySerializer;
use super::{Form, Result, Serializer};
use crate::encode::Encoder;
use crate::error::EncodeError;
use crate::opcode as op;

/// A container that is being written.
pub(crate) struct Compound<'a> {
    pub(super) encoder: &'a mut Encoder,
    pub(super) depth: usize,
    pub(super) close: &'static [u8],
    pub(super) count: usize,
}

impl Compound<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.count += 1;
        value.serialize(Serializer {
            encoder: &mut *self.encoder,
            depth: self.depth,
            form: Form::Plain,
        })
    }

    fn close(self) -> Result {
        // A fixed-size tuple opcode takes exactly its number from the stack; a type that announces
        // one length and writes another would damage everything around it.
        let wrong = match self.close {
            [op::TUPLE1] => self.count != 1,
            [op::TUPLE2] => self.count != 2,
            [op::TUPLE3] => self.count != 3,
            [] => self.count != 0,
            _ => false,
        };
        if wrong {
            return Err(EncodeError::new(
                "a tuple wrote another number of items than it announced",
            ));
        }
        for opcode in self.close {
            self.encoder.op(*opcode);
        }
        Ok(())
    }
}

impl ser::SerializeSeq for Compound<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.item(value)
    }

    fn end(self) -> Result {
        self.close()
    }
}

impl ser::SerializeTuple for Compound<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.item(value)
    }

    fn end(self) -> Result {
        self.close()
    }
}

impl ser::SerializeTupleStruct for Compound<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.item(value)
    }

    fn end(self) -> Result {
        self.close()
    }
}

impl ser::SerializeTupleVariant for Compound<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.item(value)
    }

    fn end(self) -> Result {
        self.close()
    }
}

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result {
        key.serialize(KeySerializer(Serializer {
            encoder: &mut *self.encoder,
            depth: self.depth,
            form: Form::Plain,
        }))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.item(value)
    }

    fn end(self) -> Result {
        self.close()
    }
}

impl ser::SerializeStruct for Compound<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result {
        self.encoder.key(key);
        self.item(value)
    }

    fn end(self) -> Result {
        self.close()
    }
}

impl ser::SerializeStructVariant for Compound<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result {
        self.encoder.key(key);
        self.item(value)
    }

    fn end(self) -> Result {
        self.close()
    }
}
