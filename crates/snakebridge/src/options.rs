//! Options of calls.

use std::sync::Arc;
use std::time::Duration;

use snakebridge_pool::Affinity as Placed;

use crate::error::{Error, ErrorKind, Result};

/// Which worker a call goes to, where it is not decided by a ref.
///
/// A call with a ref, as the receiver or anywhere in its arguments, always goes to the worker that
/// holds the object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Affinity {
    /// The session's worker if it is free, else any free worker.
    #[default]
    Hint,
    /// The session's worker; waits until it is free.
    StrictQueue,
    /// The session's worker; fails with [`ErrorKind::Busy`](crate::ErrorKind::Busy) if it is not
    /// free.
    StrictFailFast,
}

impl From<Affinity> for Placed {
    fn from(affinity: Affinity) -> Self {
        match affinity {
            Affinity::Hint => Self::Hint,
            Affinity::StrictQueue => Self::StrictQueue,
            Affinity::StrictFailFast => Self::StrictFailFast,
        }
    }
}

/// Whether both sides of a call look for what comes next, for a short while, before they sleep; see
/// [`Pool::spin`](crate::Pool::spin).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spin {
    /// They sleep at once.
    Off,
    /// They look while calls follow each other closely and that pays, for up to 50 microseconds at a time.
    #[default]
    Auto,
    /// They always look for so long, whatever it costs: for programs that have cores to spare. Up to 50 milliseconds.
    For(Duration),
    /// For tests: chance says it for each message, from a seed.
    #[doc(hidden)]
    Random(u64),
}

impl Spin {
    /// The environment variable that says it for pools that do not.
    pub(crate) const VARIABLE: &str = "SNAKEBRIDGE_SPIN";

    /// What [`parse`](Self::parse) takes.
    pub(crate) const EXPECTED: &str = "`off`, `auto`, or a number of microseconds";

    /// What the environment says.
    pub(crate) fn of_environment() -> Result<Self> {
        let value = std::env::var_os(Self::VARIABLE).filter(|value| !value.is_empty());
        let Some(value) = value else { return Ok(Self::Auto) };
        if let Some(spin) = value.to_str().and_then(Self::parse) {
            return Ok(spin);
        }
        let (name, value) = (Self::VARIABLE, value.to_string_lossy());
        let message = format!("{name}={value}, expected {}", Self::EXPECTED);
        Err(Error::new(ErrorKind::Config, message))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "auto" => Some(Self::Auto),
            "random" => Some(Self::Random(1)),
            micros => Some(Self::For(Duration::from_micros(micros.parse::<u32>().ok()?.into()))),
        }
    }
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    After(Duration),
    Never,
}

/// Longer than any program runs, and short enough to be added to the present time.
pub(crate) const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The limit of a call for which nothing else is said.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// Defaults for the calls made through a handle; see [`Bridge::with`](crate::Bridge::with).
///
/// ```
/// use std::time::Duration;
/// use snakebridge::{Bridge, CallOptions};
///
/// let py = Bridge::new()?;
/// let patient = py.with(CallOptions::new().timeout(Duration::from_secs(600)));
/// let root: f64 = patient.call("math", "sqrt", (16,)).wait()?;
/// assert_eq!(root, 4.0);
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "options do nothing until they are given to `Bridge::with`"]
pub struct CallOptions {
    pub(crate) limit: Option<Limit>,
    pub(crate) queue_limit: Option<Duration>,
    pub(crate) run_limit: Option<Duration>,
    pub(crate) affinity: Option<Affinity>,
    pub(crate) session: Option<Arc<str>>,
    pub(crate) pool: Option<Arc<str>>,
    pub(crate) profile: Option<Arc<str>>,
    pub(crate) idempotent: Option<bool>,
}

impl CallOptions {
    /// No options: everything is as it is without them.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a call may take, waiting for a worker included. Default: two minutes.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(Limit::After(limit));
        self
    }

    /// Lets calls take as long as they will.
    pub fn no_timeout(mut self) -> Self {
        self.limit = Some(Limit::Never);
        self
    }

    /// How long a call may wait for a worker, within its [`timeout`](Self::timeout). Default: that of
    /// the pool, else as long as the timeout allows.
    pub fn queue_timeout(mut self, limit: Duration) -> Self {
        self.queue_limit = Some(limit);
        self
    }

    /// How long a call may take once it has its worker, within its [`timeout`](Self::timeout).
    /// Default: as long as the timeout allows.
    pub fn run_timeout(mut self, limit: Duration) -> Self {
        self.run_limit = Some(limit);
        self
    }

    /// The time limit of this name, where no limit is given by [`timeout`](Self::timeout) or
    /// [`no_timeout`](Self::no_timeout); see [`BridgeBuilder::profile`].
    ///
    /// [`BridgeBuilder::profile`]: crate::BridgeBuilder::profile
    pub fn profile(mut self, name: &str) -> Self {
        self.profile = Some(name.into());
        self
    }

    /// Which worker calls go to. Default: that of the pool, else [`Affinity::Hint`].
    pub fn affinity(mut self, affinity: Affinity) -> Self {
        self.affinity = Some(affinity);
        self
    }

    /// The session with this id, which is made if there is none. It lasts until
    /// [`Bridge::release_session`](crate::Bridge::release_session) or the end of the bridge.
    /// Default: the automatic session of the handle.
    pub fn session(mut self, id: &str) -> Self {
        self.session = Some(id.into());
        self
    }

    /// The pool whose workers carry calls out. Default: the first one. Calls on a ref always go to
    /// the pool of the ref.
    pub fn pool(mut self, name: &str) -> Self {
        self.pool = Some(name.into());
        self
    }

    /// Whether calls may be carried out more than once without harm. Default: no. Such a call is made
    /// again if its worker is lost, within its time, unless it carries refs: up to twice.
    pub fn idempotent(mut self, yes: bool) -> Self {
        self.idempotent = Some(yes);
        self
    }

    /// Whether nothing is said.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These options, and where they say nothing, those of `other`.
    pub(crate) fn or(self, other: &Self) -> Self {
        Self {
            limit: self.limit.or(other.limit),
            queue_limit: self.queue_limit.or(other.queue_limit),
            run_limit: self.run_limit.or(other.run_limit),
            affinity: self.affinity.or(other.affinity),
            session: self.session.or_else(|| other.session.clone()),
            pool: self.pool.or_else(|| other.pool.clone()),
            profile: self.profile.or_else(|| other.profile.clone()),
            idempotent: self.idempotent.or(other.idempotent),
        }
    }
}
