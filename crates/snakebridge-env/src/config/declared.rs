//! What settings mean for environments.

use std::path::{Path, PathBuf};

use super::{Config, Value};
use crate::environments::Options;
use crate::installer::Installer;
use crate::lock_file;
use crate::requirements::{Index, Requirements};

impl Config {
    /// How environments are made.
    #[must_use]
    pub fn options(&self) -> Options {
        let mut options = Options::new();
        options.installer = match self.text(None, "environment.installer") {
            Some("uv") => Installer::Uv,
            Some("pip") => Installer::Pip,
            _ => Installer::Auto,
        };
        options.offline = self.is_true(None, "environment.offline").unwrap_or(false);
        options.python_download = self.text(None, "environment.python-download") != Some("never");
        if let Some(Value::Time(limit)) = self.value(None, "environment.timeout") {
            options.timeout = *limit;
        }
        options.lock_file = self.lock_file();
        let has_lock = options.lock_file.as_deref().is_some_and(Path::exists);
        let locked = self.is_true(None, "environment.locked");
        options.locked = locked.unwrap_or(self.is_ci && has_lock);
        options
    }

    /// What the environment of the default pool, or of another pool, must have. None: it needs none.
    #[must_use]
    pub fn requirements(&self, pool: Option<&str>) -> Option<Requirements> {
        let packages = self.list(pool, "packages");
        if packages.is_empty() || self.text(pool, "install") == Some("never") {
            return None;
        }
        let mut out = Requirements::new(packages);
        if let Some(pool) = pool.or_else(|| self.default_name()) {
            out.pool = pool.to_owned();
        }
        out.python = self.text(pool, "python").map(str::to_owned);
        out.index = self.index(pool);
        Some(out)
    }

    /// Where the packages of the default pool, or of another pool, are from.
    #[must_use]
    pub fn index(&self, pool: Option<&str>) -> Index {
        Index {
            url: self.text(pool, "index.url").map(str::to_owned),
            extra: self.list(pool, "index.extra").to_vec(),
            find_links: self.list(pool, "index.find-links").to_vec(),
            none: self.is_true(pool, "index.none").unwrap_or(false),
        }
    }

    /// The lock file that is named, or the one beside a file with settings.
    fn lock_file(&self) -> Option<PathBuf> {
        if let Some(named) = self.text(None, "environment.lock-file") {
            return Some(named.into());
        }
        let beside = self.files().iter().filter_map(|file| file.parent());
        let found = beside.map(|folder| folder.join(lock_file::NAME)).find(|file| file.is_file());
        // That it must be there is of use only where it is known which file.
        let is_needed = self.is_true(None, "environment.locked") == Some(true);
        let first = || self.files().first().and_then(|file| file.parent());
        found.or_else(|| is_needed.then(first).flatten().map(|folder| folder.join(lock_file::NAME)))
    }

    fn text(&self, pool: Option<&str>, name: &str) -> Option<&str> {
        match self.value(pool, name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn list(&self, pool: Option<&str>, name: &str) -> &[String] {
        match self.value(pool, name) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    fn is_true(&self, pool: Option<&str>, name: &str) -> Option<bool> {
        match self.value(pool, name) {
            Some(Value::Bool(value)) => Some(*value),
            _ => None,
        }
    }
}
