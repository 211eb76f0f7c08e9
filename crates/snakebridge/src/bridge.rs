//! The handle of a running bridge.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use snakebridge_pool::PoolId;
use snakebridge_wire::Kind;
use snakebridge_wire::frame::flags;

use crate::args::IntoArgs;
use crate::builder::BridgeBuilder;
use crate::call::Call;
use crate::callback::{self, Callback, CallbackError, CallbackFn};
use crate::draft::Draft;
use crate::engine::placement::Want;
use crate::engine::sessions::{Held, SessionState, new_id};
use crate::engine::{Engine, PythonInfo, Shared, WorkerId, closed};
use crate::error::{Error, Result};
use crate::fan_out::Map;
use crate::helpers::HelperIndex;
use crate::options::CallOptions;
use crate::pipeline::{Batch, Pipeline};
use crate::session::SessionBuilder;
use crate::status::{RefStatus, SessionStatus, Status};

/// A handle of worker processes that run Python.
///
/// Cheap to clone, and free to share between threads. The workers end with the last handle, and
/// with the program, however that ends.
///
/// Every handle made by [`new`](Self::new) or [`builder`](Self::builder) has an automatic session,
/// which its clones share: all calls that name no other session are made in it.
///
/// ```
/// use snakebridge::{Bridge, args};
///
/// let py = Bridge::new()?;
/// let root: f64 = py.call("math", "sqrt", (16,)).wait()?;
/// let pi: f64 = py.get("math", "pi").wait()?;
/// let text: String = py.call("builtins", "format", args![pi * root, ".3f"]).wait()?;
/// assert_eq!(text, "12.566");
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone)]
pub struct Bridge {
    home: Home,
}

/// Where a call is at home: its bridge, its session, and the defaults for its options.
#[derive(Clone)]
pub(crate) struct Home {
    /// None once the bridge is gone.
    engine: Option<Arc<Engine>>,
    session: HomeSession,
    pub(crate) defaults: Arc<CallOptions>,
}

#[derive(Clone)]
enum HomeSession {
    Automatic(Arc<AutoSession>),
    Fixed(Arc<SessionState>),
}

/// How long a worker may take to write down its stacks.
const STACKS_LIMIT: Duration = Duration::from_secs(2);

/// Within which a supervisor that works answers, on a machine that is busy.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

impl Bridge {
    /// Starts a bridge with one worker, on the Python that is found first.
    ///
    /// Equal to `Bridge::builder().build()`; see [`BridgeBuilder`] for the settings and for the
    /// places where Python is looked for.
    ///
    /// # Errors
    /// No Python is found, or the system refuses a thread or a pipe. That Python cannot be used
    /// shows with the first call, or with [`ready`](Self::ready).
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// Settings for a bridge, to be changed before it starts.
    pub fn builder() -> BridgeBuilder {
        BridgeBuilder::new()
    }

    /// Calls a function: `module.function(*args)`.
    ///
    /// The function may be dotted, `Path.cwd`; the module may go on past what can be imported into
    /// names inside it, `datetime.date`. Classes are called like functions.
    ///
    /// ```
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::new()?;
    /// let joined: String = py.call("os.path", "join", ("/home/ada", "notes.txt")).wait()?;
    /// assert_eq!(joined, "/home/ada/notes.txt");
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn call<R>(&self, module: &str, function: &str, args: impl IntoArgs) -> Call<R>
    where
        R: DeserializeOwned + 'static,
    {
        self.draft(Kind::Call).function(module, function).args(args).finish()
    }

    /// Calls a function for its effect; what it returns stays unread.
    ///
    /// ```
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::new()?;
    /// py.exec("random", "seed", (42,)).wait()?;
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn exec(&self, module: &str, function: &str, args: impl IntoArgs) -> Call<()> {
        let draft = self.draft(Kind::Call).function(module, function);
        draft.args(args).flags(flags::NO_RESULT).finish()
    }

