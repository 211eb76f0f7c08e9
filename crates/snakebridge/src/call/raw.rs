//! What is under a call: its frame, what was decided about it, and how it is carried out.

use std::any::{Any, TypeId};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use serde::de::DeserializeOwned;
use snakebridge_wire::frame::{HEADER_LEN, flags};
use snakebridge_wire::{DecodeError, Deserializer, Header, Kind};

use super::Plan;
use crate::arrays::is_array;
use crate::bridge::Home;
use crate::engine::results::Lookup;
use crate::engine::waiting::Wait;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::exchange::{self, Answer, Batch};
use crate::options::CallOptions;
use crate::refs::Ref;
use crate::scope::Noted;

/// A call without the type of its result.
pub(crate) struct RawCall {
    pub(crate) kind: Kind,
    pub(crate) flags: u16,
    /// Room for the header, then the body.
    pub(crate) frame: Vec<u8>,
    pub(crate) named: Named,
    pub(crate) home: Home,
    pub(crate) receiver: Option<Ref>,
    /// The refs and callbacks among the arguments.
    pub(crate) noted: Noted,
    /// How many refs, the receiver first, are marked as used by this call.
    pub(crate) used: usize,
    pub(crate) error: Option<Error>,
    pub(crate) options: CallOptions,
}

/// Where the names for error messages stand in the frame.
#[derive(Clone, Debug)]
pub(crate) enum Named {
    Function { module: Range<usize>, name: Range<usize> },
    Helper(Range<usize>),
    Member(Range<usize>),
    Operation(&'static str),
}

/// A call whose request was sent, unless it has no need to be sent yet.
pub(crate) struct Begun {
    plan: Plan,
    kept: Option<Lookup>,
    answer: Option<Answer>,
}

impl Begun {
    /// Waits until there is something to read, or the time is over. False if the other end of
    /// `cancelled` was closed first.
    pub(crate) fn wait_unless(&mut self, cancelled: &OwnedFd) -> bool {
        self.answer.as_mut().is_none_or(|answer| answer.wait_unless(cancelled))
    }
}

/// How often an idempotent call is made again after its worker was lost, within its time. A call
/// that ends two more workers is what ends them.
const TRIES_AGAIN: usize = 2;

impl RawCall {
    /// The call that gives the first items of the result.
    pub(super) fn iterated(mut self) -> Self {
        match self.kind.iterated() {
            Some(kind) => self.kind = kind,
            None => self.refuse("the result of this operation cannot be iterated over"),
        }
        self
    }

    /// Notes what the type of the result says of the result.
    pub(crate) fn asks_for<R: 'static>(&mut self) {
        if TypeId::of::<R>() == TypeId::of::<Ref>() {
            self.flags |= flags::BY_REF;
        } else if is_array::<R>() {
            self.flags |= flags::ARRAYS;
        }
        #[cfg(feature = "arrow")]
        if crate::tables::is_table::<R>() {
            self.flags |= flags::TABLES;
        }
    }

    pub(super) fn refuse(&mut self, message: &str) {
        self.error.get_or_insert_with(|| Error::new(ErrorKind::Misuse, message));
    }

    /// Makes the call and reads the items that it gives.
    pub(crate) async fn batch<T, W>(&mut self) -> Result<Batch<T>>
    where
        T: DeserializeOwned,
        W: Wait,
    {
        let made = match self.plan() {
            Ok(plan) => match self.run::<W>(&plan, None).await {
                Ok(mut answer) => answer.batch::<T, W>().await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        made.map_err(|error| self.explain(error))
    }

    /// Sends the request, where it can be sent ahead of its reply.
    pub(crate) async fn begin<W: Wait>(&mut self) -> Result<Begun> {
        let plan = self.plan().map_err(|error| self.explain(error))?;
        let kept = self.look_up(&plan);
        let is_known = kept.as_ref().is_some_and(|kept| kept.found.is_some());
        let begun = match is_known || exchange::is_nested(self, &plan)? {
            true => None,
            false => match exchange::begin::<W>(self, &plan).await {
                Ok(begun) => Some(begun),
                // The worker had ended already: another one will do where the result is waited for.
                Err(error) if self.tries_again(&plan) && is_loss(&error) => None,
                Err(error) => return Err(self.explain(error)),
            },
        };
        Ok(Begun { plan, kept, answer: begun })
    }

    /// Waits for the result of a call that was begun.
    pub(crate) async fn finish<R: DeserializeOwned + 'static, W: Wait>(
        &mut self,
        begun: Begun,
    ) -> Result<R> {
        let Begun { plan, kept, answer } = begun;
        if let Some(result) = kept.as_ref().and_then(exchange::decode_kept) {
            return Ok(result);
        }
        let finished = self.carry_out::<R, W>(&plan, kept.as_ref(), answer).await;
        finished.map_err(|error| self.explain(error))
    }

    /// Waits for the results of a pipeline that was begun.
    pub(crate) async fn outcomes<T, W: Wait>(
        &mut self,
        begun: Begun,
        count: usize,
        read: impl Fn(usize, Deserializer<'_, '_>) -> Result<T, DecodeError>,
    ) -> Result<Vec<Result<T>>> {
        let outcomes = match self.run::<W>(&begun.plan, begun.answer).await {
            Ok(mut answer) => answer.outcomes::<T, W>(count, read).await,
            Err(error) => Err(error),
        };
        outcomes.map_err(|error| self.explain(error))
    }

    /// Makes the call and reads its result, which is kept where results are.
    pub(super) async fn carry_out<R: DeserializeOwned + 'static, W: Wait>(
        &mut self,
        plan: &Plan,
        kept: Option<&Lookup>,
        begun: Option<Answer>,
    ) -> Result<R> {
        let mut answer = self.run::<W>(plan, begun).await?;
        let result = read::<R, W>(&mut answer).await?;
        if let Some(kept) = kept {
            answer.keep(kept);
        }
        Ok(result)
    }

