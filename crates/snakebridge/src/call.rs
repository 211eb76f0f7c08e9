//! One call: put together first, sent by its terminal word.

use std::any::{Any, TypeId};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use snakebridge_pool::WorkerKey;
use snakebridge_wire::frame::{HEADER_LEN, flags};
use snakebridge_wire::{DecodeError, Deserializer, Header, Kind};

use crate::bridge::Home;
use crate::draft::Draft;
use crate::engine::Config;
use crate::engine::placement::Want;
use crate::engine::results::Lookup;
use crate::engine::sessions::SessionState;
#[cfg(feature = "tokio")]
use crate::engine::waiting::task::Task;
use crate::engine::waiting::{self, Thread, Wait};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::exchange::{self, Answer, Batch};
use crate::options::{Affinity, CallOptions, Limit};
use crate::pending::Pending;
use crate::refs::Ref;
use crate::scope::Noted;
use crate::streams::Iter;
#[cfg(feature = "tokio")]
use crate::streams::Stream;

/// A call of Python that has not been made yet.
///
/// Made by the methods of [`Bridge`](crate::Bridge) and [`Ref`]. Options are chained on, and a
/// terminal word makes the call: [`wait`](Self::wait), [`unwrap`](Self::unwrap), or `.await` with the
/// feature `tokio` (see `CallFuture`). Arguments are
/// encoded when the call is put together, so they need not live until it is made.
///
/// `R` is what the result is read into: numbers, `String`, structs that derive `Deserialize`,
/// `Option`, [`Value`](crate::Value), [`Bytes`](crate::Bytes), [`Ref`], and types made of them.
/// Asking for a [`Ref`] keeps the result in Python.
///
/// ```
/// use std::time::Duration;
/// use snakebridge::Bridge;
///
/// let py = Bridge::new()?;
/// let root: f64 = py.call("math", "sqrt", (16,)).timeout(Duration::from_secs(5)).wait()?;
/// assert_eq!(root, 4.0);
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[must_use = "a call does nothing until it is waited for"]
pub struct Call<R> {
    raw: RawCall,
    result: PhantomData<fn() -> R>,
}

impl<R> Call<R> {
    pub(crate) fn new(raw: RawCall) -> Self {
        Self { raw, result: PhantomData }
    }

    /// A call that is known to fail.
    pub(crate) fn failed(error: Error) -> Self {
        let mut call = Draft::new(Kind::Call, Home::nowhere()).finish::<R>();
        call.raw.error = Some(error);
        call
    }

    /// How long the call may take, waiting for a worker included. Default: that of the handle,
    /// else two minutes. When it is over, the Python code is interrupted, and killed with its
    /// worker if it does not stop.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.raw.options.limit = Some(Limit::After(limit));
        self
    }

    /// Lets the call take as long as it will.
    pub fn no_timeout(mut self) -> Self {
        self.raw.options.limit = Some(Limit::Never);
        self
    }

    /// How long the call may wait for a worker; see [`CallOptions::queue_timeout`].
    pub fn queue_timeout(mut self, limit: Duration) -> Self {
        self.raw.options.queue_limit = Some(limit);
        self
    }

    /// How long the call may take once it has its worker; see [`CallOptions::run_timeout`].
    pub fn run_timeout(mut self, limit: Duration) -> Self {
        self.raw.options.run_limit = Some(limit);
        self
    }

    /// The time limit of this name, where no limit is given; see [`CallOptions::profile`].
    pub fn profile(mut self, name: &str) -> Self {
        self.raw.options.profile = Some(name.into());
        self
    }

    /// Which worker the call goes to. Default: that of the handle, else that of the pool, else
    /// [`Affinity::Hint`].
    pub fn affinity(mut self, affinity: Affinity) -> Self {
        self.raw.options.affinity = Some(affinity);
        self
    }

    /// The pool whose workers carry the call out; see [`CallOptions::pool`].
    pub fn pool(mut self, name: &str) -> Self {
        self.raw.options.pool = Some(name.into());
        self
    }

    /// Makes the call in the session with this id; see [`CallOptions::session`].
    pub fn session(mut self, id: &str) -> Self {
        self.raw.options.session = Some(id.into());
        self
    }

    /// Whether the call may be carried out more than once without harm; see
    /// [`CallOptions::idempotent`].
    pub fn idempotent(mut self, yes: bool) -> Self {
        self.raw.options.idempotent = Some(yes);
        self
    }

    /// Sets all options that `options` has a word on.
    pub fn options(mut self, options: &CallOptions) -> Self {
        self.raw.options = options.clone().or(&self.raw.options);
        self
    }

    /// Keeps the result in Python, also when it could be a value: the result is then a
    /// [`Value::Ref`](crate::Value::Ref), or whatever else takes a ref.
    pub fn by_ref(mut self) -> Self {
        self.raw.flags |= flags::BY_REF;
        self
    }
}

