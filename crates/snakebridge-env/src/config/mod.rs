//! What a program declares: in files, in environment variables, and where each value comes from.
//!
//! From the strongest to the weakest: what the program itself says, environment variables,
//! `snakebridge.toml`, `[package.metadata.snakebridge]` in `Cargo.toml`, the default. A value that
//! is said twice counts as a whole, lists and tables too.

mod declared;
mod error;
mod file;
pub mod keys;
pub mod reference;
mod value;

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use crate::secrets::redacted;
pub use error::ConfigError;
use file::Form;
pub use keys::{KEYS, Key, Kind, Scope};
pub use value::Value;

use crate::similar::similar;
use keys::VARIABLE_PREFIX;

/// The file with settings.
pub const FILE: &str = "snakebridge.toml";
/// Environment variable that names another file. Empty: there is none.
pub const FILE_VARIABLE: &str = "SNAKEBRIDGE_CONFIG";

/// Settings of a program, as far as they are said anywhere.
#[derive(Clone, Debug, Default)]
pub struct Config {
    entries: Vec<Entry>,
    /// The files that they are from, the stronger one first.
    files: Vec<PathBuf>,
    unknown: Vec<(String, Option<&'static str>)>,
    /// The name of the pool whose settings are those of the default pool, if that is another one.
    default_name: Option<String>,
    /// Whether this is a machine that builds and tests.
    is_ci: bool,
}

/// Something that is said somewhere.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pool: Option<String>,
    /// None: that there is such a pool.
    set: Option<(&'static Key, Value)>,
    origin: Origin,
}

/// A setting, with its value and where that comes from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setting {
    /// Its pool, unless it is one of the bridge or of its default pool.
    pub pool: Option<String>,
    /// Which setting.
    pub key: &'static Key,
    /// Its value; none where the default counts.
    pub value: Option<Value>,
    /// Where that comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody has said anything.
    Default,
    /// A line of a file, the first one being 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// The environment variable of this name.
    Variable(String),
}

/// Where settings are looked for, so that tests can show another world.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Sources {
    /// The current folder.
    pub current: PathBuf,
    /// The environment variables that matter.
    pub variables: Vec<(String, OsString)>,
}