    /// Calls a helper: a function of the project's own Python files, `file.function`.
    ///
    /// Without settings the files are those of the folder `python/helpers`; see
    /// [`Helpers`](crate::Helpers). All that can be done with a call can be done with this one: options,
    /// refs, [`awaited`](Call::awaited), [`iter`](Call::iter), [`Pipeline::push`].
    ///
    /// ```
    /// use snakebridge::{Bridge, Helpers};
    ///
    /// # let folder = std::env::temp_dir().join(format!("snakebridge-helper-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # std::fs::write(folder.join("prices.py"), "def total(items, tax=0):\n    return sum(items) * (100 + tax) / 100\n")?;
    /// // prices.py:  def total(items, tax=0): return sum(items) * (100 + tax) / 100
    /// let py = Bridge::builder().helpers(Helpers::new().path(&folder)).build()?;
    /// let total: f64 = py.helper("prices.total", ([10, 20],)).wait()?;
    /// assert_eq!(total, 30.0);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::HelperNotFound`](crate::ErrorKind::HelperNotFound), with names that are close;
    /// [`ErrorKind::NotAllowed`](crate::ErrorKind::NotAllowed) for one that is not on the list of allowed
    /// helpers; and what Python raises, where the file cannot be loaded too.
    pub fn helper<R>(&self, name: &str, args: impl IntoArgs) -> Call<R>
    where
        R: DeserializeOwned + 'static,
    {
        self.draft(Kind::Helper).helper(name).args(args).finish()
    }

    /// What helpers there are, with their parameters and documentation, and which files cannot be
    /// loaded. Loads all files.
    ///
    /// ```no_run
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::new()?;
    /// for helper in py.helpers().wait()?.helpers {
    ///     println!("{helper}");
    /// }
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn helpers(&self) -> Call<HelperIndex> {
        self.draft(Kind::Helpers).operation("the index of helpers").finish()
    }

