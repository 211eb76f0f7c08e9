//! Callbacks within a call: the worker asks, a function of the program runs, the worker goes on.
//!
//! ```text
//!  request ->            Python runs
//!          <- Callback   Python waits
//!  the function runs; its own calls go down the same lane, see `nested`
//!  CallbackValue ->      Python goes on
//!          <- the reply
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::Poll;
use std::time::Instant;

use snakebridge_wire::frame::{HEADER_LEN, flags};
use snakebridge_wire::{DecodeError, Header, Kind};

use super::binding::{does_not_fit, encode_failure, no_such_callback, session_closed};
use super::nested::{Conversation, Left};
use super::{Answer, LaneState, is_before_reply, more_care};
#[cfg(feature = "tokio")]
use crate::callback::BoxFuture;
use crate::callback::{Bound, CallbackError, Function, Outcome, Returned};
use crate::engine::lane::LaneError;
use crate::engine::sessions::SessionState;
use crate::engine::waiting::Wait;
use crate::error::{Error, Result};

/// A function that is about to run, and the session in which it does.
struct Job {
    bound: Bound,
    session: Arc<SessionState>,
}

impl Answer {
    /// Carries out what the worker wants before it replies, and reads its next frame.
    pub(super) async fn converse<W: Wait>(&mut self) -> Result<()> {
        match self.reply()?.header.kind {
            Kind::Callback => self.call_back::<W>().await?,
            _ => self.note_news()?,
        }
        self.receive::<W>().await
    }

    /// Takes note of what a worker tells ahead of what it was asked for.
    fn note_news(&mut self) -> Result<()> {
        match self.reply()?.header.kind {
            Kind::CallbacksDropped => self.note_dropped(),
            _ => self.note_regions(),
        }
    }

    fn note_regions(&mut self) -> Result<()> {
        let pairs = read_pairs(self.reply()?.body).ok_or_else(|| self.broken(NO_PAIRS))?;
        match (self.reply()?.header.kind, &mut self.lane) {
            (Kind::RegionsKept, Some(lane)) => lane.kept.extend(pairs),
            _ => self.engine.shared.memory.gone(self.worker, &pairs),
        }
        self.advance();
        Ok(())
    }

    fn note_dropped(&mut self) -> Result<()> {
        let dropped = read_pairs(self.reply()?.body).ok_or_else(|| self.broken(NO_PAIRS))?;
        for (id, count) in dropped {
            self.engine.shared.callbacks.dropped(self.worker, id, count);
        }
        self.advance();
        Ok(())
    }

