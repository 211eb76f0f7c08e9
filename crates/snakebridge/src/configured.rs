//! Bridges with the settings of files and environment variables.

use std::time::Duration;

use snakebridge_env::config::{Config, ConfigError, Origin, Scope, Value};

use crate::bridge::Bridge;
use crate::builder::BridgeBuilder;
use crate::configured_rules::{set_common, set_rules};
use crate::engine::output::Output;
use crate::env::Install;
use crate::error::{Error, ErrorKind, Result};
use crate::options::{Affinity, Spin};
use crate::pool::Pool;

impl Bridge {
    /// A builder that has the settings of `snakebridge.toml`, `Cargo.toml` and environment variables,
    /// as the page on configuration in the guide describes them. What it is told after that counts
    /// more. With the feature `env`.
    ///
    /// ```
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::configured()?.env("PYTHONHASHSEED", "0").build()?;
    /// let root: f64 = py.call("math", "sqrt", (16,)).wait()?;
    /// assert_eq!(root, 4.0);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    ///
    /// # Errors
    /// A file or a variable says something that cannot be used.
    pub fn configured() -> Result<BridgeBuilder> {
        Self::builder().config(&Config::load()?)
    }
}

impl BridgeBuilder {
    /// Takes over settings that were read: those of a text in the program, for example, so that a
    /// program needs no file beside it.
    ///
    /// ```
    /// use snakebridge::Bridge;
    /// use snakebridge::env::config::Config;
    ///
    /// let text = "workers = 2\n[env]\nPYTHONHASHSEED = '0'\n"; // or `include_str!(..)`
    /// let config = Config::from_text("snakebridge.toml", text)?;
    /// let py = Bridge::builder().config(&config)?.build()?;
    /// assert_eq!(py.status()?.pools[0].workers.len(), 2);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    ///
    /// # Errors
    /// Two of them do not go together.
    pub fn config(mut self, config: &Config) -> Result<Self> {
        for (key, value, origin) in config.said(None) {
            match key.scope {
                Scope::Whole => self = set_bridge(self, key.name, value, origin)?,
                _ => self.default = set_pool(self.default, key.name, value, origin)?,
            }
        }
        self.default = set_groups(self.default, config, None);
        self.default.declared.lock_name = config.default_name().map(str::to_owned);
        self = set_common(self, config)?;
        self.environments = config.options().progress(self.environments.progress);
        for name in config.pools() {
            let mut pool = Pool::new();
            for (key, value, origin) in config.said(Some(name)) {
                pool = set_pool(pool, key.name, value, origin)?;
            }
            self = self.pool(name, set_rules(set_groups(pool, config, Some(name)), config, name)?);
        }
        Ok(self)
    }
}

/// What is set by one method, whichever of several settings are said.
fn set_groups(pool: Pool, config: &Config, name: Option<&str>) -> Pool {
    let pool = pool.index(config.index(name));
    let number = |key| match config.value(name, key) {
        Some(Value::Count(number)) => Some(size(*number)),
        _ => None,
    };
    match (number("min-workers"), number("workers")) {
        (None, None) => pool,
        // The two may be from different places: that there are no more than so many counts.
        (Some(min), Some(max)) => pool.workers_between(min.min(max), max),
        (Some(min), None) => pool.workers_between(min, min.max(1)),
        (None, Some(max)) => pool.workers(max),
    }
}

/// Tables whose settings make one value.
const GROUPS: [&str; 4] = ["index", "helpers", "guard", "confine"];

fn is_in(name: &str, group: &str) -> bool {
    name.strip_prefix(group).is_some_and(|rest| rest.starts_with('.'))
}

fn set_pool(pool: Pool, name: &str, value: &Value, origin: &Origin) -> Result<Pool> {
    use Value::{Bool, Count, List, Map, Text, Time};
    Ok(match (name, value) {
        ("python", Text(python)) => pool.python(python),
        ("packages", List(packages)) => pool.packages(packages),
        ("install", Text(word)) if word == "never" => pool.install(Install::Never),
        ("install", _) => pool.install(Install::Auto),
        // They count as a whole.
        (name, _) if GROUPS.iter().any(|group| is_in(name, group)) => pool,
        ("workers" | "min-workers", _) => pool,
        ("module-path", List(folders)) => folders.iter().fold(pool, Pool::module_path),
        ("current-dir", Text(folder)) => pool.current_dir(folder),
        ("env", Map(entries)) => {
            entries.iter().fold(pool, |pool, (name, value)| pool.env(name, value))
        }
        ("env-remove", List(names)) => names.iter().fold(pool, Pool::env_remove),
        ("preload", List(modules)) => modules.iter().fold(pool, Pool::preload),
        ("fork-server", Bool(wanted)) => pool.fork_server(*wanted),
        ("threads", Count(count)) => pool.threads(size(*count)),
        ("asyncio", Count(calls)) => pool.asyncio(size(*calls)),
        ("spin", Text(text)) => match Spin::parse(text) {
            Some(spin) => pool.spin(spin),
            None => {
                let message =
                    format!("{origin}: `{name}` is `{text}`, expected {}", Spin::EXPECTED);
                return Err(Error::new(ErrorKind::Config, message));
            }
        },
        ("affinity", Text(word)) => pool.affinity(match word.as_str() {
            "strict-queue" => Affinity::StrictQueue,
            "strict-fail-fast" => Affinity::StrictFailFast,
            _ => Affinity::Hint,
        }),
        ("memory-limit", Count(bytes)) => pool.memory_limit(*bytes),
        ("start-timeout", Time(limit)) => pool.start_timeout(*limit),
        ("queue-limit", Count(calls)) => pool.queue_limit(size(*calls)),
        ("queue-timeout", Time(limit)) => pool.queue_timeout(*limit),
        ("idle-limit", Time(limit)) => pool.idle_limit(*limit),
        ("grace", Time(limit)) => pool.grace(*limit),
        ("recycle-after-calls", Count(calls)) => pool.recycle_after_calls(*calls),
        ("recycle-after", Time(limit)) => pool.recycle_after(*limit),
        ("recycle-above", Count(bytes)) => pool.recycle_above(*bytes),
        ("drain-limit", Time(limit)) => pool.drain_limit(*limit),
        _ => return Err(not_set(name, value, origin)),
    })
}

