//! Fan-out: one function with many inputs, on all workers of a pool.

mod iter;
#[cfg(feature = "tokio")]
mod stream;
mod window;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::args::IntoArgs;
use crate::bridge::Bridge;
use crate::call::RawCall;
use crate::error::Result;
use crate::options::{CallOptions, Limit};
use crate::pipeline::Pipeline;
pub use iter::MapIter;
#[cfg(feature = "tokio")]
pub use stream::MapStream;
use window::Window;

/// One function that is called with many inputs, on several workers at once.
///
/// Made by [`Bridge::map`]. [`iter`](Self::iter) begins with it, or `stream` in async code.
///
/// Inputs are taken while there is room: a few times as many as are being worked on, so that an endless iterator of
/// inputs, and a slow reader of results, cost no memory. Calls travel together while they are quick: as
/// many as take a few milliseconds. Each call has a `Result` of its own; what concerns all that travel together
/// (a timeout, a lost worker) is the error of each of them.
///
/// ```
/// use snakebridge::Bridge;
///
/// let py = Bridge::builder().workers(2).build()?;
/// let squares = py.map::<u64>("builtins", "pow", (0..100).map(|n| (n, 2)));
/// let squares: Vec<u64> = squares.iter().collect::<Result<_, _>>()?;
/// assert_eq!(squares[99], 9801);
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[must_use = "nothing is called before the results are iterated over"]
pub struct Map<R, I> {
    job: Job,
    inputs: I,
    settings: Settings,
    result: PhantomData<fn() -> R>,
}

/// What is called, and how.
struct Job {
    bridge: Bridge,
    module: String,
    function: String,
    options: CallOptions,
    /// Whether Python awaits the results.
    is_awaited: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Settings {
    workers: Option<usize>,
    /// Calls that travel together.
    chunk: Option<usize>,
    as_completed: bool,
}

/// Gives the next call; `None` at the end of the inputs.
type Source = Box<dyn FnMut() -> Option<RawCall> + Send>;

impl<R: DeserializeOwned + Send + 'static, I> Map<R, I>
where
    I: Iterator<Item: IntoArgs> + Send + 'static,
{
    pub(crate) fn new(bridge: &Bridge, module: &str, function: &str, inputs: I) -> Self {
        let (module, function) = (module.to_owned(), function.to_owned());
        let (bridge, options) = (bridge.clone(), CallOptions::default());
        let job = Job { bridge, module, function, options, is_awaited: false };
        Self { job, inputs, settings: Settings::default(), result: PhantomData }
    }

    /// On how many workers to call at once, at most. Default: as many as the pool can have, and on a pool with
    /// [`asyncio`](crate::Pool::asyncio) as many calls as its workers run.
    pub fn workers(mut self, count: usize) -> Self {
        self.settings.workers = Some(count.max(1));
        self
    }

    /// How many calls travel together, at most; at least one. Default: one at first, and then as many as take a
    /// few milliseconds.
    pub fn chunk(mut self, calls: usize) -> Self {
        self.settings.chunk = Some(calls.max(1));
        self
    }

    /// Has Python await each result, for functions that are `async`; see
    /// [`Call::awaited`](crate::Call::awaited). Each call travels by itself, unless [`chunk`](Self::chunk) says
    /// otherwise: on a pool with [`asyncio`](crate::Pool::asyncio) as many run at the same time as that says.
    pub fn awaited(mut self) -> Self {
        self.job.is_awaited = true;
        self.settings.chunk.get_or_insert(1);
        self
    }

    /// Gives results as they come, in any order. Default: in the order of the inputs.
    pub fn as_completed(mut self) -> Self {
        self.settings.as_completed = true;
        self
    }

    /// How long the calls that travel together may take; see [`Call::timeout`](crate::Call::timeout).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.job.options.limit = Some(Limit::After(limit));
        self
    }

    /// Sets all options that `options` has a word on, for the calls that travel together.
    pub fn options(mut self, options: &CallOptions) -> Self {
        self.job.options = options.clone().or(&self.job.options);
        self
    }

    /// Begins with the calls, on a thread for each worker, and iterates over the results.
    pub fn iter(self) -> MapIter<R> {
        let window = self.window();
        let (job, source) = self.into_parts();
        MapIter::start(window, job, source)
    }

    /// The same for async code, where the calls are made by the task that polls the stream.
    #[cfg(feature = "tokio")]
    pub fn stream(self) -> MapStream<R> {
        let window = self.window();
        let (job, source) = self.into_parts();
        MapStream::new(window, job, source)
    }

    fn window<T>(&self) -> Window<RawCall, T> {
        let Settings { workers, chunk, as_completed } = self.settings;
        Window::new(workers.unwrap_or_else(|| self.job.most_workers()), chunk, !as_completed)
    }

    fn into_parts(self) -> (Arc<Job>, Source) {
        let (job, mut inputs) = (Arc::new(self.job), self.inputs);
        let of_source = Arc::clone(&job);
        let source = move || Some(of_source.call::<R>(inputs.next()?));
        (job, Box::new(source))
    }
}

impl Job {
    /// How many calls the workers can carry out at once. What is wrong with the pool is for the calls to
    /// say.
    fn most_workers(&self) -> usize {
        let home = self.bridge.home();
        let pool = home.pool(self.options.pool.as_deref());
        let most = pool.and_then(|pool| {
            let schedule = &home.engine()?.shared.config.pool(pool).schedule;
            Ok(schedule.max as usize * schedule.lanes as usize)
        });
        most.unwrap_or(1)
    }

    fn call<R: DeserializeOwned + 'static>(&self, args: impl IntoArgs) -> RawCall {
        let call = self.bridge.call::<R>(&self.module, &self.function, args);
        if self.is_awaited { call.awaited().into_raw() } else { call.into_raw() }
    }

    /// Puts calls together that travel together.
    fn pipeline(&self, calls: Vec<RawCall>) -> Pipeline {
        let mut pipeline = self.bridge.pipeline().options(&self.options);
        pipeline.speaks_of(format!("{}.{}", self.module, self.function));
        calls.into_iter().for_each(|call| pipeline.add(call));
        pipeline
    }
}

/// Whether a call has to be the last of those that travel together: it goes to the worker of its
/// refs, and two such calls may want two workers.
fn ends_chunk(call: &RawCall) -> bool {
    !call.noted.refs.is_empty()
}

/// The same outcome for each of the calls that travel together.
fn all_failed<R>(outcomes: Result<Vec<Result<R>>>, count: usize) -> Vec<Result<R>> {
    outcomes.unwrap_or_else(|error| (0..count).map(|_| Err(error.clone())).collect())
}

impl<R, I> fmt::Debug for Map<R, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = format!("{}.{}", self.job.module, self.job.function);
        f.debug_struct("Map").field("target", &target).finish_non_exhaustive()
    }
}
