//! Columns one by one, for workers without pyarrow.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, make_array};
use arrow_buffer::Buffer;
use arrow_data::ArrayData;
use arrow_ipc::RecordBatch as BatchWords;
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};

use super::stream::{message_at, parse};

/// A column: its name, what its items are, the zone of times, and its pieces, one for each batch.
pub(super) type Column = (String, String, Option<String>, Vec<Piece>);

/// The part of a column in one batch: the number of items, then start and length of the bits that say which
/// are there, of the places of text, and of the items themselves.
type Piece = (usize, [(usize, usize); 3]);

/// Nothing where something might have been.
const NOTHING: (usize, usize) = (0, 0);

/// The columns of a stream; `None` if some are not simple.
pub(super) fn describe(schema: &Schema, stream: &[u8]) -> Option<Vec<Column>> {
    let columns = schema.fields().iter().map(|field| {
        let (kind, zone) = kind_of(field.data_type())?;
        Some((field.name().clone(), kind, zone, Vec::new()))
    });
    let mut columns = columns.collect::<Option<Vec<Column>>>()?;
    let mut at = 0;
    while let Some(place) = message_at(stream, at).ok()? {
        if let Some(batch) = parse(&stream[place.words]).ok()?.header_as_record_batch() {
            add_pieces(&mut columns, batch, place.data.start)?;
        }
        at = place.data.end;
    }
    Some(columns)
}

fn add_pieces(columns: &mut [Column], batch: BatchWords<'_>, start: usize) -> Option<()> {
    let mut nodes = batch.nodes()?.iter();
    let mut buffers = batch.buffers()?.iter().map(|buffer| {
        let (offset, len) = (usize::try_from(buffer.offset()), usize::try_from(buffer.length()));
        Some((start + offset.ok()?, len.ok()?))
    });
    for (_, kind, _, pieces) in columns {
        let node = nodes.next()?;
        let validity = match (buffers.next()??, node.null_count()) {
            (_, 0) => NOTHING,
            (validity, _) => validity,
        };
        let places = if kind.starts_with("text") { buffers.next()?? } else { NOTHING };
        let items = buffers.next()??;
        pieces.push((usize::try_from(node.length()).ok()?, [validity, places, items]));
    }
    Some(())
}

/// The batch of such columns, each of one piece, which are somewhere in these bytes.
pub(super) fn read(columns: &[Column], data: &Buffer) -> Result<RecordBatch, ArrowError> {
    // They are checked once, and must not change afterwards.
    let data = Buffer::from(data.as_slice());
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for (name, kind, zone, pieces) in columns {
        let data_type = type_of(kind, zone.as_deref());
        let broken = || ArrowError::IpcError(format!("column {name:?} is broken"));
        let (data_type, [piece]) = data_type.zip(pieces.first_chunk()).ok_or_else(broken)?;
        arrays.push(read_piece(data_type.clone(), piece, &data).ok_or_else(broken)??);
        fields.push(Field::new(name, data_type, true));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn read_piece(
    data_type: DataType,
    (count, runs): &Piece,
    data: &Buffer,
) -> Option<Result<ArrayRef, ArrowError>> {
    let run = |(start, len): (usize, usize)| {
        let end = start.checked_add(len).filter(|end| *end <= data.len())?;
        Some(data.slice_with_length(start, end - start))
    };
    let [validity, places, items] = *runs;
    let validity = if validity == NOTHING { None } else { Some(run(validity)?) };
    let buffers = match data_type {
        DataType::LargeUtf8 => vec![run(places)?, run(items)?],
        _ => vec![run(items)?],
    };
    let checked = ArrayData::try_new(data_type, *count, validity, 0, buffers, Vec::new());
    Some(checked.map(make_array))
}

/// The simple type that a worker knows by this name.
fn type_of(kind: &str, zone: Option<&str>) -> Option<DataType> {
    const UNITS: [TimeUnit; 4] =
        [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
    let times = UNITS.into_iter().flat_map(|unit| {
        [DataType::Timestamp(unit, zone.map(Into::into)), DataType::Duration(unit)]
    });
    let mut types = SIMPLE.iter().map(|(simple, _)| simple.clone()).chain(times);
    types.find(|simple| kind_of(simple).is_some_and(|(name, _)| name == kind))
}

/// What the worker knows a simple type by, and the zone of its times.
fn kind_of(data_type: &DataType) -> Option<(String, Option<String>)> {
    match data_type {
        DataType::Timestamp(unit, zone) => {
            Some((format!("<M8[{}]", unit_name(*unit)), zone.as_deref().map(str::to_owned)))
        }
        DataType::Duration(unit) => Some((format!("<m8[{}]", unit_name(*unit)), None)),
        _ => {
            let (_, kind) = SIMPLE.iter().find(|(simple, _)| simple == data_type)?;
            Some(((*kind).to_owned(), None))
        }
    }
}

/// Simple types but for those of times: as numpy writes them, text with that of its places.
const SIMPLE: &[(DataType, &str)] = &[
    (DataType::Boolean, "bool"),
    (DataType::Int8, "|i1"),
    (DataType::Int16, "<i2"),
    (DataType::Int32, "<i4"),
    (DataType::Int64, "<i8"),
    (DataType::UInt8, "|u1"),
    (DataType::UInt16, "<u2"),
    (DataType::UInt32, "<u4"),
    (DataType::UInt64, "<u8"),
    (DataType::Float16, "<f2"),
    (DataType::Float32, "<f4"),
    (DataType::Float64, "<f8"),
    (DataType::Utf8, "text<i4"),
    (DataType::LargeUtf8, "text<i8"),
];

/// numpy's name of a unit of time.
fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}
