//! Why an environment could not be made.

use std::fmt;
use std::io;
use std::path::Path;

use crate::secrets::redacted;

/// Why there is no environment.
#[derive(Clone, Debug)]
pub struct EnvError {
    kind: EnvErrorKind,
    message: String,
    hint: Option<String>,
    said: Option<String>,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvErrorKind {
    /// A requirement or another setting cannot be used.
    Requirement,
    /// No interpreter is the one that is wanted.
    NoPython,
    /// The package index cannot be reached.
    Network,
    /// The package index wants other credentials.
    Credentials,
    /// There is no such package, or not in such a version, or not for this Python.
    NoSuchPackage,
    /// The packages cannot be installed together.
    Conflict,
    /// A package cannot be built from its source.
    Build,
    /// A file is not the one that the lock file is about.
    Hash,
    /// The disk is full.
    NoSpace,
    /// A folder cannot be written.
    Denied,
    /// It took too long, or another process did.
    Timeout,
    /// The lock file does not fit what is declared.
    Lock,
    /// Something else went wrong with a tool or a file.
    Other,
}

impl EnvError {
    pub(crate) fn new(kind: EnvErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: redacted(&message.into()), hint: None, said: None }
    }

    /// A file could not be read or written.
    pub(crate) fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => EnvErrorKind::NoSpace,
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory => EnvErrorKind::Denied,
            _ => EnvErrorKind::Other,
        };
        let message = format!("cannot {what} `{}`: {error}", path.display());
        Self::new(kind, message).with_hint(kind.hint())
    }

    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        self
    }

    #[must_use]
    pub(crate) fn with_said(mut self, said: String) -> Self {
        self.said = Some(said);
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> EnvErrorKind {
        self.kind
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The last that uv or pip said, if one of them has failed.
    #[must_use]
    pub fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }
}

impl EnvErrorKind {
    /// What helps mostly.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Network => {
                "check the network, and the proxy and index settings: those of uv and pip count, and \
                 `index.url` is another index; what is installed once needs no network any more"
            }
            Self::Credentials => {
                "give the index a name and a password that it knows: in its address, in `~/.netrc`, or \
                 as uv and pip have them in their settings; some indexes answer so too where they do not \
                 have the package"
            }
            Self::NoSuchPackage => {
                "check the name and the version, and whether the package is there for this Python: \
                 `python` can ask for another version"
            }
            Self::Conflict => "ask for other versions, or give them to pools of their own",
            Self::Build => {
                "there is no ready-made file of the package for this Python: ask for another version \
                 of the package or of Python, or install what its source needs to be built"
            }
            Self::Hash => "if the change of the package is meant, lock anew",
            Self::NoSpace => "make room, or set SNAKEBRIDGE_CACHE_DIR to a folder on another disk",
            Self::Denied => "set SNAKEBRIDGE_CACHE_DIR to a folder that can be written",
            Self::Timeout => "`environment.timeout` allows more time",
            Self::Requirement | Self::NoPython | Self::Lock | Self::Other => "",
        }
    }
}

impl fmt::Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EnvError {}
