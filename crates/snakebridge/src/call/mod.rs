//! One call: put together first, sent by its terminal word.

mod plan;
mod raw;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::DeserializeOwned;
use snakebridge_wire::Kind;
use snakebridge_wire::frame::flags;

use crate::bridge::Home;
use crate::draft::Draft;
#[cfg(feature = "tokio")]
use crate::engine::waiting::task::Task;
use crate::engine::waiting::{self, Thread, Wait};
use crate::error::{Error, Result};
use crate::exchange;
use crate::options::{Affinity, CallOptions, Limit};
use crate::pending::Pending;
use crate::streams::Iter;
#[cfg(feature = "tokio")]
use crate::streams::Stream;
pub(crate) use plan::Plan;
pub(crate) use raw::{Begun, Named, RawCall};

/// A call of Python that has not been made yet.
///
/// Made by the methods of [`Bridge`](crate::Bridge) and [`Ref`](crate::Ref). Options are chained on, and a
/// terminal word makes the call: [`wait`](Self::wait), [`unwrap`](Self::unwrap), or `.await` with the
/// feature `tokio` (see `CallFuture`). Arguments are
/// encoded when the call is put together, so they need not live until it is made.
///
/// `R` is what the result is read into: numbers, `String`, structs that derive `Deserialize`,
/// `Option`, [`Value`](crate::Value), [`Bytes`](crate::Bytes), [`Ref`](crate::Ref), and types made of them.
/// Asking for a [`Ref`](crate::Ref) keeps the result in Python.
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
    #[inline]
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
    /// `R`; the time was over; the worker was lost. See [`ErrorKind`](crate::ErrorKind). On a thread that runs tasks of
    /// tokio, where the feature `tokio` is on, [`Misuse`](crate::ErrorKind::Misuse).
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
        self.raw.asks_for::<R>();
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

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("target", &self.raw.target()).finish_non_exhaustive()
    }
}
