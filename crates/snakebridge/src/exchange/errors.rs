//! What went wrong with a call, in words.

use std::time::Duration;

use snakebridge_pool::WorkerKey;
use snakebridge_wire::reply::{Fault, FaultCode};
use snakebridge_wire::{DecodeError, DecodeErrorKind, Limits, Tape};

use super::{Answer, LaneState};
use crate::engine::WorkerId;
use crate::engine::lane::LaneError;
use crate::engine::loss::Loss;
use crate::engine::waiting::Wait;
use crate::error::{Error, ErrorKind, PythonError};

/// How long the supervisor may take to say how a worker ended.
const LOSS_LIMIT: Duration = Duration::from_secs(5);

impl Answer {
    pub(super) async fn failed<W: Wait>(&mut self, error: LaneError) -> Error {
        match error {
            LaneError::TimeoutAfter => self.timed_out("no answer"),
            LaneError::TimeoutBefore => {
                let limit = self.limit.unwrap_or_default();
                let message = format!("the worker did not take the request within {limit:?}");
                Error::new(ErrorKind::Timeout, message).with_worker(WorkerId(self.worker.slot))
            }
            #[cfg(feature = "tokio")]
            LaneError::NoRuntime => {
                let message = "the tokio runtime of the call was shut down, or left by the call";
                Error::new(ErrorKind::Misuse, message)
            }
            LaneError::Frame(error) => {
                self.state = LaneState::Damaged;
                self.protocol(&error.to_string())
            }
            LaneError::Lost => {
                self.lane = None;
                self.engine.shared.placement.give_back_damaged(self.key());
                let loss = W::loss_of(&self.engine.shared.placement, self.worker, LOSS_LIMIT).await;
                worker_lost(self.worker, loss.as_deref())
            }
        }
    }

    pub(super) fn timed_out(&self, what: &str) -> Error {
        let limit = self.limit.unwrap_or_default();
        Error::new(ErrorKind::Timeout, format!("{what} within {limit:?}"))
            .with_worker(WorkerId(self.worker.slot))
            .with_hint("allow it more time with `.timeout(..)` or `.no_timeout()`")
    }

    /// The worker has sent what it must not send: it cannot be used any more.
    pub(super) fn broken(&mut self, what: &str) -> Error {
        self.state = LaneState::Damaged;
        self.protocol(what)
    }

    pub(super) fn raised(&self) -> Error {
        let error = self.reply().and_then(|frame| {
            Tape::scan(frame.body, Limits::DEFAULT)
                .and_then(|tape| tape.decode::<PythonError>())
                .map_err(|error| {
                    self.protocol(&format!("an exception that cannot be read: {error}"))
                })
        });
        let number = self.reply().map_or(0, |frame| frame.header.session);
        match error {
            Ok(python) => Error::raised(python)
                .with_worker(WorkerId(self.worker.slot))
                .with_exception(self.worker, number),
            Err(error) => error,
        }
    }

    pub(super) fn fault(&self) -> Error {
        let fault = match self.reply().map(|frame| Fault::parse(frame.body)) {
            Ok(Ok(fault)) => fault,
            Ok(Err(error)) => {
                return self.protocol(&format!("a fault that cannot be read: {error}"));
            }
            Err(error) => return error,
        };
        self.fault_error(fault.code, &fault.text)
    }

    pub(super) fn fault_error(&self, code: FaultCode, text: &str) -> Error {
        let error = match code {
            FaultCode::RefNotFound => Error::new(
                ErrorKind::RefReleased,
                format!("the worker holds no object for ref {text}"),
            ),
            FaultCode::Arguments => {
                let message = format!("Python cannot build the arguments: {text}");
                Error::new(ErrorKind::Encode, message)
            }
            FaultCode::NotMade => {
                Error::new(ErrorKind::NotMade, format!("the call was not made: {text}"))
            }
            FaultCode::HelperNotFound => {
                Error::new(ErrorKind::HelperNotFound, format!("there is no such helper; {text}"))
            }
            FaultCode::NotAllowed => Error::new(ErrorKind::NotAllowed, text)
                .with_hint("if it is meant to be called, change the `Guard`, or `Helpers::allow`"),
            _ => self.protocol(text),
        };
        error.with_worker(WorkerId(self.worker.slot))
    }

    pub(super) fn decode_error(&self, error: &DecodeError) -> Error {
        let out = match error.kind() {
            DecodeErrorKind::Malformed => self.protocol(&error.to_string()),
            _ => Error::new(ErrorKind::Decode, format!("the result does not fit: {error}")),
        };
        let message = error.message();
        let out = out.with_worker(WorkerId(self.worker.slot));
        if message.contains("found a ref to a `coroutine`") {
            out.with_hint("have Python await it: `.awaited()`")
        } else if message.contains("expected an array, found a ref to") {
            out.with_hint(
                "arrays of numbers are copied, on the CPU and without a mask; see `Array`",
            )
        } else if message.contains("expected an array of") && message.contains("found one of") {
            out.with_hint(
                "convert it in Python first, with `.astype(..)`, ask for its dtype, or for a `RawArray`",
            )
        } else if message.contains("found a ref to") {
            out.with_hint("ask for a `Ref`, or convert the object in Python first")
        } else if message.contains("expected a ref, found") {
            out.with_hint("ask for the value, or keep the result in Python with `.by_ref()`")
        } else if message.contains("found None") {
            out.with_hint("ask for an `Option` where Python may give `None`")
        } else {
            out
        }
    }

    pub(super) fn protocol(&self, what: &str) -> Error {
        Error::new(ErrorKind::Protocol, format!("the worker broke the protocol: {what}"))
            .with_worker(WorkerId(self.worker.slot))
            .with_hint("please report this as a bug of snakebridge")
    }
}

fn worker_lost(worker: WorkerKey, loss: Option<&Loss>) -> Error {
    let how = loss.map_or_else(|| "ended".to_owned(), Loss::describe);
    let error = Error::new(ErrorKind::WorkerLost, format!("the worker {how} during the call"))
        .with_worker(WorkerId(worker.slot));
    match loss.and_then(Loss::last_words) {
        Some(words) => error.with_source(words),
        None => error,
    }
}
