//! Getting the items of a stream, a batch at a time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use snakebridge_wire::Kind;

use crate::call::RawCall;
use crate::draft::Draft;
use crate::engine::waiting::Wait;
use crate::error::{Error, ErrorKind, Result};
use crate::exchange::{Batch, BatchEnd};
use crate::options::{CallOptions, Limit};
use crate::refs::Ref;

/// Most items of one batch, where nothing else is said.
const MOST_ITEMS: usize = 4096;

/// About how many bytes a batch is to have at most.
const BATCH_BYTES: usize = 1 << 20;

/// A stream: where its items come from, and those that have come already.
pub(super) struct Feed<T> {
    source: Source,
    items: VecDeque<Result<T>>,
    /// How many items the next batch may have.
    count: usize,
    pub(super) most_items: usize,
    /// Options of the call that began it.
    pub(super) options: CallOptions,
    /// How long the whole may take, and until when, once it has begun.
    pub(super) total: Option<Duration>,
    deadline: Option<Instant>,
    /// What is iterated over, for errors.
    target: String,
}

enum Source {
    /// Nothing was sent yet.
    Call(Box<RawCall>),
    Iterator(Ref),
    /// There are no more items.
    Ended,
}

impl<T: DeserializeOwned + 'static> Feed<T> {
    pub(super) fn new(mut call: RawCall) -> Self {
        let options = std::mem::take(&mut call.options);
        let target = call.target();
        Self {
            source: Source::Call(Box::new(call)),
            items: VecDeque::new(),
            count: 2,
            most_items: MOST_ITEMS,
            options,
            total: None,
            deadline: None,
            target,
        }
    }

    /// The next item, if it has come already; the end, if there is none.
    pub(super) fn ready(&mut self) -> Option<Option<Result<T>>> {
        match self.items.pop_front() {
            Some(item) => Some(Some(item)),
            None if matches!(self.source, Source::Ended) => Some(None),
            None => None,
        }
    }

    /// Gets further items, or an error in the place of one.
    pub(super) async fn fetch<W: Wait>(&mut self) {
        match self.batch::<W>().await {
            Ok(batch) => self.take(batch),
            Err(error) => {
                self.source = Source::Ended;
                self.items.push_back(Err(error));
            }
        }
    }

    async fn batch<W: Wait>(&mut self) -> Result<Batch<T>> {
        let mut call = match std::mem::replace(&mut self.source, Source::Ended) {
            Source::Call(call) => {
                self.deadline = self.total.and_then(|total| Instant::now().checked_add(total));
                *call
            }
            Source::Iterator(iterator) => {
                let call = Draft::on_ref(Kind::Next, &iterator)
                    .operation("the next items")
                    .item("the count", &self.count.min(self.most_items))
                    .finish_raw();
                self.source = Source::Iterator(iterator);
                call
            }
            Source::Ended => return Err(ended()),
        };
        call.asks_for::<T>();
        call.options = self.options.clone();
        let bounded = self.bound(&mut call.options);
        let error = match call.batch::<T, W>().await {
            Ok(batch) => return Ok(batch),
            Err(error) => error,
        };
        Err(match (bounded, error.kind()) {
            (Some(total), ErrorKind::Timeout) => {
                let message = format!("the stream has not ended within {total:?}");
                Error::new(ErrorKind::Timeout, message).with_target(self.target.as_str())
            }
            _ => error.with_target(self.target.as_str()),
        })
    }

    /// Bounds a call by what is left of the time for the whole. Gives that time if it is what counts.
    fn bound(&self, options: &mut CallOptions) -> Option<Duration> {
        let left = self.deadline?.saturating_duration_since(Instant::now());
        if matches!(options.limit, Some(Limit::After(limit)) if limit <= left) {
            return None;
        }
        options.limit = Some(Limit::After(left));
        self.total
    }

    fn take(&mut self, batch: Batch<T>) {
        let count = batch.items.len();
        self.count = match batch.end {
            // Whoever waits for the first item of a batch is not to wait for a slow one behind it.
            BatchEnd::Slow => 1,
            _ if batch.bytes > BATCH_BYTES => (count * BATCH_BYTES / batch.bytes).max(1),
            _ => (2 * count).max(1),
        };
        let items = batch.items.into_iter().chain(batch.error.map(Err));
        let named = |error: Error| error.with_target(self.target.as_str());
        self.items.extend(items.map(|item| item.map_err(named)));
        if batch.end == BatchEnd::AtEnd {
            self.source = Source::Ended;
        } else if let Some(iterator) = batch.iterator {
            self.source = Source::Iterator(iterator);
        }
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Misuse, "the stream has ended")
}
