//! What happens while an environment is made. Nothing is shown unless somebody asks for it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::secrets::redacted;

/// Takes note of what happens. It is called on the thread that wants the environment, and must not
/// take long.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(&ProgressEvent<'_>) + Send + Sync>);

/// Something that happens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ProgressEvent<'a> {
    /// Another process is making the same environment, and is waited for.
    Waiting {
        /// The environment.
        folder: &'a Path,
    },
    /// The other process has made it.
    Found {
        /// The environment.
        folder: &'a Path,
    },
    /// An environment is not there, and is being made.
    Making {
        /// Where.
        folder: &'a Path,
        /// The packages that are asked for.
        packages: &'a [String],
        /// Why there is none, if there should be one: something is damaged.
        instead_of: Option<&'a str>,
    },
    /// A step has begun: "resolving and installing 2 packages with uv".
    Step(&'a str),
    /// A line that uv or pip has printed.
    Line(&'a str),
    /// The environment is there.
    Made {
        /// Where.
        folder: &'a Path,
        /// How long it took.
        time: Duration,
    },
}

impl Progress {
    /// Has a function take note.
    pub fn new(take: impl Fn(&ProgressEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    pub(crate) fn tell(&self, event: &ProgressEvent<'_>) {
        (self.0)(event);
    }
}

/// Nobody takes note.
impl Default for Progress {
    fn default() -> Self {
        Self::new(|_| ())
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// A line for people.
impl fmt::Display for ProgressEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { .. } => {
                f.write_str("waiting for another process that makes the environment")
            }
            Self::Found { .. } => f.write_str("another process has made the environment"),
            Self::Making { packages, instead_of: None, .. } => {
                write!(f, "making an environment with {}", redacted(&packages.join(", ")))
            }
            Self::Making { instead_of: Some(damage), .. } => {
                write!(f, "making the environment anew: {damage}")
            }
            Self::Step(text) | Self::Line(text) => f.write_str(text),
            Self::Made { time, .. } => {
                write!(f, "made the environment in {:.1} s", time.as_secs_f64())
            }
        }
    }
}