impl<R: DeserializeOwned + 'static> Call<R> {
    /// Makes the call and blocks until its result is there.
    ///
    /// # Errors
    /// Python raised an exception; an argument could not be sent, or the result not be read as an
    /// `R`; the time was over; the worker was lost. See [`ErrorKind`]. On a thread that runs tasks of
    /// tokio, where the feature `tokio` is on, [`ErrorKind::Misuse`].
    pub fn wait(self) -> Result<R> {
        waiting::now(self.make::<Thread>())
    }

    /// Sends the call, and gives what its result can be had from later: several calls can run at the same
    /// time, each on a worker of its own, without a thread for each.
    ///
    /// Blocks until there is a worker. What goes wrong from then on, and before, is the error of
    /// [`Pending::wait`].
    ///
    /// ```
    /// use snakebridge::{Bridge, Pending, Result};
    ///
    /// let py = Bridge::builder().workers(2).build()?;
    /// let roots: Vec<Pending<f64>> = [16, 25].map(|x| py.call("math", "sqrt", (x,)).start()).into();
    /// let roots: Result<Vec<f64>> = roots.into_iter().map(Pending::wait).collect();
    /// assert_eq!(roots?, [4.0, 5.0]);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn start(self) -> Pending<R> {
        waiting::now(Pending::start::<Thread>(self))
    }

    /// The same for async code, where it is the future that waits for a worker.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call, as that of a [`CallFuture`](crate::CallFuture) does.
    #[cfg(feature = "tokio")]
    pub async fn start_async(self) -> Pending<R> {
        Pending::start::<Task>(self).await
    }

    /// Has Python await the result, for functions that are `async`: what the call gives is what comes of
    /// that.
    ///
    /// It is awaited on an event loop that the worker keeps, and that runs while something is awaited: tasks
    /// that were started beside it go on with the next call that awaits. When the time is over the
    /// task is cancelled, so that its `finally` blocks run. Context variables belong to the session.
    ///
    /// ```
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::new()?;
    /// let text: String = py.call("asyncio", "sleep", (0.001, "awake")).awaited().wait()?;
    /// assert_eq!(text, "awake");
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn awaited(mut self) -> Self {
        match self.raw.kind.awaited() {
            Some(kind) => self.raw.kind = kind,
            None => self.raw.refuse("the result of this operation cannot be awaited"),
        }
        self
    }

    /// Makes the call and iterates over its result, whose items are read into an `R` each. A result that
    /// cannot be iterated over, and text or bytes, is the only item.
    ///
    /// ```
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::new()?;
    /// let squares = py.call::<u64>("builtins", "eval", ("(n * n for n in range(4))",)).iter();
    /// assert_eq!(squares.collect::<Result<Vec<_>, _>>()?, [0, 1, 4, 9]);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn iter(self) -> Iter<R> {
        Iter::new(self.raw.iterated())
    }

    /// The same for async code.
    #[cfg(feature = "tokio")]
    pub fn stream(self) -> Stream<R>
    where
        R: Send,
    {
        Stream::new(self.raw.iterated())
    }

    /// Makes the call.
    pub(crate) async fn make<W: Wait>(self) -> Result<R> {
        let mut raw = self.into_raw();
        let plan = match raw.plan() {
            Ok(plan) => plan,
            Err(error) => return Err(raw.explain(error)),
        };
        let kept = raw.look_up(&plan);
        if let Some(result) = kept.as_ref().and_then(exchange::decode_kept) {
            return Ok(result);
        }
        match raw.carry_out::<R, W>(&plan, kept.as_ref(), None).await {
            Ok(result) => Ok(result),
            Err(error) => Err(raw.explain(error)),
        }
    }

    /// The call without the type of its result, but with what that says about the result.
    pub(crate) fn into_raw(mut self) -> RawCall {
        if TypeId::of::<R>() == TypeId::of::<Ref>() {
            self.raw.flags |= flags::BY_REF;
        }
        self.raw
    }

    /// Makes the call and blocks until its result is there, as [`wait`](Self::wait) does.
    ///
    /// # Panics
    /// If the call fails, with the error and Python's own traceback.
    #[track_caller]
    #[expect(clippy::panic, reason = "it is what this terminal is for")]
    pub fn unwrap(self) -> R {
        match self.wait() {
            Ok(result) => result,
            Err(error) => panic!("{error:?}"),
        }
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

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("target", &self.raw.target()).finish_non_exhaustive()
    }
}

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
    Member(Range<usize>),
    Operation(&'static str),
}

