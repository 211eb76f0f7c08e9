//! Reading tables from results.

use std::borrow::Cow;
use std::fmt;

use arrow_buffer::Buffer;
use serde::de::{self, Deserialize, Deserializer, SeqAccess};
use snakebridge_wire::token;

use super::columns::{self, Column};
use super::{Becomes, Table, stream};
use crate::engine::memory::Region;
use crate::scope;

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(token::TABLE, Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Table;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Table, A::Error> {
        let mut missing = || de::Error::custom("a part of a table is missing");
        let _kind: Cow<'de, str> = parts.next_element()?.ok_or_else(&mut missing)?;
        let columns: Option<Vec<Column>> = parts.next_element()?.ok_or_else(&mut missing)?;
        let Data(data) = parts.next_element()?.ok_or_else(missing)?;
        let table = match columns {
            None => stream::read(&data).map(|(schema, batches)| Table {
                schema,
                batches,
                becomes: Becomes::Pyarrow,
            }),
            Some(columns) => columns::read(&columns, &data).map(Table::from),
        };
        table.map_err(|error| {
            de::Error::custom(format!("the table that Python has sent cannot be read: {error}"))
        })
    }
}

/// The bytes of a table: of their own, or in shared memory.
pub(super) struct Data(pub(super) Buffer);

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> de::Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a table")
    }

    /// They are in the reply.
    fn visit_bytes<E: de::Error>(self, data: &[u8]) -> Result<Data, E> {
        Ok(Data(data.into()))
    }

    /// They are in shared memory.
    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Data, A::Error> {
        let (segment, len): (Option<u64>, Option<u64>) =
            (parts.next_element()?, parts.next_element()?);
        let region = segment.and_then(scope::claim_region).filter(|_| len.is_some());
        let region = region.ok_or_else(|| de::Error::custom("a table that is nowhere"))?;
        Ok(Data(bytes::Bytes::from_owner(Owner(region)).into()))
    }
}

/// Keeps the memory for as long as a batch uses it.
struct Owner(Region);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}
