//! Tables of Arrow: of pyarrow, pandas, polars, and all that can be looked at as an Arrow stream.

mod columns;
mod read;
mod records;
mod stream;
mod write;

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};

pub use records::Records;

/// A table: record batches of Arrow with one schema.
///
/// As an argument it is a `pyarrow.Table`, or what [`pandas`](Self::pandas) and
/// [`polars`](Self::polars) say. As a result it is a copy of a table or record batch of pyarrow, a data frame
/// of pandas or polars, or any object with `__arrow_c_stream__`. Those stay in Python where a
/// [`Ref`](crate::Ref) is asked for, or a [`Value`](crate::Value).
///
/// Python needs pyarrow for that. Data frames of polars go without, and so do those of pandas with
/// columns of numbers, text and times.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use snakebridge::arrow_array::{Float64Array, RecordBatch, StringArray};
/// use snakebridge::{Bridge, Table};
///
/// let py = Bridge::new()?;
/// let batch = RecordBatch::try_from_iter([
///     ("city", Arc::new(StringArray::from(vec!["Bonn", "Kyoto"])) as _),
///     ("degrees", Arc::new(Float64Array::from(vec![21.5, 30.25])) as _),
/// ])?;
/// let frame = Table::from(batch).pandas();
/// let warmest: Table = py.method(&frame, "nlargest", (1, "degrees")).wait()?;
/// assert_eq!(warmest.rows(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Table {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    becomes: Becomes,
}

/// What a table is in Python.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Becomes {
    Pyarrow,
    Pandas,
    Polars,
}

/// What is wrong with a table, or with records that were to be one.
#[derive(Debug)]
#[non_exhaustive]
pub struct TableError(String);

impl Table {
    /// A table of these batches, of which there may be none.
    ///
    /// # Errors
    /// A batch has another schema.
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Self, TableError> {
        match batches.iter().position(|batch| batch.schema_ref() != &schema) {
            Some(place) => Err(TableError(format!(
                "batch {place} has another schema than the table: expected {}, found {}",
                Shown(&schema),
                Shown(batches[place].schema_ref())
            ))),
            None => Ok(Self { schema, batches, becomes: Becomes::Pyarrow }),
        }
    }

    /// Names and types of the columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows there are in all batches.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The rows, in as many batches as they came in.
    #[must_use]
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// The rows, in as many batches as they came in.
    #[must_use]
    pub fn into_batches(self) -> Vec<RecordBatch> {
        self.batches
    }

    /// The table as an argument that is a `DataFrame` of pandas, which may be changed there.
    ///
    /// Columns of integers, floats and booleans with nulls have the nullable types of pandas (`Int64`,
    /// `Float64`, `boolean`), so that nothing of them is lost; all others have those that pyarrow gives them.
    #[must_use]
    pub fn pandas(mut self) -> Self {
        self.becomes = Becomes::Pandas;
        self
    }

    /// The table as an argument that is a `DataFrame` of polars.
    #[must_use]
    pub fn polars(mut self) -> Self {
        self.becomes = Becomes::Polars;
        self
    }
}

impl From<RecordBatch> for Table {
    fn from(batch: RecordBatch) -> Self {
        Self { schema: batch.schema(), batches: vec![batch], becomes: Becomes::Pyarrow }
    }
}

/// Tables are the same if schema and batches are, whatever they are to become in Python.
impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema && self.batches == other.batches
    }
}

/// Shows the columns and the number of rows.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<table of {} rows: {}>", self.rows(), Shown(&self.schema))
    }
}

/// Whether a type of result is a table.
pub(crate) fn is_table<R: 'static>() -> bool {
    TypeId::of::<R>() == TypeId::of::<Table>()
}

/// A schema as people read it.
struct Shown<'a>(&'a Arc<arrow_schema::Schema>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, field) in self.0.fields().iter().enumerate() {
            let before = if place == 0 { "" } else { ", " };
            write!(f, "{before}{}: {}", field.name(), field.data_type())?;
        }
        Ok(())
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TableError {}

impl From<ArrowError> for TableError {
    fn from(error: ArrowError) -> Self {
        Self(error.to_string())
    }
}
