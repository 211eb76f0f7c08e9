//! Enums: of the user's, and the dynamic value.

use serde::de::{self, DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor};

use super::{Deserializer, Result};
use crate::error::{DecodeError, PathSegment};
use crate::tape::Node;

/// An enum variant written as a dict with one key.
pub(super) struct Variant<'t, 'de> {
    pub(super) key: Deserializer<'t, 'de>,
    pub(super) content: Deserializer<'t, 'de>,
}

impl<'t, 'de> EnumAccess<'de> for Variant<'t, 'de> {
    type Error = DecodeError;
    type Variant = Content<'t, 'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant)> {
        let segment = self.key.as_segment();
        Ok((seed.deserialize(self.key)?, Content { inner: self.content, segment }))
    }
}

pub(super) struct Content<'t, 'de> {
    inner: Deserializer<'t, 'de>,
    segment: PathSegment,
}

impl<'de> VariantAccess<'de> for Content<'_, 'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<()> {
        de::Deserialize::deserialize(self.inner)
            .map_err(|error: DecodeError| error.at(self.segment))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self.inner).map_err(|error| error.at(self.segment))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        de::Deserializer::deserialize_tuple(self.inner, len, visitor)
            .map_err(|error| error.at(self.segment))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        de::Deserializer::deserialize_struct(self.inner, "", fields, visitor)
            .map_err(|error| error.at(self.segment))
    }
}

/// The dynamic value: the variant says which shape the content has.
impl<'de> EnumAccess<'de> for Deserializer<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let shape = self.node.shape()? as u8;
        let seed = seed.deserialize(IntoDeserializer::<DecodeError>::into_deserializer(shape))?;
        Ok((seed, self))
    }
}

impl<'de> VariantAccess<'de> for Deserializer<'_, 'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        match self.node {
            Node::Special(_, run) => visitor.visit_seq(self.special(run)?),
            _ => de::Deserializer::deserialize_seq(self, visitor),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        de::Deserializer::deserialize_map(self, visitor)
    }
}
