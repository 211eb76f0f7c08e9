//! What is wrong with settings.

use std::fmt;

use super::Origin;

/// A file or a variable says something that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub(super) origin: Origin,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl ConfigError {
    pub(super) fn new(origin: Origin, message: impl Into<String>) -> Self {
        Self { origin, message: message.into(), hint: None }
    }

    #[must_use]
    pub(super) fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// Where it is.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)
    }
}

impl std::error::Error for ConfigError {}
