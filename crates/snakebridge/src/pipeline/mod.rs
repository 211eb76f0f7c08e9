//! Pipelines: many calls in one exchange.

mod batch;
mod promise;
mod results;

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use snakebridge_wire::frame::HEADER_LEN;
use snakebridge_wire::{DecodeError, Deserializer, Kind};

use crate::args::IntoArgs;
use crate::bridge::Bridge;
use crate::call::{Begun, Call, Named, RawCall};
use crate::draft::Draft;
use crate::engine::waiting::{self, Thread, Wait};
use crate::error::{Error, ErrorKind, Result};
use crate::options::{CallOptions, Limit};
use crate::refs::Ref;
pub use batch::Batch;
pub use promise::Promise;
pub use results::Results;

/// Many calls that are made in one exchange, one after the other, on one worker.
///
/// Made by [`Bridge::pipeline`]. Each call gives a [`Promise`], by which later calls can use its result
/// without it having been here, and by which it is taken out of the [`Results`] in the end. A call that fails does not keep the others from being
/// made, but those that use its result: each has a `Result` of its own.
///
/// A call in a pipeline costs about a microsecond where one by itself costs ten or more. All of them
/// share one time limit, and their results are encoded when the last one is done: a list that was the
/// result of one call and was changed by another arrives as it is then, as a variable of a Python
/// program would.
///
/// ```
/// use snakebridge::{Bridge, Ref};
///
/// let py = Bridge::new()?;
/// let mut calls = py.pipeline();
/// let queue = calls.call::<Ref>("collections", "deque", ([1, 2],));
/// calls.method::<()>(&queue, "append", (3,));
/// let total = calls.call::<i64>("builtins", "sum", (&queue,));
/// let wrong = calls.call::<f64>("math", "sqrt", (-1,));
/// let mut results = calls.wait()?;
/// assert_eq!(results.take(total)?, 6);
/// assert!(results.take(wrong).is_err());
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[must_use = "the calls of a pipeline are made when it is waited for"]
pub struct Pipeline {
    bridge: Bridge,
    /// Tells its promises from those of others.
    id: u64,
    draft: Draft,
    steps: Vec<Step>,
    /// How the result of each is read.
    reads: Vec<results::Read>,
    options: CallOptions,
    /// What errors of the whole speak of, where it is no pipeline to the user.
    target: Option<String>,
}

/// One call of a pipeline.
struct Step {
    named: Named,
    /// Where its frame stands in that of the pipeline.
    start: usize,
    receiver: Option<Ref>,
    /// Why it was not sent.
    error: Option<Error>,
}

