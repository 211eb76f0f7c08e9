//! What came of the calls of a pipeline.

use std::any::Any;
use std::fmt;

use serde::de::DeserializeOwned;
use snakebridge_wire::{DecodeError, Deserializer};

use super::Promise;
use crate::error::{Error, ErrorKind, Result};

/// Reads a result of a type that only the promise knows.
pub(super) type Read = fn(Deserializer<'_, '_>) -> Result<Box<dyn Any + Send>, DecodeError>;

pub(super) fn boxed<R>(value: Deserializer<'_, '_>) -> Result<Box<dyn Any + Send>, DecodeError>
where
    R: DeserializeOwned + Send + 'static,
{
    R::deserialize(value).map(|value| Box::new(value) as Box<dyn Any + Send>)
}

/// The results of a [`Pipeline`](crate::Pipeline), each of which can be taken once.
#[must_use = "the errors of single calls are in here"]
pub struct Results {
    pipeline: u64,
    /// None where it was taken.
    outcomes: Vec<Option<Result<Box<dyn Any + Send>>>>,
}

impl Results {
    pub(super) fn new(pipeline: u64, outcomes: Vec<Result<Box<dyn Any + Send>>>) -> Self {
        Self { pipeline, outcomes: outcomes.into_iter().map(Some).collect() }
    }

    /// Takes out the result of a call.
    ///
    /// # Errors
    /// The error of the call; [`ErrorKind::NotMade`] where it was not made, because it uses the result of a
    /// call that has failed; [`ErrorKind::Misuse`] if the result was taken already, or the promise is
    /// of another pipeline.
    pub fn take<R: 'static>(&mut self, promise: Promise<R>) -> Result<R> {
        if promise.pipeline != self.pipeline {
            return Err(Error::new(ErrorKind::Misuse, "the promise is of another pipeline"));
        }
        let place = usize::try_from(promise.place).unwrap_or(usize::MAX);
        let Some(outcome) = self.outcomes.get_mut(place).and_then(Option::take) else {
            let message = format!("the result of call {} was taken already", promise.place + 1);
            return Err(Error::new(ErrorKind::Misuse, message));
        };
        match outcome?.downcast() {
            Ok(value) => Ok(*value),
            Err(_) => Err(Error::new(ErrorKind::Misuse, "the promise is of another type")),
        }
    }

    /// Whether all calls went well whose results were not taken: the error of the first that did not.
    ///
    /// # Errors
    /// As for [`take`](Self::take).
    pub fn check(&self) -> Result<()> {
        match self.outcomes.iter().flatten().find_map(|outcome| outcome.as_ref().err()) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.outcomes.iter().flatten();
        let failed = left.clone().filter(|outcome| outcome.is_err()).count();
        f.debug_struct("Results")
            .field("left", &left.count())
            .field("failed", &failed)
            .finish_non_exhaustive()
    }
}
