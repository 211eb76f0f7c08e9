//! The handle of a running bridge.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use snakebridge_wire::Kind;
use snakebridge_wire::frame::flags;

use crate::args::IntoArgs;
use crate::builder::BridgeBuilder;
use crate::call::{Call, Draft};
use crate::engine::placement::Want;
use crate::engine::sessions::SessionState;
use crate::engine::{Engine, PythonInfo, START_LIMIT, closed};
use crate::error::Result;
use crate::options::{Affinity, CallOptions};
use crate::session::SessionBuilder;

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
        self.draft(Kind::Call)
            .function(module, function)
            .args(args)
            .finish()
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
        self.draft(Kind::Method)
            .item("the value", &value)
            .member(name)
            .args(args)
            .finish()
    }

    /// Reads an attribute of a value; see [`method`](Self::method).
    pub fn attr<R>(&self, value: impl Serialize, name: &str) -> Call<R>
    where
        R: DeserializeOwned + 'static,
    {
        self.draft(Kind::Attr)
            .item("the value", &value)
            .member(name)
            .finish()
    }

    /// A handle of the same bridge with other defaults, in the same session. What `options` says
    /// nothing about stays as it is.
    pub fn with(&self, options: CallOptions) -> Self {
        let defaults = Arc::new(options.or(&self.home.defaults));
        Self {
            home: Home {
                defaults,
                ..self.home.clone()
            },
        }
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
        Ok(self.home.session()?.id.to_string())
    }

    /// Releases all refs of the automatic session. The next call begins a new one, with another id.
    /// Does nothing on the handle of a [`Session`](crate::Session).
    pub fn release_auto_session(&self) {
        if let (HomeSession::Automatic(auto), Ok(engine)) = (&self.home.session, self.home.engine())
            && let Some(session) = auto.take()
        {
            close_session(engine, &session);
        }
    }

    /// Releases all refs of the session with this id. It is no error if there is none, and the id
    /// can be used again at once.
    pub fn release_session(&self, id: &str) {
        let Ok(engine) = self.home.engine() else {
            return;
        };
        if let Some(session) = engine.sessions.remove(id) {
            close_session(engine, &session);
        } else if let HomeSession::Automatic(auto) = &self.home.session
            && let Some(session) = auto.take_if(id)
        {
            close_session(engine, &session);
        }
    }

    /// Blocks until a worker is ready, so that what is wrong with Python shows now.
    ///
    /// # Errors
    /// No worker could be started.
    pub fn ready(&self) -> Result<PythonInfo> {
        let engine = self.home.engine()?;
        let session = self.home.session()?;
        let want = Want {
            session: &session,
            pinned: None,
            affinity: Affinity::Hint,
        };
        let grant = engine.lease(
            &want,
            std::time::Instant::now().checked_add(START_LIMIT * 2),
        )?;
        engine.shared.placement.give_back_unused(grant);
        engine.shared.placement.python().ok_or_else(closed)
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
        let session = HomeSession::Automatic(Arc::new(AutoSession::default()));
        Self {
            home: Home {
                engine: Some(engine),
                session,
                defaults: Arc::new(defaults),
            },
        }
    }

    pub(crate) fn in_session(&self, session: &Arc<SessionState>) -> Self {
        let mut defaults = CallOptions::clone(&self.home.defaults);
        defaults.session = None;
        let session = HomeSession::Fixed(Arc::clone(session));
        Self {
            home: Home {
                session,
                defaults: Arc::new(defaults),
                ..self.home.clone()
            },
        }
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
        let workers = self
            .home
            .engine()
            .map_or(0, |engine| engine.shared.config.workers);
        f.debug_struct("Bridge")
            .field("workers", &workers)
            .finish_non_exhaustive()
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
        Self {
            engine,
            session,
            defaults: Arc::clone(defaults),
        }
    }

    /// The home of calls that have no bridge.
    pub(crate) fn nowhere() -> Self {
        let session = HomeSession::Automatic(Arc::default());
        Self {
            engine: None,
            session,
            defaults: Arc::default(),
        }
    }

    pub(crate) fn engine(&self) -> Result<&Arc<Engine>> {
        self.engine.as_ref().ok_or_else(closed)
    }

    /// The session of calls that name no other one.
    pub(crate) fn session(&self) -> Result<Arc<SessionState>> {
        match (&self.defaults.session, &self.session) {
            (Some(id), _) => Ok(self.engine()?.sessions.keep(id)),
            (None, HomeSession::Fixed(session)) => Ok(Arc::clone(session)),
            (None, HomeSession::Automatic(auto)) => Ok(auto.get(self.engine()?)),
        }
    }
}

/// The automatic session of a handle and its clones; made with the first call.
#[derive(Debug, Default)]
struct AutoSession(Mutex<Option<Arc<SessionState>>>);

impl AutoSession {
    fn get(&self, engine: &Engine) -> Arc<SessionState> {
        let mut session = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(session.get_or_insert_with(|| engine.sessions.anonymous("auto")))
    }

    fn take(&self) -> Option<Arc<SessionState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn take_if(&self, id: &str) -> Option<Arc<SessionState>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take_if(|session| &*session.id == id)
    }
}

pub(crate) fn close_session(engine: &Engine, session: &SessionState) {
    if session.close() {
        engine.release_session(session.number);
    }
}
