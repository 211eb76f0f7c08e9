//! Results of calls that were not made yet.

use std::fmt;
use std::marker::PhantomData;

use serde::ser::{Error as _, Serialize, Serializer};
use snakebridge_wire::reply::FIRST_RESULT;
use snakebridge_wire::token;

use crate::scope;

/// The result that a call of a [`Pipeline`](crate::Pipeline) will have had.
///
/// Can be an argument of later calls of the pipeline, or a part of one: Python puts the object itself there,
/// whatever `R` is. When the calls were made, [`Results::take`](crate::Results::take) gives the result for it.
pub struct Promise<R> {
    pub(super) pipeline: u64,
    pub(super) place: u64,
    result: PhantomData<fn() -> R>,
}

impl<R> Promise<R> {
    pub(super) fn new(pipeline: u64, place: u64) -> Self {
        Self { pipeline, place, result: PhantomData }
    }
}

impl<R> Clone for Promise<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Promise<R> {}

impl<R> Serialize for Promise<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !scope::note_promise(self.pipeline) {
            let message = "a promise can only be an argument of a later call of its pipeline";
            return Err(S::Error::custom(message));
        }
        serializer.serialize_newtype_struct(token::REF, &(FIRST_RESULT + self.place))
    }
}

impl<R> fmt::Debug for Promise<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<result of call {}>", self.place + 1)
    }
}
