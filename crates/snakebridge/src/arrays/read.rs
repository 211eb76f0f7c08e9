//! Reading arrays from results.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, SeqAccess};
use snakebridge_wire::token;

use super::element::name_of;
use super::{Array, Element, check};

impl<'de, T: Element> Deserialize<'de> for Array<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(token::ARRAY, Visitor(PhantomData))
    }
}

struct Visitor<T>(PhantomData<T>);

impl<'de, T: Element> de::Visitor<'de> for Visitor<T> {
    type Value = Array<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of {}", T::NAME)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Array<T>, A::Error> {
        let mut missing = || de::Error::custom("a part of an array is missing");
        let dtype: Cow<'de, str> = parts.next_element()?.ok_or_else(&mut missing)?;
        let shape: Vec<usize> = parts.next_element()?.ok_or_else(&mut missing)?;
        if dtype != T::DTYPE {
            return Err(de::Error::custom(other_dtype::<T>(&dtype, &shape)));
        }
        let items = parts.next_element::<Copied<T>>()?.ok_or_else(missing)?.0;
        check(&shape, items.len()).map_err(de::Error::custom)?;
        Ok(Array { shape: shape.into(), items })
    }
}

fn other_dtype<T: Element>(found: &str, shape: &[usize]) -> String {
    let name = name_of(found).map_or_else(|| format!("dtype {found}"), str::to_owned);
    format!("expected an array of {}, found one of {name} and shape {shape:?}", T::NAME)
}

/// Items that were bytes.
struct Copied<T>(Vec<T>);

impl<'de, T: Element> Deserialize<'de> for Copied<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ItemsVisitor(PhantomData))
    }
}

struct ItemsVisitor<T>(PhantomData<T>);

impl<T: Element> de::Visitor<'_> for ItemsVisitor<T> {
    type Value = Copied<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the items of an array")
    }

    fn visit_bytes<E: de::Error>(self, data: &[u8]) -> Result<Copied<T>, E> {
        let items = T::copied(data);
        let message = || E::custom(format!("{} bytes are no items of {}", data.len(), T::NAME));
        items.map(Copied).ok_or_else(message)
    }
}
