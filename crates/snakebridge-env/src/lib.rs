//! What a program of SnakeBridge declares of Python, and the environments with the packages that it
//! declares.
//!
//! The crate has no stable API of its own: depend on `snakebridge` with the feature `env`.

#![forbid(unsafe_code)]

pub mod config;
mod diagnosis;
mod environments;
mod error;
mod files;
mod installer;
mod interpreter;
mod lock_file;
mod progress;
mod requirements;
mod secrets;
mod similar;

pub use environments::{Environment, Environments, Options, State};
pub use error::{EnvError, EnvErrorKind};
pub use installer::{Installer, UV_VARIABLE};
pub use interpreter::Interpreter;
pub use lock_file::NAME as LOCK_FILE;
pub use progress::{Progress, ProgressEvent};
pub use requirements::{Index, Requirements};
