//! Tables as bytes: streams of Arrow's IPC format.

use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamEncoder;
use arrow_ipc::{Message, root_as_message};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef};

/// What every message begins with, before the length of its words.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Bytes before the words of a message.
const PREFIX: usize = 8;
/// The end of a stream.
const END: [u8; PREFIX] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// A stream that is to be written somewhere. The data of the table is not copied for it.
pub(super) struct Written {
    parts: Vec<Buffer>,
    pub(super) len: usize,
}

impl Written {
    pub(super) fn of(schema: &Schema, batches: &[RecordBatch]) -> Result<Self, ArrowError> {
        let mut encoder = StreamEncoder::try_new(schema)?;
        let mut parts = Vec::new();
        for batch in batches {
            parts.extend(encoder.encode(batch)?);
        }
        parts.extend(encoder.finish()?);
        let len = parts.iter().map(Buffer::len).sum();
        Ok(Self { parts, len })
    }

    /// Writes it to bytes of this length.
    pub(super) fn write_to(&self, mut to: &mut [u8]) {
        for part in &self.parts {
            // There are as many as were counted.
            let (here, rest) = to.split_at_mut(part.len());
            here.copy_from_slice(part);
            to = rest;
        }
    }
}

/// Where a message is in the bytes of a stream.
pub(super) struct Place {
    /// Its words, without what is before them.
    pub(super) words: Range<usize>,
    pub(super) data: Range<usize>,
}

/// The message that begins here; `None` at the end of the stream.
pub(super) fn message_at(stream: &[u8], start: usize) -> Result<Option<Place>, ArrowError> {
    let cut_off = || ArrowError::IpcError("the stream is cut off".to_owned());
    let Some(rest) = stream.get(start..).filter(|rest| !rest.is_empty()) else { return Ok(None) };
    let prefix = rest.first_chunk::<PREFIX>().ok_or_else(cut_off)?;
    if prefix[..4] != CONTINUATION {
        return Err(ArrowError::IpcError("a message that does not begin as one".to_owned()));
    }
    let len = u32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]) as usize;
    if len == 0 {
        return Ok(None);
    }
    let words = start + PREFIX..start + PREFIX + len;
    let data_len = parse(stream.get(words.clone()).ok_or_else(cut_off)?)?.bodyLength();
    let end = usize::try_from(data_len).ok().and_then(|len| words.end.checked_add(len));
    let end = end.filter(|end| *end <= stream.len()).ok_or_else(cut_off)?;
    Ok(Some(Place { data: words.end..end, words }))
}

/// What the words of a message say.
pub(super) fn parse(words: &[u8]) -> Result<Message<'_>, ArrowError> {
    root_as_message(words).map_err(|error| ArrowError::IpcError(error.to_string()))
}

/// Reads a stream. Its data is used where it is, as far as any bytes are fine there: what was checked once
/// (text, the places of items) must not change afterwards, and so is copied.
pub(super) fn read(stream: &Buffer) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    let mut decoder = StreamDecoder::new();
    let mut batches = Vec::new();
    let mut feed = |decoder: &mut StreamDecoder, mut part: Buffer| {
        while !part.is_empty() {
            batches.extend(decoder.decode(&mut part)?);
        }
        Ok::<_, ArrowError>(())
    };
    let mut at = 0;
    while let Some(place) = message_at(stream, at)? {
        // It is looked at more than once, so it must not change either.
        let head = stream[place.words.start - PREFIX..place.words.end].to_vec();
        let is_plain = has_no_nulls(&parse(&head[PREFIX..])?);
        feed(&mut decoder, head.into())?;
        let data = stream.slice_with_length(place.data.start, place.data.len());
        // The schema has been read when the words of the first batch have.
        let is_plain = is_plain && decoder.schema().is_some_and(|schema| is_plain_schema(&schema));
        feed(&mut decoder, if is_plain { data } else { Buffer::from(data.as_slice()) })?;
        at = place.data.end;
    }
    feed(&mut decoder, Buffer::from(END))?;
    decoder.finish()?;
    let schema = decoder.schema();
    let schema = schema.ok_or_else(|| ArrowError::IpcError("there is no schema".to_owned()))?;
    Ok((schema, batches))
}

fn has_no_nulls(message: &Message<'_>) -> bool {
    let nodes = message.header_as_record_batch().and_then(|batch| batch.nodes());
    nodes.is_some_and(|nodes| nodes.iter().all(|node| node.null_count() == 0))
}

/// Whether all columns are numbers of one size each.
fn is_plain_schema(schema: &Schema) -> bool {
    schema.fields().iter().all(|field| match field.data_type() {
        DataType::Boolean => false,
        other => other.is_primitive(),
    })
}