    /// Makes a Rust function callable from Python.
    ///
    /// The function takes up to eight positional arguments, of any types that a result can be read
    /// into, [`Ref`](crate::Ref) among them. What it returns is sent like an argument. An error
    /// becomes an exception in Python, see [`CallbackError`](crate::CallbackError); so do arguments
    /// that do not fit (`TypeError`), and a panic.
    ///
    /// It runs on the thread that waits for the call within which Python calls it. Calls that it makes
    /// on the same bridge and pool are served by the worker that waits for it, and end with that call
    /// at the latest. The time of the call goes on while it runs. It cannot be interrupted: where it
    /// comes back too late, the call is an error then, and the worker has been replaced meanwhile.
    ///
    /// ```
    /// use snakebridge::{Bridge, args};
    ///
    /// let py = Bridge::new()?;
    /// let inner = py.clone();
    /// let area = py.callback(move |side: f64| inner.call::<f64>("math", "pow", (side, 2)).wait()
    ///     .map_err(Into::into));
    /// let areas: Vec<f64> = {
    ///     let map: snakebridge::Ref = py.call("builtins", "map", (&area, [1.0, 2.0, 3.0])).wait()?;
    ///     py.call("builtins", "list", (map,)).wait()?
    /// };
    /// assert_eq!(areas, [1.0, 4.0, 9.0]);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn callback<A: 'static>(&self, function: impl CallbackFn<A>) -> Callback {
        Callback::new(self.home.engine().ok(), callback::typed(function))
    }

    /// Makes a Rust function callable from Python, with keyword arguments, or with any number of
    /// positional ones.
    ///
    /// The function gets the positional arguments as one value, a tuple or a `Vec`, and the keyword
    /// arguments as another, a map or a struct.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use snakebridge::{Bridge, Ref, args};
    ///
    /// let py = Bridge::new()?;
    /// let total = py.callback_with_kwargs(|args: Vec<i64>, kwargs: BTreeMap<String, i64>| {
    ///     Ok(args.iter().chain(kwargs.values()).sum::<i64>())
    /// });
    /// let partial: Ref = py.call("functools", "partial", args![&total, 1, 2, extra = 10]).wait()?;
    /// let sum: i64 = partial.call((3,)).wait()?;
    /// assert_eq!(sum, 16);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn callback_with_kwargs<A, K, R, F>(&self, function: F) -> Callback
    where
        F: Fn(A, K) -> std::result::Result<R, CallbackError> + Send + Sync + 'static,
        A: DeserializeOwned + Send + 'static,
        K: DeserializeOwned + Send + 'static,
        R: Serialize,
    {
        Callback::new(self.home.engine().ok(), callback::typed_with_kwargs(function))
    }

    /// Reads a name of a module: `module.name`. Dotted names as for [`call`](Self::call).
    ///
    /// ```
    /// use snakebridge::{Bridge, Ref};
    ///
    /// let py = Bridge::new()?;
    /// let sep: String = py.get("os", "sep").wait()?;
    /// let class: Ref = py.get("pathlib", "Path").wait()?;
    /// assert_eq!((sep.as_str(), class.type_name()), ("/", "type"));
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn get<R>(&self, module: &str, name: &str) -> Call<R>
    where
        R: DeserializeOwned + 'static,
    {
        self.draft(Kind::Get).function(module, name).finish()
    }

    /// Calls a method of a value: the value is sent, Python makes the object, and its method runs.
    /// The value here does not change. Methods of a [`Ref`](crate::Ref) are called on the ref.
    ///
    /// ```
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::new()?;
    /// let parts: Vec<String> = py.method("a-b-c", "split", ("-",)).wait()?;
    /// assert_eq!(parts, ["a", "b", "c"]);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn method<R>(&self, value: impl Serialize, name: &str, args: impl IntoArgs) -> Call<R>
    where
        R: DeserializeOwned + 'static,
    {
        self.draft(Kind::Method).receiver(&value).member(name).args(args).finish()
    }

    /// Reads an attribute of a value; see [`method`](Self::method).
    pub fn attr<R>(&self, value: impl Serialize, name: &str) -> Call<R>
    where
        R: DeserializeOwned + 'static,
    {
        self.draft(Kind::Attr).receiver(&value).member(name).finish()
    }

    /// Puts many calls together that are then made in one exchange; see [`Pipeline`].
    pub fn pipeline(&self) -> Pipeline {
        Pipeline::new(self)
    }

    /// Calls one function with many arguments, in one exchange. Each call has an outcome of its own.
    ///
    /// ```
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::new()?;
    /// let inputs = [16.0, -1.0, 25.0];
    /// let roots = py.batch::<f64>("math", "sqrt", inputs.map(|x| (x,))).wait()?;
    /// assert_eq!((roots[0].as_ref().ok(), roots[2].as_ref().ok()), (Some(&4.0), Some(&5.0)));
    /// assert!(roots[1].is_err());
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn batch<R>(
        &self,
        module: &str,
        function: &str,
        inputs: impl IntoIterator<Item: IntoArgs>,
    ) -> Batch<R>
    where
        R: DeserializeOwned + 'static,
    {
        Batch::new(self, module, function, inputs)
    }

    /// Calls one function with many inputs, on all workers of the pool; see [`Map`].
    pub fn map<R>(
        &self,
        module: &str,
        function: &str,
        inputs: impl IntoIterator<Item: IntoArgs, IntoIter: Send + 'static>,
    ) -> Map<R, impl Iterator<Item: IntoArgs> + Send + 'static>
    where
        R: DeserializeOwned + Send + 'static,
    {
        Map::new(self, module, function, inputs.into_iter())
    }

    /// A handle of the same bridge with other defaults, in the same session. What `options` says
    /// nothing about stays as it is.
    pub fn with(&self, options: CallOptions) -> Self {
        let defaults = Arc::new(options.or(&self.home.defaults));
        Self { home: Home { defaults, ..self.home.clone() } }
    }

    /// Opens a session: a group of refs with one lifetime.
    pub fn session(&self) -> SessionBuilder<'_> {
        SessionBuilder::new(self)
    }

    /// Id of the session in which this handle makes its calls. That of an automatic session begins
    /// with `auto_`.
    ///
    /// # Errors
    /// The bridge was shut down.
    pub fn current_session(&self) -> Result<String> {
        if let Some(id) = &self.home.defaults.session {
            return Ok(id.to_string());
        }
        match &self.home.session {
            HomeSession::Fixed(session) => Ok(session.id.to_string()),
            HomeSession::Automatic(auto) => {
                self.home.engine()?;
                Ok(auto.id().to_string())
            }
        }
    }

    /// Releases all refs of the automatic session. The next call begins a new one, with another id.
    /// Does nothing on the handle of a [`Session`](crate::Session).
    pub fn release_auto_session(&self) {
        if let HomeSession::Automatic(auto) = &self.home.session {
            auto.release();
        }
    }

    /// Releases all refs of the session with this id, in all pools. It is no error if there is none,
    /// and the id can be used again at once.
    pub fn release_session(&self, id: &str) {
        let Ok(engine) = self.home.engine() else { return };
        for session in engine.shared.sessions.remove(id) {
            engine.shared.close_session(&session);
        }
        if let HomeSession::Automatic(auto) = &self.home.session {
            auto.release_if(id);
        }
    }

    /// Blocks until a worker of this handle's pool has started, so that what is wrong with Python
    /// shows now. It is no matter whether the worker is free: see
    /// [`ready_within`](Self::ready_within) for that.
    ///
    /// ```
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::new()?;
    /// let python = py.ready()?;
    /// assert!(python.version.starts_with("3."));
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    ///
    /// # Errors
    /// No worker could be started.
    pub fn ready(&self) -> Result<PythonInfo> {
        let placement = &self.home.engine()?.shared.placement;
        let session = self.home.session(None, None)?;
        // A start has a limit of its own, and one that fails is reported.
        placement.wait_for_start(&Want::any(&session))?;
        placement.python(session.pool).ok_or_else(closed)
    }

    /// Whether each pool can take a call now, or within this time: for the readiness check of a
    /// service. It takes its turn behind the calls that wait already. A pool that starts workers
    /// only when they are needed, and has none at the moment, counts as ready.
    ///
    /// ```
    /// use std::time::Duration;
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::new()?;
    /// py.ready()?;
    /// assert!(py.ready_within(Duration::from_millis(500)).is_ok());
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error that a call would have had to which a pool says no: all its workers stay busy
    /// (`Timeout`), too many calls wait already (`Saturated`), no worker starts (`Spawn`,
    /// `Incompatible`), or the bridge was shut down (`Closed`). It names the pool.
    pub fn ready_within(&self, limit: Duration) -> Result<()> {
        let shared = &self.home.engine()?.shared;
        let deadline = Instant::now().checked_add(limit);
        for (place, pool) in shared.config.pools.iter().enumerate() {
            if shared.placement.has_idle_or_needs_none(PoolId(place as u16)) {
                continue;
            }
            let session = self.home.session(Some(&pool.name), None)?;
            let want = Want { deadline, queue_limit: Some(limit), ..Want::any(&session) };
            let of_pool = |error: Error| error.with_target(format!("pool `{}`", pool.name));
            shared.placement.give_back_unused(shared.placement.lease(&want).map_err(of_pool)?);
        }
        Ok(())
    }

    /// Whether the bridge itself works: the thread that starts and ends workers does its work, and
    /// answers within a second or so. For the liveness check of a service: it does not depend on
    /// what Python code does, nor on whether Python can be started. False once the bridge was shut
    /// down.
    ///
    /// ```
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::new()?;
    /// assert!(py.is_alive());
    /// py.shutdown();
    /// assert!(!py.is_alive());
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn is_alive(&self) -> bool {
        self.home.engine().is_ok_and(|engine| engine.answers_within(ANSWER_LIMIT))
    }

    /// What the threads of a worker are doing at this moment: their Python stacks, innermost call first,
    /// in the format of Python's `faulthandler`. For finding out what a call is busy with; it goes on
    /// undisturbed.
    ///
    /// ```
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::new()?;
    /// py.ready()?;
    /// let worker = py.status()?.pools[0].workers[0].id;
    /// assert!(py.dump_stacks(worker)?.contains("most recent call first"));
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    ///
    /// # Errors
    /// The worker has no process ([`ErrorKind::WorkerLost`](crate::ErrorKind)), or does not answer within two
    /// seconds (`Timeout`), as where C code keeps the interpreter to itself.
    pub fn dump_stacks(&self, worker: WorkerId) -> Result<String> {
        self.home.engine()?.shared.dump_stacks(worker, STACKS_LIMIT)
    }

    /// What the pools and workers are doing at this moment.
    ///
    /// ```
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::new()?;
    /// py.exec("gc", "collect", ()).wait()?;
    /// let status = py.status()?;
    /// assert_eq!(status.pools[0].workers[0].calls, 1);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    ///
    /// # Errors
    /// The bridge is gone.
    pub fn status(&self) -> Result<Status> {
        let shared = &self.home.engine()?.shared;
        Ok(Status { pools: shared.status(), memory: shared.memory.status() })
    }

    /// Forgets the results that the pools keep; see [`Pool::keep_results`](crate::Pool::keep_results).
    pub fn clear_results(&self) {
        let Ok(engine) = self.home.engine() else { return };
        let pools = engine.shared.config.pools.iter();
        pools.filter_map(|pool| pool.results.as_ref()).for_each(|results| results.clear());
    }

    /// The sessions that are open at this moment, those of other handles too. A session that is used
    /// in several pools is listed for each of them.
    ///
    /// ```
    /// use snakebridge::{Bridge, Ref};
    ///
    /// let py = Bridge::new()?;
    /// let session = py.session().id("ada").tag("user", "17").open()?;
    /// let numbers: Ref = session.call("collections", "deque", ([1, 2],)).wait()?;
    /// let found = py.sessions()?.into_iter().find(|session| session.id == "ada").unwrap();
    /// assert_eq!((found.refs, found.tags["user"].as_str()), (1, "17"));
    /// let refs = py.session_refs("ada")?;
    /// assert_eq!(refs[0].type_qualname, "deque");
    /// # drop(numbers);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    ///
    /// # Errors
    /// The bridge is gone.
    pub fn sessions(&self) -> Result<Vec<SessionStatus>> {
        let shared = &self.home.engine()?.shared;
        let now = Instant::now();
        let sessions = shared.sessions.all();
        let name = |pool| shared.config.pool(pool).name.to_string();
        Ok(sessions.iter().map(|it| SessionStatus::new(it, name(it.pool), now)).collect())
    }

    /// The live refs of the session with this id, in all pools; see [`sessions`](Self::sessions).
    /// Empty if there is no such session.
    ///
    /// # Errors
    /// The bridge is gone.
    pub fn session_refs(&self, id: &str) -> Result<Vec<RefStatus>> {
        let now = Instant::now();
        let sessions = self.home.engine()?.shared.sessions.all();
        let of_id = sessions.iter().filter(|session| *session.id == *id);
        Ok(of_id.flat_map(|session| RefStatus::of_session(session, now)).collect())
    }

    /// Ends the workers and waits until they have ended. Calls that still run fail, and so does
    /// every later use of the bridge, through whichever handle. Dropping the last handle does the
    /// same.
    pub fn shutdown(&self) {
        if let Ok(engine) = self.home.engine() {
            engine.shutdown();
        }
    }

    pub(crate) fn start(engine: Arc<Engine>, defaults: CallOptions) -> Self {
        let session = HomeSession::Automatic(Arc::new(AutoSession::new(&engine)));
        Self { home: Home { engine: Some(engine), session, defaults: Arc::new(defaults) } }
    }

    pub(crate) fn in_session(&self, session: &Arc<SessionState>) -> Self {
        let mut defaults = CallOptions::clone(&self.home.defaults);
        defaults.session = None;
        let session = HomeSession::Fixed(Arc::clone(session));
        Self { home: Home { session, defaults: Arc::new(defaults), ..self.home.clone() } }
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    fn draft(&self, kind: Kind) -> Draft {
        Draft::new(kind, self.home.clone())
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pools: Vec<&str> = match self.home.engine() {
            Ok(engine) => engine.shared.config.pools.iter().map(|pool| &*pool.name).collect(),
            Err(_) => Vec::new(),
        };
        f.debug_struct("Bridge").field("pools", &pools).finish_non_exhaustive()
    }
}

