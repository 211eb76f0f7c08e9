//! The parts of containers.

use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess};

use super::{Deserializer, Result};
use crate::error::{DecodeError, PathSegment};
use crate::tape::{Items, Node};
use crate::token::{self, Shape};

/// The parts of a container, as a sequence or as a map.
pub(super) struct Parts<'t, 'de> {
    pub(super) owner: Deserializer<'t, 'de>,
    pub(super) items: Items<'t>,
    pub(super) index: usize,
}

impl<'de> SeqAccess<'de> for Parts<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(number) = self.items.next() else {
            return Ok(None);
        };
        match seed.deserialize(self.owner.part(number)) {
            Ok(value) => {
                self.index += 1;
                Ok(Some(value))
            }
            Err(error) => Err(error.at(PathSegment::Index(self.index))),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.left())
    }
}

impl<'de> MapAccess<'de> for Parts<'_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let Some(number) = self.items.next() else {
            return Ok(None);
        };
        self.index = number as usize;
        let key = self.owner.part(number);
        seed.deserialize(key).map(Some).map_err(|error| error.at(key.as_segment()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        let Some(number) = self.items.next() else {
            return Err(DecodeError::malformed("a key without a value"));
        };
        let key = self.index as u32;
        seed.deserialize(self.owner.part(number))
            .map_err(|error| error.at(self.owner.part(key).as_segment()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.left() / 2)
    }
}

impl Deserializer<'_, '_> {
    /// A key of a dict as Python would write it between brackets.
    pub(super) fn as_segment(&self) -> PathSegment {
        PathSegment::Key(match self.node {
            Node::Str(span) => format!("{:?}", self.tape.str(span)),
            Node::Int(value) => value.to_string(),
            Node::Float(value) => format!("{value:?}"),
            other => format!("<{}>", other.shape().map_or("marker", Shape::python_name)),
        })
    }
}

/// The map with one entry that stands for a ref.
pub(super) struct RefEntry {
    pub(super) content: Option<(u64, u64)>,
}

impl<'de> MapAccess<'de> for RefEntry {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if self.content.is_none() {
            return Ok(None);
        }
        seed.deserialize(token::REF.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        let (key, place) = self.content.take().unwrap_or_default();
        seed.deserialize(de::value::SeqDeserializer::new([key, place].into_iter()))
    }
}