    async fn call_back<W: Wait>(&mut self) -> Result<()> {
        let bound = self.bind::<W>().await?;
        self.advance();
        let outcome = match bound {
            Ok(job) => self.run_callback::<W>(job).await?,
            Err(error) => Err(error),
        };
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            // Python must not go on as if there were time left.
            return Err(self.late());
        }
        // The refs in the answer are not dropped, and so not released, before it is sent.
        let answer = outcome.unwrap_or_else(|error| Returned::from_frame(error_frame(&error)));
        let mut releases = self.releases_ahead();
        self.shift(&mut releases, false);
        self.write::<W>(&releases, &answer.frame, LaneState::writing(&answer.noted)).await
    }

    /// Reads the arguments of a callback. The outer error ends the call, the inner one is an
    /// exception in Python.
    async fn bind<W: Wait>(&mut self) -> Result<Result<Job, CallbackError>> {
        let frame = self.reply()?;
        let Some((id, body)) = frame.body.split_first_chunk::<8>() else {
            return Err(self.broken("a callback without an id"));
        };
        let id = u64::from_le_bytes(*id);
        let Some(function) = self.engine.shared.callbacks.find(id) else {
            return Ok(Err(no_such_callback()));
        };
        let Some(session) = self.session_of(frame.header.session) else {
            return Ok(Err(session_closed()));
        };
        let (mut bound, mut asked) = (self.bind_arguments(&function, &session, body), None);
        while let Err(error) = &bound
            && let Some(flags) = more_care(error, asked)
        {
            asked = Some(flags);
            if let Some(refusal) = self.ask_for_arguments::<W>(flags).await? {
                return Ok(Err(refusal.into()));
            }
            bound = self.bind_arguments(&function, &session, self.reply()?.body);
        }
        Ok(bound.map(|bound| Job { bound, session }).map_err(|error| does_not_fit(&error)))
    }

    fn bind_arguments(
        &self,
        function: &Arc<dyn Function>,
        session: &Arc<SessionState>,
        body: &[u8],
    ) -> Result<Bound, DecodeError> {
        self.peer().bind(function, session, body, |made| self.note_made(made))
    }

    /// Has the worker encode the arguments once more, with care. Gives the reason for which it refuses.
    async fn ask_for_arguments<W: Wait>(&mut self, flags: u16) -> Result<Option<Error>> {
        self.advance();
        let header = Header { kind: Kind::Again, flags, session: 0, len: 0 };
        self.opened(1);
        self.shift(&mut Vec::new(), false);
        self.write::<W>(&[], &header.to_bytes(), LaneState::Writing).await?;
        self.receive::<W>().await?;
        while is_before_reply(self.reply()?.header.kind)
            && self.reply()?.header.kind != Kind::Callback
        {
            self.note_news()?;
            self.receive::<W>().await?;
        }
        self.opened(-1);
        match self.reply()?.header.kind {
            Kind::Value => Ok(None),
            Kind::Error => Ok(Some(self.raised())),
            kind => Err(self.broken(&format!("{kind:?} in the place of arguments"))),
        }
    }

    /// Runs the function of the program, while the lane is there for calls from inside of it.
    async fn run_callback<W: Wait>(&mut self, job: Job) -> Result<Result<Returned, CallbackError>> {
        let Some(lane) = self.lane.take() else {
            return Err(self.failed::<W>(LaneError::Lost).await);
        };
        let key = self.key();
        let conversation = Arc::clone(self.conversation.get_or_insert_with(|| {
            if let Some(deadline) = self.deadline {
                // Nothing can stop the function. The worker at least is not to wait for ever.
                self.engine.shared.placement.watch(key, deadline);
            }
            Conversation::new(&self.engine, self.session.pool, self.worker, self.deadline)
        }));
        conversation.give_back(lane, 0);
        let outcome = match job.bound {
            Bound::Now(function) => {
                caught(conversation.enter(|| catch_unwind(AssertUnwindSafe(function))))
            }
            #[cfg(feature = "tokio")]
            Bound::Later(future) => {
                match W::run(self.deadline, inside(&conversation, future)).await {
                    Ok(outcome) => outcome.unwrap_or_else(|| Err(out_of_time())),
                    Err(error) => Err(error.into()),
                }
            }
        };
        self.note_made(conversation.take_made());
        match conversation.close() {
            Left::Free(lane) => self.lane = Some(lane),
            Left::Running(lane) => {
                self.lane = Some(lane);
                return Err(self.given_up_inside());
            }
            Left::Lost => return Err(self.failed::<W>(LaneError::Lost).await),
        }
        Ok(outcome.and_then(|returned| self.check_returned(returned, &job.session)))
    }

    /// Makes a frame of what a function has returned, if the refs in it are ones that the worker has.
    fn check_returned(
        &self,
        mut returned: Returned,
        session: &Arc<SessionState>,
    ) -> Result<Returned, CallbackError> {
        self.peer().check(&returned, session)?;
        let flags = if returned.has_refs { flags::HAS_REFS } else { 0 };
        let len = (returned.frame.len() - HEADER_LEN) as u64;
        let header = Header { kind: Kind::CallbackValue, flags, session: session.number, len };
        returned.frame[..HEADER_LEN].copy_from_slice(&header.to_bytes());
        Ok(returned)
    }

    fn session_of(&self, number: u32) -> Option<Arc<SessionState>> {
        match self.session.number {
            own if own == number => Some(Arc::clone(&self.session)),
            _ => self.engine.shared.sessions.with_number(number),
        }
    }

    /// The time was over when the function came back.
    fn late(&mut self) -> Error {
        self.answer_with_stop();
        self.timed_out("no answer")
    }

    /// Takes the lane back from a callback that is dropped before it has come back.
    pub(super) fn stop_callback(&mut self) {
        let Some(conversation) = &self.conversation else { return };
        match conversation.close() {
            Left::Free(lane) => {
                self.lane = Some(lane);
                self.answer_with_stop();
            }
            Left::Running(lane) => self.lane = Some(lane),
            Left::Lost => {}
        }
    }

    fn answer_with_stop(&mut self) {
        let sent = self.lane.as_mut().map(|lane| lane.write_at_once(&stop_frame()));
        if !matches!(sent, Some(Ok(true))) {
            self.state = LaneState::Damaged;
        }
    }

    /// A call from inside of the function was given up, and the worker still runs it.
    fn given_up_inside(&self) -> Error {
        self.timed_out(
            "a call from inside of a callback did not end, nor did the call around it end",
        )
    }
}

