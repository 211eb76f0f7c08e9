//! Sessions: groups of refs with one lifetime.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::bridge::Bridge;
use crate::engine::sessions::{Held, SessionState};
use crate::error::Result;

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
}

impl<'a> SessionBuilder<'a> {
    pub(crate) fn new(bridge: &'a Bridge) -> Self {
        Self { bridge, id: None }
    }

    /// The id of the session. Guards with one id share one session, and its refs. Default: an id of
    /// its own.
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Opens the session.
    ///
    /// # Errors
    /// The bridge was shut down.
    pub fn open(self) -> Result<Session> {
        let home = self.bridge.home();
        let (engine, pool) = (home.engine()?, home.pool(None)?);
        let placement = &engine.shared.placement;
        let state = match &self.id {
            Some(id) => engine.sessions.named(placement, pool, id, Held::ByGuard),
            None => engine.sessions.anonymous(placement, pool, "session"),
        };
        let bridge = self.bridge.in_session(&state);
        Ok(Session { bridge, state, named: self.id.is_some() })
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
        for session in engine.sessions.unhold(&self.state) {
            engine.close_session(&session);
        }
        if !self.named {
            engine.close_session(&self.state);
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.state.id).finish_non_exhaustive()
    }
}