fn set_bridge(
    builder: BridgeBuilder,
    name: &str,
    value: &Value,
    origin: &Origin,
) -> Result<BridgeBuilder> {
    use Value::{Count, Map, Text, Time, Times};
    Ok(match (name, value) {
        ("timeout", Time(limit)) => builder.profile("default", limited(*limit)),
        ("profile", Times(limits)) => limits
            .iter()
            .fold(builder, |builder, (name, limit)| builder.profile(name, limited(*limit))),
        ("library-profile", Map(entries)) => entries
            .iter()
            .fold(builder, |builder, (library, name)| builder.library_profile(library, name)),
        ("session-ttl", Time(limit)) => builder.session_ttl(*limit),
        ("session-max-refs", Count(count)) => builder.session_max_refs(size(*count)),
        ("output", Text(word)) => builder.output(match word.as_str() {
            "discard" => Output::Discard,
            _ => Output::Forward,
        }),
        (name, _) if is_in(name, "environment") => builder,
        _ => return Err(not_set(name, value, origin)),
    })
}

fn limited(time: Duration) -> Option<Duration> {
    (time != Duration::MAX).then_some(time)
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The tests see to it that there is a method for each setting.
fn not_set(name: &str, value: &Value, origin: &Origin) -> Error {
    let message = format!("{origin}: `{name}` cannot be set to {value} here");
    Error::new(ErrorKind::Config, message)
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        let out = Self::new(ErrorKind::Config, error.to_string());
        match error.hint() {
            Some(hint) => out.with_hint(hint),
            None => out,
        }
    }
}

#[cfg(test)]
mod tests {
    use snakebridge_env::config::{KEYS, Kind};

    use super::*;

    #[test]
    fn each_setting_has_a_method() {
        for key in KEYS {
            let value = match key.kind {
                Kind::Bool => "true",
                Kind::Choice(words) => &format!("'{}'", words[0]),
                Kind::Map | Kind::Times => "{ a = '1' }",
                Kind::List | Kind::Paths => "['a']",
                Kind::Ports => "[1]",
                Kind::Bytes | Kind::Count | Kind::Time => "1",
                Kind::Text if key.name == "spin" => "'off'",
                _ => "'a'",
            };
            let config = Config::from_text("a.toml", &format!("{} = {value}", key.name)).unwrap();
            let done = Bridge::builder().config(&config);
            let needs_feature = key.name.starts_with("confine.") && !cfg!(feature = "confine");
            assert_eq!(done.is_err(), needs_feature, "{}: {:?}", key.name, done.err());
        }
    }

    #[test]
    fn spin_is_checked_where_it_is_set() {
        let done = |text| {
            let config = Config::from_text("a.toml", text).unwrap();
            Bridge::builder().config(&config).map(|builder| format!("{:?}", builder.default))
        };
        for (text, expected) in [
            ("spin = 'off'", "spin: Some(Off)"),
            ("spin = 'auto'", "spin: Some(Auto)"),
            ("spin = '200'", "spin: Some(For(200µs))"),
        ] {
            let shown = done(text).unwrap();
            assert!(shown.contains(expected), "{text}: {shown}");
        }
        let expected =
            "a.toml:1: `spin` is `fast`, expected `off`, `auto`, or a number of microseconds";
        assert_eq!(done("spin = 'fast'").unwrap_err().to_string(), expected);
    }

    #[test]
    fn numbers_of_workers() {
        for (text, expected) in [
            ("workers = 3", "min: 3, max: 3"),
            ("min-workers = 0", "min: 0, max: 1"),
            ("min-workers = 2", "min: 2, max: 2"),
            ("min-workers = 0\nworkers = 4", "min: 0, max: 4"),
            ("min-workers = 4\nworkers = 1", "min: 1, max: 1"),
        ] {
            let config = Config::from_text("a.toml", text).unwrap();
            let builder = Bridge::builder().config(&config).unwrap();
            let shown = format!("{:?}", builder.default);
            assert!(shown.contains(expected), "{text}: {shown}");
        }
    }
}