impl Sources {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let matters =
            |name: &str| name.starts_with(VARIABLE_PREFIX) || [MANIFEST_FOLDER, CI].contains(&name);
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| matters(name))
            .collect();
        Self { current: std::env::current_dir().unwrap_or_default(), variables }
    }

    /// Others.
    #[must_use]
    pub fn new(current: impl Into<PathBuf>, variables: &[(&str, &str)]) -> Self {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();
        Self { current: current.into(), variables }
    }

    fn variable(&self, name: &str) -> Option<&OsString> {
        self.variables.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// What cargo says about the package that it runs.
const MANIFEST_FOLDER: &str = "CARGO_MANIFEST_DIR";

/// What machines that build and test say about themselves.
const CI: &str = "CI";

impl Config {
    /// Reads the settings of this process: the nearest `snakebridge.toml` and the nearest
    /// `Cargo.toml`, in the current folder or above, or else in the folder of the package that cargo
    /// runs or above; and environment variables.
    ///
    /// # Errors
    /// One of them says something that cannot be used.
    pub fn load() -> Result<Self, ConfigError> {
        Self::load_from(&Sources::of_process())
    }

    /// Reads the settings from these sources.
    ///
    /// # Errors
    /// One of them says something that cannot be used.
    pub fn load_from(sources: &Sources) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let ci = sources.variable(CI).and_then(|value| value.to_str()).unwrap_or_default();
        config.is_ci = !["", "0", "false"].contains(&ci);
        config.read_variables(sources)?;
        if let Some(path) = own_file(sources) {
            let read = read(&path, Form::Own)?;
            config.add(read.unwrap_or_default(), path);
        }
        if let Some(path) = nearest(sources, "Cargo.toml")
            && let Some(entries) = read(&path, Form::Manifest)?
        {
            config.add(entries, path);
        }
        Ok(config)
    }

    /// Reads the settings from the text of a `snakebridge.toml` and nothing else. Relative paths
    /// are relative to the folder of `path`, which need not exist.
    ///
    /// # Errors
    /// It says something that cannot be used.
    pub fn from_text(path: impl Into<PathBuf>, text: &str) -> Result<Self, ConfigError> {
        let (mut config, path) = (Self::default(), path.into());
        let entries = file::read(&path, text, Form::Own)?;
        config.add(entries.unwrap_or_default(), path);
        Ok(config)
    }

    /// All settings of the bridge and of its pools, in the order of the reference, those too of
    /// which nothing is said.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let default = KEYS.iter().map(|key| self.setting(None, key));
        let of_pools = self.pools().into_iter().flat_map(|pool| {
            let keys = KEYS.iter().filter(|key| key.scope == Scope::EachPool);
            keys.map(move |key| self.setting(Some(pool), key))
        });
        default.chain(of_pools).collect()
    }

    /// What is said of the bridge and its default pool, or of another pool, and where.
    pub fn said(
        &self,
        pool: Option<&str>,
    ) -> impl Iterator<Item = (&'static Key, &Value, &Origin)> {
        let entries = self.entries.iter().filter(move |entry| entry.pool.as_deref() == pool);
        entries
            .filter_map(|entry| entry.set.as_ref().map(|(key, value)| (*key, value, &entry.origin)))
    }

    /// The value of a setting of the bridge and its default pool, or of another pool.
    #[must_use]
    pub fn value(&self, pool: Option<&str>, name: &str) -> Option<&Value> {
        self.said(pool).find(|(key, ..)| key.name == name).map(|(_, value, _)| value)
    }

    /// The names of the pools beside the default one, in their order.
    #[must_use]
    pub fn pools(&self) -> Vec<&str> {
        let mut out: Vec<&str> = Vec::new();
        for name in self.entries.iter().filter_map(|entry| entry.pool.as_deref()) {
            if !out.contains(&name) {
                out.push(name);
            }
        }
        out.sort_unstable();
        out
    }

    /// The settings of the bridge, and of one pool, as those of its default pool. None: no such pool
    /// is declared.
    #[must_use]
    pub fn of_pool(&self, name: Option<&str>) -> Option<Self> {
        let of_bridge = |entry: &&Entry| match &entry.set {
            Some((key, _)) => entry.pool.is_none() && key.scope == Scope::Whole,
            None => false,
        };
        let mut found: Vec<Entry> =
            self.entries.iter().filter(|entry| entry.pool.as_deref() == name).cloned().collect();
        if name.is_some() {
            if found.is_empty() {
                return None;
            }
            found.iter_mut().for_each(|entry| entry.pool = None);
            found.retain(|entry| entry.set.is_some());
            found.extend(self.entries.iter().filter(of_bridge).cloned());
            for table in OF_ALL_POOLS {
                if !found.iter().any(|entry| entry.is_in(table)) {
                    let of_all = |entry: &&Entry| entry.pool.is_none() && entry.is_in(table);
                    found.extend(self.entries.iter().filter(of_all).cloned());
                }
            }
        }
        let default_name = name.or_else(|| self.default_name()).map(str::to_owned);
        Some(Self { entries: found, default_name, ..self.clone() })
    }

    /// The name of the pool whose settings are those of the default pool here, if it is another one:
    /// lock files have its versions under that name.
    #[must_use]
    pub fn default_name(&self) -> Option<&str> {
        self.default_name.as_deref()
    }

    /// The files that settings are from, the stronger one first.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Environment variables that are named like those of settings, but are none, each with the one
    /// that may be meant.
    #[must_use]
    pub fn unknown_variables(&self) -> &[(String, Option<&'static str>)] {
        &self.unknown
    }

    fn setting(&self, pool: Option<&str>, key: &'static Key) -> Setting {
        let found = self.said(pool).find(|(other, ..)| other.name == key.name);
        let (value, origin) = match found {
            Some((_, value, origin)) => (Some(value.clone()), origin.clone()),
            None => (None, Origin::Default),
        };
        Setting { pool: pool.map(str::to_owned), key, value, origin }
    }

    /// Adds what is weaker than all that is there.
    fn add(&mut self, entries: Vec<Entry>, path: PathBuf) {
        for entry in entries {
            if !self.entries.iter().any(|other| other.is_about_same(&entry)) {
                self.entries.push(entry);
            }
        }
        self.files.push(path);
    }

    fn read_variables(&mut self, sources: &Sources) -> Result<(), ConfigError> {
        let names: Vec<(&Key, String)> =
            KEYS.iter().filter_map(|key| Some((key, key.variable()?))).collect();
        for (key, name) in &names {
            let Some(value) = sources.variable(name).filter(|value| !value.is_empty()) else {
                continue;
            };
            let origin = Origin::Variable(name.clone());
            let read = match value.to_str() {
                Some(text) => Value::read_variable(key.kind, text, &sources.current),
                None => Err("is not UTF-8".to_owned()),
            };
            let value = read.map_err(|wrong| ConfigError::new(origin.clone(), wrong))?;
            self.entries.push(Entry::set(key, value, None, origin));
        }
        let known = |name: &str| {
            OTHER_VARIABLES.contains(&name) || names.iter().any(|(_, known)| known == name)
        };
        for (name, _) in &sources.variables {
            if name.starts_with(VARIABLE_PREFIX) && !known(name) {
                let meant = similar(name, names.iter().map(|(_, known)| known.as_str()));
                let meant = names.iter().find(|(_, known)| Some(known.as_str()) == meant);
                self.unknown.push((name.clone(), meant.map(|(key, _)| key.name)));
            }
        }
        Ok(())
    }
}

