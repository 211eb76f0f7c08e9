//! Reading the items of a stream from a reply.

use serde::de::{Deserialize, DeserializeOwned};
use snakebridge_wire::{DecodeError, DecodeErrorKind, Limits, Tape};

use super::Answer;
use crate::WorkerId;
use crate::engine::waiting::Wait;
use crate::error::{Error, PythonError, Result};
use crate::refs::Ref;

/// Some items of a stream.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    /// Where the next ones come from, if it was not known before.
    pub(crate) iterator: Option<Ref>,
    pub(crate) items: Vec<Result<T>>,
    pub(crate) end: BatchEnd,
    /// An exception that came after the items.
    pub(crate) error: Option<Error>,
    /// Size of the reply.
    pub(crate) bytes: usize,
}

/// Why a batch has no more items than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchEnd {
    /// There are no more.
    AtEnd,
    /// It has as many as were wanted, or its time was over; all were made quickly.
    Quick,
    /// The last one took long.
    Slow,
}

/// A batch as it is sent.
struct Sent<T> {
    /// Id, module and name of its class, traits.
    iterator: Option<(u64, String, String, u32)>,
    items: Vec<Result<T, DecodeError>>,
    end: BatchEnd,
    error: Option<PythonError>,
}

impl Answer {
    /// Reads the reply of a request that iterates.
    pub(crate) async fn batch<T: DeserializeOwned, W: Wait>(&mut self) -> Result<Batch<T>> {
        self.with_care::<_, W>(Self::read_batch).await
    }

    fn read_batch<T: DeserializeOwned>(&self) -> Result<Batch<T>, DecodeError> {
        let Some(frame) = self.lane.as_ref().and_then(|lane| lane.reply()) else {
            return Err(serde::de::Error::custom("there is no reply"));
        };
        let mut tape = Tape::scan(frame.body, Limits::DEFAULT)?;
        let sent = self.decoding(&mut tape, parse)?;
        let items = sent.items.into_iter();
        let worker = WorkerId(self.worker.slot);
        let iterator = sent.iterator.and_then(|iterator| self.make_ref(&iterator));
        Ok(Batch {
            iterator,
            items: items.map(|item| item.map_err(|error| self.decode_error(&error))).collect(),
            end: sent.end,
            error: sent.error.map(|error| Error::raised(error).with_worker(worker)),
            bytes: frame.body.len(),
        })
    }
}

/// `(iterator, items, state, error)`.
fn parse<T: DeserializeOwned>(tape: &Tape<'_>) -> Result<Sent<T>, DecodeError> {
    let mut parts = tape.deserializer().items()?;
    let mut next =
        || parts.next().ok_or_else(|| serde::de::Error::custom("a part of a batch is missing"));
    let iterator = Option::deserialize(next()?)?;
    let items: Vec<Result<T, DecodeError>> = next()?.items()?.map(T::deserialize).collect();
    let is_careful = |error: &&DecodeError| matches!(error.kind(), DecodeErrorKind::Careful(_));
    if let Some(error) = items.iter().filter_map(|item| item.as_ref().err()).find(is_careful) {
        return Err(error.clone());
    }
    let end = match u8::deserialize(next()?)? {
        0 => BatchEnd::AtEnd,
        1 => BatchEnd::Quick,
        _ => BatchEnd::Slow,
    };
    Ok(Sent { iterator, items, end, error: Option::deserialize(next()?)? })
}