/// Runs a future of a callback: whatever polls it, its calls find the conversation.
#[cfg(feature = "tokio")]
async fn inside(conversation: &Arc<Conversation>, mut future: BoxFuture) -> Outcome {
    std::future::poll_fn(move |context| {
        let poll = || future.as_mut().poll(context);
        match conversation.enter(|| catch_unwind(AssertUnwindSafe(poll))) {
            Ok(polled) => polled,
            Err(panic) => Poll::Ready(caught(Err(panic))),
        }
    })
    .await
}

/// What comes of a function, which may have panicked.
fn caught(outcome: std::thread::Result<Outcome>) -> Outcome {
    outcome.unwrap_or_else(|panic| Err(CallbackError::panicked("the callback", &*panic)))
}

/// A future was dropped at the deadline. That ends the call, so nobody is told this.
#[cfg(feature = "tokio")]
fn out_of_time() -> CallbackError {
    CallbackError::new("the time of the call was over")
}

/// Ids and counts of dropped callables, or segments and numbers: one after the other.
pub(crate) fn read_pairs(body: &[u8]) -> Option<Vec<(u64, u64)>> {
    let (numbers, []) = body.as_chunks() else { return None };
    let (pairs, []) = numbers.as_chunks() else { return None };
    let read =
        |[first, second]: &[[u8; 8]; 2]| (u64::from_le_bytes(*first), u64::from_le_bytes(*second));
    Some(pairs.iter().map(read).collect())
}

const NO_PAIRS: &str = "numbers that are no pairs";

/// What Python is told in answer to a callback when the call around it is to end.
pub(crate) fn stop_frame() -> Vec<u8> {
    let message = "the call was interrupted by the host";
    error_frame(&CallbackError::python("builtins.KeyboardInterrupt", message))
}

fn error_frame(error: &CallbackError) -> Vec<u8> {
    let mut frame = encode_failure(error);
    let len = (frame.len() - HEADER_LEN) as u64;
    let header = Header { kind: Kind::CallbackError, flags: 0, session: 0, len };
    frame[..HEADER_LEN].copy_from_slice(&header.to_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::read_pairs;

    #[test]
    fn pairs_are_read_as_a_whole_or_not_at_all() {
        let body: Vec<u8> = [7_u64, 1, 8, u64::MAX].iter().flat_map(|n| n.to_le_bytes()).collect();
        assert_eq!(read_pairs(&body), Some(vec![(7, 1), (8, u64::MAX)]));
        assert_eq!(read_pairs(&[]), Some(Vec::new()));
        for end in (1..body.len()).filter(|end| end % 16 != 0) {
            assert_eq!(read_pairs(&body[..end]), None);
        }
    }
}
