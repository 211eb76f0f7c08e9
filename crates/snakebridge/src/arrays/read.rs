//! Reading arrays from results.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, SeqAccess};
use snakebridge_wire::token;

use super::element::name_of;
use super::items::Items;
use super::{Array, Element, check};
use crate::scope;

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
        let Parts { dtype, shape } = begin(&mut parts)?;
        if dtype != T::DTYPE {
            return Err(de::Error::custom(other_dtype::<T>(&dtype, &shape)));
        }
        let items = items::<T, A>(&mut parts)?;
        check(&shape, items.as_slice().len()).map_err(de::Error::custom)?;
        Ok(Array { shape: shape.into(), items })
    }
}

/// What comes before the items of an array.
pub(super) struct Parts<'de> {
    pub(super) dtype: Cow<'de, str>,
    pub(super) shape: Vec<usize>,
}

pub(super) fn begin<'de, A: SeqAccess<'de>>(parts: &mut A) -> Result<Parts<'de>, A::Error> {
    let dtype = parts.next_element()?.ok_or_else(missing)?;
    let shape = parts.next_element()?.ok_or_else(missing)?;
    Ok(Parts { dtype, shape })
}

pub(super) fn items<'de, T: Element, A: SeqAccess<'de>>(
    parts: &mut A,
) -> Result<Items<T>, A::Error> {
    parts.next_element()?.ok_or_else(missing)
}

fn missing<E: de::Error>() -> E {
    E::custom("a part of an array is missing")
}

fn other_dtype<T: Element>(found: &str, shape: &[usize]) -> String {
    let name = name_of(found).map_or_else(|| format!("dtype {found}"), str::to_owned);
    format!("expected an array of {}, found one of {name} and shape {shape:?}", T::NAME)
}

impl<'de, T: Element> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemsVisitor(PhantomData))
    }
}

struct ItemsVisitor<T>(PhantomData<T>);

impl<T> ItemsVisitor<T>
where
    T: Element,
{
    fn are_none<E: de::Error>(count: usize) -> E {
        E::custom(format!("{count} bytes are no items of {}", T::NAME))
    }
}

impl<'de, T: Element> de::Visitor<'de> for ItemsVisitor<T> {
    type Value = Items<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the items of an array")
    }

    /// They are in the reply.
    fn visit_bytes<E: de::Error>(self, data: &[u8]) -> Result<Items<T>, E> {
        T::copied(data).map(Items::Own).ok_or_else(|| Self::are_none(data.len()))
    }

    /// They are in shared memory.
    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Items<T>, A::Error> {
        let (segment, len): (Option<u64>, Option<u64>) =
            (parts.next_element()?, parts.next_element()?);
        let region = segment.and_then(scope::claim_region).filter(|_| len.is_some());
        let region = region.ok_or_else(|| de::Error::custom("an array that is nowhere"))?;
        let count = region.bytes().len();
        Items::shared(region).ok_or_else(|| Self::are_none(count))
    }
}
