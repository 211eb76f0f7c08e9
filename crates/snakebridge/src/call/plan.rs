//! What is decided about a call before it is made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use snakebridge_pool::WorkerKey;

use super::{Named, RawCall};
use crate::engine::Config;
use crate::engine::placement::Want;
use crate::engine::sessions::SessionState;
use crate::error::{Error, ErrorKind, Result};
use crate::options::{Affinity, Limit};
use crate::refs::Ref;

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

impl RawCall {
    /// Decides all that can be decided before the call is made.
    pub(super) fn plan(&mut self) -> Result<Plan> {
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
}

fn two_workers() -> Error {
    Error::new(ErrorKind::Misuse, "the refs of the call live on different workers").with_hint(
        "make them in one session with `Affinity::StrictQueue`, so that they are on one worker",
    )
}
