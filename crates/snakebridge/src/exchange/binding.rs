//! A function of the program and the values that go in and out of it: the same for every way on which
//! a worker calls it.

use std::sync::Arc;
use std::time::Instant;

use snakebridge_pool::WorkerKey;
use snakebridge_wire::frame::HEADER_LEN;
use snakebridge_wire::{DecodeError, Encoder, Limits, Tape};

use crate::callback::{Bound, CallbackError, Function, Returned};
use crate::engine::Engine;
use crate::engine::memory::Region;
use crate::engine::sessions::SessionState;
use crate::options::CallOptions;
use crate::refs::{Described, Ref};
use crate::scope;

/// A worker from which arguments come, and to which results go.
#[derive(Clone, Copy)]
pub(super) struct Peer<'a> {
    pub(super) engine: &'a Arc<Engine>,
    pub(super) worker: WorkerKey,
    /// For calls on the refs that it sends.
    pub(super) defaults: &'a Arc<CallOptions>,
}

impl Peer<'_> {
    /// Reads the arguments of a function. Tells how many refs were made of them.
    pub(super) fn bind(
        self,
        function: &Arc<dyn Function>,
        session: &Arc<SessionState>,
        arguments: &[u8],
        made: impl FnOnce(u64),
    ) -> Result<Bound, DecodeError> {
        let mut tape = Tape::scan(arguments, Limits::DEFAULT)?;
        let regions = self.regions(&tape)?;
        if tape.ref_count() == 0 && regions.is_empty() {
            return Arc::clone(function).bind(&tape);
        }
        made(tape.ref_count() as u64);
        let refs = self.refs(&tape, session);
        if session.is_closed() {
            self.engine.shared.placement.release_unseen(self.worker, session.number, &[0]);
        }
        scope::decoding(refs, regions, |key| {
            tape.set_ref_key(key);
            Arc::clone(function).bind(&tape)
        })
    }

    /// The arrays in shared memory that the worker has sent.
    pub(super) fn regions(self, tape: &Tape<'_>) -> Result<Vec<Region>, DecodeError> {
        let shared = &self.engine.shared;
        let claim = |(id, len)| {
            let region = shared.memory.claim(shared, self.worker, id, len);
            region.ok_or_else(|| serde::de::Error::custom("an array in memory that is not shared"))
        };
        tape.segments().map(claim).collect()
    }

    /// The refs that the worker has sent.
    pub(super) fn refs(self, tape: &Tape<'_>, session: &Arc<SessionState>) -> Vec<Ref> {
        let described = tape.refs().map(|(id, module, qualname, traits)| Described {
            id,
            module,
            qualname,
            traits,
        });
        Ref::all(self.engine, session, self.defaults, self.worker, described)
    }

    /// Whether the worker can be sent what a function has returned.
    pub(super) fn check(
        self,
        returned: &Returned,
        session: &SessionState,
    ) -> Result<(), CallbackError> {
        for object in &returned.noted.refs {
            object.begin_use(session, self.engine, Instant::now())?;
            object.end_use();
            if object.worker() != self.worker {
                let message = "the ref that was returned lives on another worker";
                return Err(CallbackError::new(message));
            }
        }
        for callback in &returned.noted.callbacks {
            callback.check_use(self.engine)?;
            self.engine.shared.callbacks.sent(self.worker, callback.id());
        }
        Ok(())
    }
}

/// The arguments cannot be read into the parameters.
pub(super) fn does_not_fit(error: &DecodeError) -> CallbackError {
    let message = format!("the arguments of the callback do not fit: {error}");
    CallbackError::python("builtins.TypeError", message)
}

pub(super) fn no_such_callback() -> CallbackError {
    CallbackError::new("the host has no such callback any more")
}

pub(super) fn session_closed() -> CallbackError {
    CallbackError::new("the session of the callback was closed")
}

/// A failure, with room for a header before it.
pub(super) fn encode_failure(error: &CallbackError) -> Vec<u8> {
    let mut encoder = Encoder::new(vec![0; HEADER_LEN]);
    // Text and lists of text can always be written.
    let _ = encoder.value(&(&error.class, &error.message, &error.causes));
    encoder.finish()
}
