//! Sessions: groups of refs with one lifetime.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::bridge::Bridge;
use crate::engine::Shared;
use crate::engine::sessions::{Held, SessionSettings, SessionState};
use crate::error::{Error, ErrorKind, Result};
use crate::options::FOREVER;

/// A session that is open as long as this guard lives.
///
/// It stands for a [`Bridge`] whose calls are made in the session, so a function that takes a
/// `&Bridge` works in a session too. All calls of a session that use refs reach the same worker,
/// and the same Python thread in it. Refs of different sessions cannot meet in one call.
///
/// Dropping the last guard of a session releases its refs, without blocking.
///
/// ```
/// use snakebridge::{Bridge, ErrorKind, Ref};
///
/// let py = Bridge::new()?;
/// let numbers: Ref = {
///     let session = py.session().open()?;
///     let numbers: Ref = session.call("collections", "deque", ([1, 2, 3],)).wait()?;
///     assert_eq!(numbers.len().wait()?, 3);
///     numbers
/// };
/// assert_eq!(numbers.len().wait().unwrap_err().kind(), ErrorKind::SessionClosed);
/// # Ok::<(), snakebridge::Error>(())
/// ```
pub struct Session {
    bridge: Bridge,
    state: Arc<SessionState>,
    named: bool,
}

/// Settings of a session; see [`Bridge::session`].
#[derive(Debug)]
#[must_use = "a session is not open until `open` is called"]
pub struct SessionBuilder<'a> {
    bridge: &'a Bridge,
    id: Option<Arc<str>>,
    own: SessionSettings,
}

impl<'a> SessionBuilder<'a> {
    pub(crate) fn new(bridge: &'a Bridge) -> Self {
        Self { bridge, id: None, own: SessionSettings::default() }
    }

    /// The id of the session. Guards with one id share one session, and its refs. Default: an id of
    /// its own.
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.into());
        self
    }

    /// How long a ref of the session may go unused; then its object is released, and using the ref is
    /// an error that says so. A ref that a running call uses does not expire. A session with an id
    /// of which no guard and no ref is held ends when it was not named for as long. Default: that of
    /// [`BridgeBuilder::session_ttl`](crate::BridgeBuilder::session_ttl).
    pub fn ttl(mut self, limit: Duration) -> Self {
        self.own.ttl = Some(limit.min(FOREVER));
        self
    }

    /// How many refs the session may have in each pool. Those beyond that replace the refs that were
    /// used least lately: their objects are released, and using them is an error that says so. A ref
    /// that a running call uses stays. Default: that of
    /// [`BridgeBuilder::session_max_refs`](crate::BridgeBuilder::session_max_refs).
    pub fn max_refs(mut self, count: usize) -> Self {
        self.own.max_refs = Some(count);
        self
    }

    /// A note about the session, to be seen in [`Bridge::sessions`].
    pub fn tag(mut self, name: &str, value: &str) -> Self {
        self.own.tags.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Opens the session.
    ///
    /// # Errors
    /// The bridge was shut down; the session is open already, and has other settings than those that
    /// are asked for here.
    pub fn open(self) -> Result<Session> {
        let home = self.bridge.home();
        let (engine, pool) = (home.engine()?, home.pool(None)?);
        let Shared { sessions, placement, .. } = &*engine.shared;
        let settings = Arc::new(self.own.clone().or(sessions.defaults()));
        let state = match &self.id {
            Some(id) => sessions.by_id(placement, pool, id, Held::ByGuard, &settings),
            None => sessions.anonymous(placement, pool, &settings),
        };
        let bridge = self.bridge.in_session(&state);
        // From here on the guard gives the session back.
        let session = Session { bridge, state, named: self.id.is_some() };
        match session.state.settings.agree_with(&self.own) {
            true => Ok(session),
            false => {
                let message = format!("the session `{}` is open with other settings", session.id());
                Err(Error::new(ErrorKind::Misuse, message).with_hint(
                    "open it with the same `ttl`, `max_refs` and tags everywhere, or say them once",
                ))
            }
        }
    }
}

impl Session {
    /// The id of the session.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.state.id
    }

    /// Closes the session for everyone: all its refs are released, those of other guards too.
    pub fn close(self) {
        if self.named {
            self.bridge.release_session(&self.state.id);
        }
        // Dropping the guard does the rest.
    }
}

impl Deref for Session {
    type Target = Bridge;

    fn deref(&self) -> &Bridge {
        &self.bridge
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Ok(engine) = self.bridge.home().engine() else { return };
        for session in engine.shared.sessions.unhold(&self.state) {
            engine.shared.close_session(&session);
        }
        if !self.named {
            engine.shared.close_session(&self.state);
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.state.id).finish_non_exhaustive()
    }
}