    /// Makes the call, which may have been begun; again if its worker was lost and that does no harm.
    async fn run<W: Wait>(&mut self, plan: &Plan, mut begun: Option<Answer>) -> Result<Answer> {
        let mut left = if self.tries_again(plan) { TRIES_AGAIN } else { 0 };
        loop {
            let outcome = match begun.take() {
                Some(begun) => begun.finish::<W>().await,
                None => exchange::run::<W>(self, plan).await,
            };
            match outcome {
                Err(error) if is_loss(&error) && left > 0 => left -= 1,
                outcome => return outcome,
            }
        }
    }

    /// Looks among the results that the pool keeps, if the call may be answered from there.
    pub(super) fn look_up(&mut self, plan: &Plan) -> Option<Lookup> {
        let pool = self.home.engine().ok()?.shared.config.pool(plan.session.pool);
        let results = Arc::clone(pool.results.as_ref()?);
        let has_refs = self.receiver.is_some() || !self.noted.is_empty();
        let is_many = self.kind == Kind::Pipeline;
        if has_refs || is_many || self.flags & flags::BY_REF != 0 || !self.is_idempotent() {
            return None;
        }
        // One result for all sessions.
        self.write_header(0);
        let key = self.frame.as_slice().into();
        self.write_header(plan.session.number);
        Some(results.look_up(key, Instant::now()))
    }

    /// Whether the call is made again when its worker is lost.
    fn tries_again(&self, plan: &Plan) -> bool {
        self.is_idempotent() && plan.pinned.is_none()
    }

    fn is_idempotent(&self) -> bool {
        self.options.idempotent.or(self.home.defaults.idempotent).unwrap_or(false)
    }

    pub(super) fn write_header(&mut self, session: u32) {
        let len = (self.frame.len() - HEADER_LEN) as u64;
        let header = Header { kind: self.kind, flags: self.flags, session, len };
        self.frame[..HEADER_LEN].copy_from_slice(&header.to_bytes());
    }

    /// Adds to an error what was called, and whether it may be repeated.
    pub(super) fn explain(&self, error: Error) -> Error {
        let error = match error.retry() {
            Retry::IfIdempotent if self.is_idempotent() => error.with_retry(Retry::Safe),
            _ => error,
        };
        match error.target() {
            Some(_) => error,
            None => error.with_target(self.target()),
        }
    }

    pub(crate) fn target(&self) -> String {
        self.named.describe(&self.frame, self.receiver.as_ref())
    }
}

impl Named {
    /// What is called, by the names in a frame.
    pub(crate) fn describe(&self, frame: &[u8], receiver: Option<&Ref>) -> String {
        let text = |range: &Range<usize>| {
            String::from_utf8_lossy(frame.get(range.clone()).unwrap_or_default())
        };
        let owner = receiver.map_or("", |receiver| receiver.type_name());
        match self {
            // Each stream has this made when it begins.
            Self::Function { module, name } => [&text(module), ".", &text(name)].concat(),
            Self::Helper(name) => text(name).into_owned(),
            Self::Member(name) => [owner, ".", &text(name)].concat(),
            Self::Operation(name) if owner.is_empty() => (*name).to_owned(),
            Self::Operation(name) => format!("{name} of {owner}"),
        }
    }
}

impl Drop for RawCall {
    fn drop(&mut self) {
        self.receiver.iter().chain(&self.noted.refs).take(self.used).for_each(Ref::end_use);
    }
}

/// Reads the reply; the lane goes back when `answer` is dropped.
async fn read<R: DeserializeOwned + 'static, W: Wait>(answer: &mut Answer) -> Result<R> {
    if TypeId::of::<R>() == TypeId::of::<Ref>() {
        let mut found = answer.as_ref()?;
        // The types are the same, so this takes the ref out as an `R` without a conversion.
        let found: Option<&mut Option<R>> = (&mut found as &mut dyn Any).downcast_mut();
        if let Some(found) = found.and_then(Option::take) {
            return Ok(found);
        }
    }
    answer.decode::<R, W>().await
}

fn is_loss(error: &Error) -> bool {
    error.kind() == ErrorKind::WorkerLost
}
