//! Tables as arguments.

use serde::ser::{Error as _, Serialize, Serializer};
use snakebridge_wire::token;

use super::columns::{self, Column};
use super::stream::Written;
use super::{Becomes, Table};
use crate::Bytes;
use crate::scope;

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !scope::is_encoding() {
            return Err(S::Error::custom("a table can only be an argument of a call"));
        }
        let written = Written::of(&self.schema, &self.batches).map_err(S::Error::custom)?;
        let becomes = self.becomes.name();
        let mut columns = None;
        let shared = scope::share_with(written.len, |bytes| {
            written.write_to(bytes);
            columns = self.columns(bytes);
        });
        if let Some(segment) = shared {
            let parts = (becomes, &columns, (segment, written.len));
            return serializer.serialize_newtype_struct(token::TABLE, &parts);
        }
        let mut bytes = vec![0; written.len];
        written.write_to(&mut bytes);
        let parts = (becomes, self.columns(&bytes), Bytes::from(bytes));
        serializer.serialize_newtype_struct(token::TABLE, &parts)
    }
}

impl Table {
    /// Where the columns are, for a worker that cannot read the stream. Only pandas can be had without
    /// pyarrow.
    fn columns(&self, stream: &[u8]) -> Option<Vec<Column>> {
        (self.becomes == Becomes::Pandas).then(|| columns::describe(&self.schema, stream)).flatten()
    }
}

impl Becomes {
    fn name(self) -> &'static str {
        match self {
            Self::Pyarrow => "pyarrow",
            Self::Pandas => "pandas",
            Self::Polars => "polars",
        }
    }
}