impl Pipeline {
    pub(crate) fn new(bridge: &Bridge) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            bridge: bridge.clone(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            draft: Draft::new(Kind::Pipeline, bridge.home().clone()).operation("the pipeline"),
            steps: Vec::new(),
            reads: Vec::new(),
            options: CallOptions::default(),
            target: None,
        }
    }

    /// How many calls there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is no call yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How long all of it may take; see [`Call::timeout`].
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.options.limit = Some(Limit::After(limit));
        self
    }

    /// Lets it take as long as it will.
    pub fn no_timeout(mut self) -> Self {
        self.options.limit = Some(Limit::Never);
        self
    }

    /// Sets all options that `options` has a word on, for the pipeline as a whole.
    pub fn options(mut self, options: &CallOptions) -> Self {
        self.options = options.clone().or(&self.options);
        self
    }

    /// Adds a function call; see [`Bridge::call`]. Any of the arguments can be, or contain, a promise.
    pub fn call<R>(&mut self, module: &str, function: &str, args: impl IntoArgs) -> Promise<R>
    where
        R: DeserializeOwned + Send + 'static,
    {
        let call = self.bridge.call(module, function, args);
        self.push(call)
    }

    /// Adds a method call on a promise, a ref, or a value; see [`Bridge::method`].
    pub fn method<R>(
        &mut self,
        object: impl Serialize,
        name: &str,
        args: impl IntoArgs,
    ) -> Promise<R>
    where
        R: DeserializeOwned + Send + 'static,
    {
        let call = self.bridge.method(object, name, args);
        self.push(call)
    }

    /// Adds the reading of an attribute of a promise, a ref, or a value; see [`Bridge::attr`].
    pub fn attr<R>(&mut self, object: impl Serialize, name: &str) -> Promise<R>
    where
        R: DeserializeOwned + Send + 'static,
    {
        let call = self.bridge.attr(object, name);
        self.push(call)
    }

    /// Adds any call of the same bridge and session.
    ///
    /// What is wrong with it (an argument that cannot be sent, an option that only a call by itself can have,
    /// another session) is the error of this call alone.
    ///
    /// ```
    /// use snakebridge::{Bridge, Ref};
    ///
    /// let py = Bridge::new()?;
    /// let table: Ref = py.call("builtins", "dict", ([("a", 1)],)).by_ref().wait()?;
    /// let mut calls = py.pipeline();
    /// calls.push(table.set_item("b", 2));
    /// let len = calls.push(table.len());
    /// assert_eq!(calls.wait()?.take(len)?, 2);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn push<R>(&mut self, call: Call<R>) -> Promise<R>
    where
        R: DeserializeOwned + Send + 'static,
    {
        let promise = Promise::new(self.id, self.steps.len() as u64);
        self.reads.push(results::boxed::<R>);
        self.add(call.into_raw());
        promise
    }

    /// Makes the calls and blocks until all of them are done.
    ///
    /// # Errors
    /// Those that concern all of the calls: the time was over, the worker was lost, a ref that was released
    /// before anything was sent. The error of a single call is among the results.
    pub fn wait(self) -> Result<Results> {
        waiting::now(self.make::<Thread>())
    }

    pub(crate) async fn make<W: Wait>(mut self) -> Result<Results> {
        let (id, reads) = (self.id, std::mem::take(&mut self.reads));
        let results = self.outcomes::<_, W>(move |place, value| reads[place](value)).await?;
        Ok(Results::new(id, results))
    }

    /// Has errors of the whole speak of this.
    pub(crate) fn speaks_of(&mut self, target: String) {
        self.target = Some(target);
    }

    pub(crate) fn add(&mut self, mut call: RawCall) {
        let error = self.refusal(&mut call);
        // What could not be sent leaves its place empty, so that the others keep theirs.
        let body = match error {
            Some(_) => &[],
            None => call.frame.get(HEADER_LEN..).unwrap_or_default(),
        };
        let start = self.draft.step(call.kind, call.flags, body);
        if error.is_none() {
            self.draft.keep(std::mem::take(&mut call.noted), call.receiver.clone());
        }
        let error = error.map(|error| error.with_target(call.target()));
        let (named, receiver) = (call.named.clone(), call.receiver.take());
        self.steps.push(Step { named, start, receiver, error });
    }

    /// Why a call cannot be one of this pipeline.
    fn refusal(&self, call: &mut RawCall) -> Option<Error> {
        if let Some(error) = call.error.take() {
            return Some(error);
        }
        if !call.options.is_empty() {
            return Some(
                Error::new(ErrorKind::Misuse, "a call in a pipeline has no options of its own")
                    .with_hint("set them on the pipeline, which is one exchange"),
            );
        }
        if call.receiver.is_none() && !call.home.is_same(self.bridge.home()) {
            let message = "the call is at home on another handle than the pipeline";
            return Some(Error::new(ErrorKind::Misuse, message).with_hint(
                "make it on the bridge, session or handle on which the pipeline was made",
            ));
        }
        match call.noted.promises.iter().any(|promise| *promise != self.id) {
            true => Some(Error::new(ErrorKind::Misuse, "the promise is of another pipeline")),
            false => None,
        }
    }

    /// Makes the calls; reads the result of each.
    pub(crate) async fn outcomes<T, W: Wait>(
        self,
        read: impl Fn(usize, Deserializer<'_, '_>) -> Result<T, DecodeError>,
    ) -> Result<Vec<Result<T>>> {
        self.begin::<W>().await?.outcomes::<T, W>(read).await
    }

    /// Sends the calls.
    pub(crate) async fn begin<W: Wait>(self) -> Result<Sent> {
        let mut call = self.draft.finish_raw();
        call.options = self.options;
        call.noted.promises.clear();
        let target = self.target;
        match call.begin::<W>().await {
            Ok(begun) => Ok(Sent { call, begun, steps: self.steps, target }),
            Err(error) => Err(of_the_whole(error, target)),
        }
    }
}

/// A pipeline whose calls were sent.
pub(crate) struct Sent {
    call: RawCall,
    begun: Begun,
    steps: Vec<Step>,
    target: Option<String>,
}

fn of_the_whole(error: Error, target: Option<String>) -> Error {
    match target {
        Some(target) => error.with_target(target),
        None => error,
    }
}

impl Sent {
    /// Waits until there is something to read, or the time is over. False if the other end of
    /// `cancelled` was closed first.
    pub(crate) fn wait_unless(&mut self, cancelled: &OwnedFd) -> bool {
        self.begun.wait_unless(cancelled)
    }

    pub(crate) async fn outcomes<T, W: Wait>(
        mut self,
        read: impl Fn(usize, Deserializer<'_, '_>) -> Result<T, DecodeError>,
    ) -> Result<Vec<Result<T>>> {
        let outcomes = self.call.outcomes::<T, W>(self.begun, self.steps.len(), read).await;
        let outcomes = outcomes.map_err(|error| of_the_whole(error, self.target))?;
        let named = |(step, outcome): (Step, Result<T>)| match step.error {
            Some(error) => Err(error),
            None => outcome.map_err(|error| error.with_target(step.target(&self.call.frame))),
        };
        Ok(self.steps.into_iter().zip(outcomes).map(named).collect())
    }
}

impl Step {
    fn target(&self, frame: &[u8]) -> String {
        let step = self.start..;
        self.named.describe(frame.get(step).unwrap_or_default(), self.receiver.as_ref())
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("len", &self.len()).finish_non_exhaustive()
    }
}