impl Home {
    /// The home of calls on a ref: its own session, whatever the handle's.
    pub(crate) fn of_ref(
        engine: Option<Arc<Engine>>,
        session: &Arc<SessionState>,
        defaults: &Arc<CallOptions>,
    ) -> Self {
        let session = HomeSession::Fixed(Arc::clone(session));
        Self { engine, session, defaults: Arc::clone(defaults) }
    }

    /// The home of calls that have no bridge.
    pub(crate) fn nowhere() -> Self {
        let session = HomeSession::Automatic(Arc::new(AutoSession::nowhere()));
        Self { engine: None, session, defaults: Arc::default() }
    }

    /// Whether calls are made in the same session of the same bridge, with the same defaults.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same_session = match (&self.session, &other.session) {
            (HomeSession::Automatic(own), HomeSession::Automatic(other)) => Arc::ptr_eq(own, other),
            (HomeSession::Fixed(own), HomeSession::Fixed(other)) => Arc::ptr_eq(own, other),
            _ => false,
        };
        same_session
            && (Arc::ptr_eq(&self.defaults, &other.defaults) || self.defaults == other.defaults)
    }

    pub(crate) fn engine(&self) -> Result<&Arc<Engine>> {
        self.engine.as_ref().ok_or_else(closed)
    }

    /// The pool with this name, else that of the defaults, else the first.
    pub(crate) fn pool(&self, name: Option<&str>) -> Result<PoolId> {
        let config = &self.engine()?.shared.config;
        config.pool_named(name.or(self.defaults.pool.as_deref()))
    }

    /// The session of a call that has no ref as its receiver.
    pub(crate) fn session(
        &self,
        pool: Option<&str>,
        id: Option<&Arc<str>>,
    ) -> Result<Arc<SessionState>> {
        let engine = self.engine()?;
        let Shared { sessions, placement, .. } = &*engine.shared;
        if let Some(id) = id.or(self.defaults.session.as_ref()) {
            let (pool, settings) = (self.pool(pool)?, sessions.defaults());
            return Ok(sessions.by_id(placement, pool, id, Held::UntilReleased, settings));
        }
        match &self.session {
            HomeSession::Automatic(auto) => Ok(auto.get(engine, self.pool(pool)?)),
            HomeSession::Fixed(session) if pool.is_none() => Ok(Arc::clone(session)),
            HomeSession::Fixed(session) => match self.pool(pool)? {
                pool if pool == session.pool => Ok(Arc::clone(session)),
                pool => {
                    let (id, settings) = (&session.id, &session.settings);
                    Ok(sessions.by_id(placement, pool, id, Held::Elsewhere, settings))
                }
            },
        }
    }
}