/// What was decided about a call before it is made.
pub(crate) struct Plan {
    pub(crate) session: Arc<SessionState>,
    pub(crate) pinned: Option<WorkerKey>,
    pub(crate) affinity: Affinity,
    pub(crate) deadline: Option<Instant>,
    pub(crate) limit: Option<Duration>,
    /// How long the call may wait for its worker, and take once it has it, within the deadline.
    pub(crate) queue_limit: Option<Duration>,
    pub(crate) run_limit: Option<Duration>,
}

impl Plan {
    pub(crate) fn want(&self) -> Want<'_> {
        Want {
            session: &self.session,
            pinned: self.pinned,
            affinity: self.affinity.into(),
            queue_limit: self.queue_limit,
            deadline: self.deadline,
        }
    }
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
    pub(crate) fn wait_unless(&self, cancelled: &OwnedFd) -> bool {
        self.answer.as_ref().is_none_or(|answer| answer.wait_unless(cancelled))
    }
}

/// How often an idempotent call is made again after its worker was lost, within its time. A call
/// that ends two more workers is what ends them.
const TRIES_AGAIN: usize = 2;

impl RawCall {
    /// Decides all that can be decided before the call is made.
    fn plan(&mut self) -> Result<Plan> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let defaults = &self.home.defaults;
        let session = match &self.receiver {
            Some(receiver) => {
                self.check_beside(receiver)?;
                Arc::clone(receiver.session())
            }
            None => {
                self.home.session(self.options.pool.as_deref(), self.options.session.as_ref())?
            }
        };
        let now = Instant::now();
        let mut pinned = None;
        let engine = self.home.engine()?;
        for object in self.receiver.iter().chain(&self.noted.refs) {
            object.begin_use(&session, engine, now)?;
            self.used += 1;
            match pinned {
                Some(worker) if worker != object.worker() => return Err(two_workers()),
                _ => pinned = Some(object.worker()),
            }
        }
        self.noted.callbacks.iter().try_for_each(|callback| callback.check_use(engine))?;
        if !self.noted.promises.is_empty() {
            let message = "a promise can only be an argument of a later call of its pipeline";
            return Err(Error::new(ErrorKind::Misuse, message)
                .with_hint("wait for the pipeline and use its results, or push the call to it"));
        }
        if session.is_closed() {
            let message = format!("the session `{}` was closed", session.id);
            return Err(Error::new(ErrorKind::SessionClosed, message));
        }
        let config = &engine.shared.config;
        let limit = match self.options.limit.or(defaults.limit) {
            Some(limit) => limit,
            None => self.profile(config)?,
        };
        let limit = match limit {
            Limit::After(limit) => Some(limit),
            Limit::Never => None,
        };
        let affinity = self.options.affinity.or(defaults.affinity);
        let affinity = affinity.unwrap_or_else(|| config.pool(session.pool).affinity);
        let deadline = limit.and_then(|limit| now.checked_add(limit));
        let queue_limit = self.options.queue_limit.or(defaults.queue_limit);
        let queue_limit = queue_limit.or_else(|| config.pool(session.pool).queue_timeout);
        let run_limit = self.options.run_limit.or(defaults.run_limit);
        self.write_header(session.number);
        Ok(Plan { session, pinned, affinity, deadline, limit, queue_limit, run_limit })
    }

    /// A ref brings its session and its pool; what is said beside it has to agree.
    fn check_beside(&self, receiver: &Ref) -> Result<()> {
        let session = receiver.session();
        if let Some(id) = self.options.session.as_ref().filter(|id| **id != session.id) {
            return Err(
                receiver.mismatch(&format!("session `{}`", session.id), &format!("session `{id}`"))
            );
        }
        let Some(name) = &self.options.pool else { return Ok(()) };
        let config = &self.home.engine()?.shared.config;
        match config.pool_named(Some(name))? {
            pool if pool == session.pool => Ok(()),
            _ => {
                let own = format!("pool `{}`", config.pool(session.pool).name);
                Err(receiver.mismatch(&own, &format!("pool `{name}`")))
            }
        }
    }

    /// The limit of the profile that was named, else of the profile of the library that is called.
    fn profile(&self, config: &Config) -> Result<Limit> {
        let named = self.options.profile.as_ref().or(self.home.defaults.profile.as_ref());
        match (named, &self.named) {
            (Some(name), _) => config.profiles.limit(name),
            (None, Named::Function { module, .. }) if config.profiles.has_libraries() => {
                let module = self.frame.get(module.clone()).unwrap_or_default();
                let library = module.split(|byte| *byte == b'.').next().unwrap_or_default();
                Ok(config.profiles.of_library(library))
            }
            _ => Ok(config.profiles.default_limit()),
        }
    }

    /// The call that gives the first items of the result.
    fn iterated(mut self) -> Self {
        match self.kind.iterated() {
            Some(kind) => self.kind = kind,
            None => self.refuse("the result of this operation cannot be iterated over"),
        }
        self
    }

    fn refuse(&mut self, message: &str) {
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
            false => {
                let begun = exchange::begin::<W>(self, &plan).await;
                Some(begun.map_err(|error| self.explain(error))?)
            }
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
    async fn carry_out<R: DeserializeOwned + 'static, W: Wait>(
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
        let mut left = match self.is_idempotent() && plan.pinned.is_none() {
            true => TRIES_AGAIN,
            false => 0,
        };
        loop {
            let outcome = match begun.take() {
                Some(begun) => begun.finish::<W>().await,
                None => exchange::run::<W>(self, plan).await,
            };
            match outcome {
                Err(error) if error.kind() == ErrorKind::WorkerLost && left > 0 => left -= 1,
                outcome => return outcome,
            }
        }
    }

    /// Looks among the results that the pool keeps, if the call may be answered from there.
    fn look_up(&mut self, plan: &Plan) -> Option<Lookup> {
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

    fn is_idempotent(&self) -> bool {
        self.options.idempotent.or(self.home.defaults.idempotent).unwrap_or(false)
    }

    fn write_header(&mut self, session: u32) {
        let len = (self.frame.len() - HEADER_LEN) as u64;
        let header = Header { kind: self.kind, flags: self.flags, session, len };
        self.frame[..HEADER_LEN].copy_from_slice(&header.to_bytes());
    }

    /// Adds to an error what was called, and whether it may be repeated.
    fn explain(&self, error: Error) -> Error {
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
            let bytes = frame.get(range.clone()).unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        let owner = receiver.map_or("", |receiver| receiver.type_name());
        match self {
            Self::Function { module, name } => format!("{}.{}", text(module), text(name)),
            Self::Member(name) => format!("{owner}.{}", text(name)),
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

fn two_workers() -> Error {
    Error::new(ErrorKind::Misuse, "the refs of the call live on different workers").with_hint(
        "make them in one session with `Affinity::StrictQueue`, so that they are on one worker",
    )
}