/// What the names of settings begin with that count for all pools which have none of their own.
const OF_ALL_POOLS: [&str; 3] = ["helpers.", "guard.", "confine."];

/// Variables that are no settings.
const OTHER_VARIABLES: [&str; 4] = [
    FILE_VARIABLE,
    snakebridge_worker::cache::CACHE_DIR,
    crate::installer::UV_VARIABLE,
    // Of the bridge itself: whether other programs can look at it.
    "SNAKEBRIDGE_MONITOR",
];

impl Entry {
    fn set(key: &'static Key, value: Value, pool: Option<&str>, origin: Origin) -> Self {
        Self { pool: pool.map(str::to_owned), set: Some((key, value)), origin }
    }

    fn pool(name: &str, origin: Origin) -> Self {
        Self { pool: Some(name.to_owned()), set: None, origin }
    }

    fn is_in(&self, table: &str) -> bool {
        self.set.as_ref().is_some_and(|(key, _)| key.name.starts_with(table))
    }

    fn is_about_same(&self, other: &Self) -> bool {
        let name = |entry: &Self| entry.set.as_ref().map(|(key, _)| key.name);
        self.pool == other.pool && name(self) == name(other)
    }
}

/// The file with settings that counts.
fn own_file(sources: &Sources) -> Option<PathBuf> {
    match sources.variable(FILE_VARIABLE) {
        Some(named) if named.is_empty() => None,
        Some(named) => Some(sources.current.join(named)),
        None => nearest(sources, FILE),
    }
}

/// The nearest file of this name, seen from the current folder, else from the package that runs.
fn nearest(sources: &Sources, name: &str) -> Option<PathBuf> {
    let in_or_above = |folder: &Path| {
        folder.ancestors().map(|folder| folder.join(name)).find(|file| file.is_file())
    };
    let package = sources.variable(MANIFEST_FOLDER).map(Path::new);
    in_or_above(&sources.current).or_else(|| package.and_then(in_or_above))
}

fn read(path: &Path, form: Form) -> Result<Option<Vec<Entry>>, ConfigError> {
    match fs::read_to_string(path) {
        Ok(text) => file::read(path, &text, form),
        Err(error) => {
            let message = match error.kind() {
                io::ErrorKind::InvalidData => "is not UTF-8".to_owned(),
                io::ErrorKind::NotFound => "does not exist".to_owned(),
                _ => error.to_string(),
            };
            let origin = Origin::File { path: path.to_owned(), line: 1 };
            Err(ConfigError::new(origin, message))
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests;