/// The automatic session of a handle and its clones: one id, and a session for each pool that is
/// used. Ends with the last clone.
#[derive(Debug)]
struct AutoSession {
    engine: Weak<Engine>,
    state: Mutex<AutoState>,
}

#[derive(Debug, Default)]
struct AutoState {
    /// Made with the first call.
    id: Option<Arc<str>>,
    sessions: Vec<Arc<SessionState>>,
}

impl AutoSession {
    fn new(engine: &Arc<Engine>) -> Self {
        Self { engine: Arc::downgrade(engine), state: Mutex::default() }
    }

    fn nowhere() -> Self {
        Self { engine: Weak::new(), state: Mutex::default() }
    }

    fn get(&self, engine: &Engine, pool: PoolId) -> Arc<SessionState> {
        let mut state = self.lock();
        if let Some(session) = state.sessions.iter().find(|session| session.pool == pool) {
            return Arc::clone(session);
        }
        let id = Arc::clone(state.id.get_or_insert_with(|| new_id("auto")));
        let Shared { sessions, placement, .. } = &*engine.shared;
        let session = sessions.make(placement, pool, id, sessions.defaults());
        state.sessions.push(Arc::clone(&session));
        session
    }

    fn id(&self) -> Arc<str> {
        Arc::clone(self.lock().id.get_or_insert_with(|| new_id("auto")))
    }

    fn release(&self) {
        let AutoState { sessions, .. } = std::mem::take(&mut *self.lock());
        if let Some(engine) = self.engine.upgrade() {
            sessions.iter().for_each(|session| engine.shared.close_session(session));
        }
    }

    fn release_if(&self, id: &str) {
        if self.lock().id.as_deref() == Some(id) {
            self.release();
        }
    }

    fn lock(&self) -> MutexGuard<'_, AutoState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AutoSession {
    fn drop(&mut self) {
        self.release();
    }
}
