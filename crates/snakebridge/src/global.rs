//! The default bridge of the process, for scripts and short programs.

use std::sync::OnceLock;

use serde::de::DeserializeOwned;

use crate::args::IntoArgs;
use crate::bridge::Bridge;
use crate::call::Call;
use crate::error::{Error, ErrorKind, Result};

static DEFAULT: OnceLock<Result<Bridge>> = OnceLock::new();

impl Bridge {
    /// Makes this the default bridge, which the free functions of the crate use.
    ///
    /// ```
    /// use snakebridge::Bridge;
    ///
    /// Bridge::builder().workers(2).build()?.install()?;
    /// let root: f64 = snakebridge::call("math", "sqrt", (16,)).wait()?;
    /// assert_eq!(root, 4.0);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is a default bridge already: one was installed, or a free function was used before.
    pub fn install(self) -> Result<()> {
        DEFAULT.set(Ok(self)).map_err(|_| {
            Error::new(ErrorKind::Misuse, "there is a default bridge already")
                .with_hint("install one at the start of the program, before it is first used")
        })
    }
}

/// The default bridge. It starts with its first use, and lasts until the program ends. With the
/// feature `env` it has the settings of `Bridge::configured`, else those of [`Bridge::new`].
///
/// # Errors
/// It could not be started; the same error each time.
pub fn bridge() -> Result<&'static Bridge> {
    DEFAULT.get_or_init(start).as_ref().map_err(Clone::clone)
}

#[cfg(feature = "env")]
fn start() -> Result<Bridge> {
    Bridge::configured()?.build()
}

#[cfg(not(feature = "env"))]
fn start() -> Result<Bridge> {
    Bridge::new()
}

/// [`Bridge::call`] on the default [`bridge`].
///
/// ```
/// let root: f64 = snakebridge::call("math", "sqrt", (16,)).wait()?;
/// assert_eq!(root, 4.0);
/// # Ok::<(), snakebridge::Error>(())
/// ```
pub fn call<R>(module: &str, function: &str, args: impl IntoArgs) -> Call<R>
where
    R: DeserializeOwned + 'static,
{
    match bridge() {
        Ok(bridge) => bridge.call(module, function, args),
        Err(error) => Call::failed(error),
    }
}

/// [`Bridge::exec`] on the default [`bridge`].
pub fn exec(module: &str, function: &str, args: impl IntoArgs) -> Call<()> {
    match bridge() {
        Ok(bridge) => bridge.exec(module, function, args),
        Err(error) => Call::failed(error),
    }
}

/// [`Bridge::helper`] on the default [`bridge`].
pub fn helper<R>(name: &str, args: impl IntoArgs) -> Call<R>
where
    R: DeserializeOwned + 'static,
{
    match bridge() {
        Ok(bridge) => bridge.helper(name, args),
        Err(error) => Call::failed(error),
    }
}

/// [`Bridge::get`] on the default [`bridge`].
///
/// ```
/// let pi: f64 = snakebridge::get("math", "pi").wait()?;
/// assert!(pi > 3.14);
/// # Ok::<(), snakebridge::Error>(())
/// ```
pub fn get<R>(module: &str, name: &str) -> Call<R>
where
    R: DeserializeOwned + 'static,
{
    match bridge() {
        Ok(bridge) => bridge.get(module, name),
        Err(error) => Call::failed(error),
    }
}
