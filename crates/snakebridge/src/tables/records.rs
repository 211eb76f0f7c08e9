//! Records of the program as rows of a table.

use arrow_schema::FieldRef;
use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_arrow::schema::{SchemaLike as _, TracingOptions};

use super::{Table, TableError};

/// Structs as the rows of a data frame, in both directions.
///
/// As an argument it is a `DataFrame` of pandas with a column for each field. As a result it is read from all
/// that a [`Table`] is read from. Fields can be numbers, booleans, text, lists, maps, structs, and
/// `Option` of these; what stands in a column that no field is for is left out.
///
/// [`Table::from_records`] makes a table of records that can be a frame of polars as well.
///
/// ```no_run
/// use serde::{Deserialize, Serialize};
/// use snakebridge::{Bridge, Records, args};
///
/// #[derive(Serialize, Deserialize)]
/// struct Trade {
///     symbol: String,
///     price: f64,
/// }
///
/// let py = Bridge::new()?;
/// let trades = vec![
///     Trade { symbol: "AB".to_owned(), price: 3.5 },
///     Trade { symbol: "CD".to_owned(), price: 1.25 },
/// ];
/// let sorted: Records<Trade> = py.method(&Records(trades), "sort_values", ("price",)).wait()?;
/// assert_eq!(sorted.0[0].symbol, "CD");
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "it is its records")]
pub struct Records<T>(pub Vec<T>);

impl Table {
    /// A table with a row for each record, and a column for each field.
    ///
    /// The types of the columns are those of the fields, as serde tells them of the records that are there; of no
    /// records there is a table without columns.
    ///
    /// # Errors
    /// A field is nothing that a column can hold, or is of different types in different records.
    pub fn from_records<T: Serialize>(records: &[T]) -> Result<Self, TableError> {
        let options = TracingOptions::default()
            .allow_null_fields(true)
            .map_as_struct(false)
            .enums_without_data_as_strings(true);
        let fields = match records {
            [] => Vec::new(),
            some => Vec::<FieldRef>::from_samples(some, options)?,
        };
        Ok(serde_arrow::to_record_batch(&fields, &records)?.into())
    }

    /// The rows as records, whose fields are columns.
    ///
    /// # Errors
    /// There is no column for a field, or what stands in it does not fit the field.
    pub fn to_records<T: DeserializeOwned>(&self) -> Result<Vec<T>, TableError> {
        let mut records = Vec::with_capacity(self.rows());
        for batch in &self.batches {
            records.append(&mut serde_arrow::from_record_batch::<Vec<T>>(batch)?);
        }
        Ok(records)
    }
}

impl<T: Serialize> Serialize for Records<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let table = Table::from_records(&self.0).map_err(S::Error::custom)?;
        table.pandas().serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Records<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Table::deserialize(deserializer)?;
        table.to_records().map(Self).map_err(D::Error::custom)
    }
}

impl From<serde_arrow::Error> for TableError {
    fn from(error: serde_arrow::Error) -> Self {
        Self(error.to_string())
    }
}
