//! Time limits that have names.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::options::{DEFAULT_TIMEOUT, Limit};

/// The time limits of a bridge: by name, and which libraries they are for.
#[derive(Clone, Debug)]
pub(crate) struct Profiles {
    limits: BTreeMap<String, Limit>,
    /// First part of a module path, and the name of its profile.
    libraries: BTreeMap<String, String>,
}

/// The profile of calls for which nothing else is said.
const DEFAULT: &str = "default";

impl Profiles {
    pub(crate) fn new() -> Self {
        let limits = [
            (DEFAULT, Limit::After(DEFAULT_TIMEOUT)),
            ("ml_inference", Limit::After(Duration::from_secs(600))),
            ("batch_job", Limit::Never),
        ];
        let limits = limits.map(|(name, limit)| (name.to_owned(), limit));
        Self { limits: limits.into(), libraries: BTreeMap::new() }
    }

    pub(crate) fn set(&mut self, name: &str, limit: Option<Duration>) {
        self.limits.insert(name.to_owned(), limit.map_or(Limit::Never, Limit::After));
    }

    pub(crate) fn set_library(&mut self, library: &str, profile: &str) {
        self.libraries.insert(library.to_owned(), profile.to_owned());
    }

    /// Whether all names that are used exist.
    pub(crate) fn check(&self) -> Result<()> {
        self.libraries.values().try_for_each(|name| self.limit(name).map(|_| ()))
    }

    /// The limit of the profile with this name.
    pub(crate) fn limit(&self, name: &str) -> Result<Limit> {
        self.limits.get(name).copied().ok_or_else(|| {
            let known: Vec<String> = self.limits.keys().map(|name| format!("`{name}`")).collect();
            let message = format!("there is no profile `{name}`, only {}", known.join(", "));
            Error::new(ErrorKind::Config, message)
                .with_hint("declare it with `Bridge::builder().profile(name, limit)`")
        })
    }

    pub(crate) fn default_limit(&self) -> Limit {
        self.limits.get(DEFAULT).copied().unwrap_or(Limit::After(DEFAULT_TIMEOUT))
    }

    pub(crate) fn has_libraries(&self) -> bool {
        !self.libraries.is_empty()
    }

    /// The limit for calls into a library, named as its modules begin.
    pub(crate) fn of_library(&self, library: &[u8]) -> Limit {
        let profile = std::str::from_utf8(library).ok().and_then(|name| self.libraries.get(name));
        let limit = profile.and_then(|name| self.limits.get(name)).copied();
        limit.unwrap_or_else(|| self.default_limit())
    }
}
