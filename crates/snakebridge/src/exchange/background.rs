//! Callbacks that no call waits for: from threads in Python, and while nothing is called.
//!
//! ```text
//!  BackgroundCallback ->  supervisor -> a thread of the bridge: the function runs
//!  <- BackgroundValue     supervisor <-
//! ```
//!
//! The function's own calls are like any other: the lane belongs to whoever has it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use snakebridge_pool::WorkerKey;
use snakebridge_wire::frame::{HEADER_LEN, flags};
use snakebridge_wire::{Header, Kind};

use super::binding::{Peer, does_not_fit, encode_failure, no_such_callback, session_closed};
use crate::callback::{CallbackError, Returned};
use crate::engine::{Command, Engine, Shared};
use crate::options::CallOptions;

/// A callback that no call waits for, as it has come.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) worker: WorkerKey,
    pub(crate) session: u32,
    /// Names this one among all of the worker.
    pub(crate) number: u64,
    id: u64,
    arguments: Vec<u8>,
}

impl Asked {
    /// Reads a frame. None if it is too short.
    pub(crate) fn parse(worker: WorkerKey, session: u32, body: &[u8]) -> Option<Self> {
        let (number, body) = body.split_first_chunk()?;
        let (id, arguments) = body.split_first_chunk()?;
        let (number, id) = (u64::from_le_bytes(*number), u64::from_le_bytes(*id));
        Some(Self { worker, session, number, id, arguments: arguments.to_vec() })
    }
}

/// Runs the function, and has the supervisor send what comes of it.
pub(crate) fn carry_out(shared: &Shared, asked: &Asked) {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(shared, asked)))
        .unwrap_or_else(|panic| Err(CallbackError::panicked("the callback", &*panic)));
    let (frame, refs) = match outcome {
        Ok((returned, session)) => {
            let flags = if returned.has_refs { flags::HAS_REFS } else { 0 };
            let header = Header { kind: Kind::BackgroundValue, flags, session, len: 0 };
            (answer(header, asked.number, &returned.frame), returned.noted.refs)
        }
        Err(error) => (failure(asked.number, &error), Vec::new()),
    };
    let (worker, number) = (asked.worker, asked.number);
    // Nobody takes it if the worker has ended, or the bridge.
    shared.placement.ask(Command::Tell { worker, number, frame, refs });
}

/// What a worker is told that has called back too late.
pub(crate) fn refusal(number: u64, why: &str) -> Vec<u8> {
    failure(number, &CallbackError::new(why))
}

fn run(shared: &Shared, asked: &Asked) -> Result<(Returned, u32), CallbackError> {
    let function = shared.callbacks.find(asked.id).ok_or_else(no_such_callback)?;
    let session = shared.sessions.with_number(asked.session).ok_or_else(session_closed)?;
    let bound = with_peer(shared, asked, |peer| {
        let made = |made| shared.placement.made(asked.worker, made);
        let bound = peer.bind(&function, &session, &asked.arguments, made);
        bound.map_err(|error| does_not_fit(&error))
    })?;
    // Nothing here keeps the bridge running meanwhile.
    let returned = bound.run()?;
    with_peer(shared, asked, |peer| peer.check(&returned, &session))?;
    Ok((returned, session.number))
}

fn with_peer<T>(
    shared: &Shared,
    asked: &Asked,
    then: impl FnOnce(Peer<'_>) -> Result<T, CallbackError>,
) -> Result<T, CallbackError> {
    let engine: Option<Arc<Engine>> = shared.engine.get().and_then(Weak::upgrade);
    let Some(engine) = engine else { return Err(CallbackError::new(BRIDGE_ENDED)) };
    let defaults = Arc::new(CallOptions::default());
    then(Peer { engine: &engine, worker: asked.worker, defaults: &defaults })
}

/// Why nothing runs for a bridge that is gone.
pub(crate) const BRIDGE_ENDED: &str = "the bridge was shut down";

fn failure(number: u64, error: &CallbackError) -> Vec<u8> {
    let header = Header { kind: Kind::BackgroundError, flags: 0, session: 0, len: 0 };
    answer(header, number, &encode_failure(error))
}

/// A frame of something that was written with room for a header, with the number in between.
fn answer(mut header: Header, number: u64, written: &[u8]) -> Vec<u8> {
    let body = written.get(HEADER_LEN..).unwrap_or_default();
    let number = number.to_le_bytes();
    header.len = (number.len() + body.len()) as u64;
    [&header.to_bytes()[..], &number, body].concat()
}
