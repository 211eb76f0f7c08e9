//! Rust functions that Python can call.

mod error;
mod function;
#[cfg(feature = "tokio")]
mod task;

use std::fmt;
use std::sync::{Arc, Weak};

use serde::ser::{Error as _, Serialize, Serializer};
use snakebridge_wire::token;

use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::scope;
pub use error::CallbackError;
#[cfg(feature = "tokio")]
pub(crate) use function::BoxFuture;
pub use function::CallbackFn;
pub(crate) use function::{Bound, Function, Outcome, Returned, typed, typed_with_kwargs};
#[cfg(feature = "tokio")]
pub use task::AsyncCallbackFn;

/// A Rust function that Python can call; made by [`Bridge::callback`](crate::Bridge::callback).
///
/// Can be an argument of a call, or a part of one, any number of times, and is a callable in Python, for
/// any thread, also after the call. Cheap to clone. The function lives as long as a `Callback` for it does,
/// or a callable in Python.
///
/// ```
/// use snakebridge::{Bridge, args};
///
/// let py = Bridge::new()?;
/// let distance = py.callback(|x: i64| Ok((x - 10).abs()));
/// let sorted: Vec<i64> =
///     py.call("builtins", "sorted", args![[1, 9, 14], key = &distance]).wait()?;
/// assert_eq!(sorted, [9, 14, 1]);
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone)]
pub struct Callback(Arc<Handle>);

struct Handle {
    engine: Weak<Engine>,
    id: u64,
}

impl Callback {
    /// `engine` is none for a bridge that is gone: using the callback is an error then.
    pub(crate) fn new(engine: Option<&Arc<Engine>>, function: Arc<dyn Function>) -> Self {
        let id = engine.map_or(0, |engine| engine.shared.callbacks.add(function));
        Self(Arc::new(Handle { engine: engine.map_or_else(Weak::new, Arc::downgrade), id }))
    }

    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    /// Whether it can be used in a call of this bridge.
    pub(crate) fn check_use(&self, engine: &Arc<Engine>) -> Result<()> {
        if std::ptr::eq(self.0.engine.as_ptr(), Arc::as_ptr(engine)) {
            return Ok(());
        }
        let message = "the callback belongs to another bridge";
        Err(Error::new(ErrorKind::Misuse, message)
            .with_hint("callbacks can only be used with the bridge that made them"))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.shared.callbacks.drop_handle(self.id);
        }
    }
}

impl Serialize for Callback {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if !scope::note_callback(self) {
            return Err(S::Error::custom("a callback can only be an argument of a call"));
        }
        serializer.serialize_newtype_struct(token::CALLBACK, &self.0.id)
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<callback #{}>", self.0.id)
    }
}
