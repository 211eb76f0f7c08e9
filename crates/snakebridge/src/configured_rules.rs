//! What settings say about helpers, guards and confinement.

#[cfg(feature = "confine")]
use std::path::Path;

use snakebridge_env::config::{Config, Value};

use crate::builder::BridgeBuilder;
#[cfg(feature = "confine")]
use crate::confine::Confine;
use crate::error::Result;
#[cfg(not(feature = "confine"))]
use crate::error::{Error, ErrorKind};
use crate::guard::Guard;
use crate::helpers::Helpers;
use crate::pool::Pool;

/// Those of all pools that say nothing else.
pub(crate) fn set_common(mut builder: BridgeBuilder, config: &Config) -> Result<BridgeBuilder> {
    if let Some(helpers) = helpers(config, None) {
        builder = builder.helpers(helpers);
    }
    if let Some(guard) = guard(config, None) {
        builder = builder.guard(guard);
    }
    #[cfg(feature = "confine")]
    if let Some(confine) = confine(config, None) {
        builder = builder.confine(confine);
    }
    #[cfg(not(feature = "confine"))]
    no_confinement(config, None)?;
    Ok(builder)
}

/// Those of one pool.
pub(crate) fn set_rules(mut pool: Pool, config: &Config, name: &str) -> Result<Pool> {
    if let Some(helpers) = helpers(config, Some(name)) {
        pool = pool.helpers(helpers);
    }
    if let Some(guard) = guard(config, Some(name)) {
        pool = pool.guard(guard);
    }
    #[cfg(feature = "confine")]
    if let Some(confine) = confine(config, Some(name)) {
        pool = pool.confine(confine);
    }
    #[cfg(not(feature = "confine"))]
    no_confinement(config, Some(name))?;
    Ok(pool)
}

/// None where nothing is said.
fn helpers(config: &Config, pool: Option<&str>) -> Option<Helpers> {
    let said = said(config, pool, "helpers.");
    let is_said = !said.is_empty();
    let set = |helpers: Helpers, (name, value): (&str, &Value)| match (name, value) {
        ("path", Value::List(paths)) => paths.iter().fold(helpers, Helpers::path),
        ("allow", Value::List(names)) => helpers.allow(names),
        ("reload", Value::Bool(wanted)) => helpers.reload(*wanted),
        ("enabled", Value::Bool(wanted)) => helpers.enabled(*wanted),
        _ => helpers,
    };
    is_said.then(|| said.into_iter().fold(Helpers::new(), set))
}

fn guard(config: &Config, pool: Option<&str>) -> Option<Guard> {
    let said = said(config, pool, "guard.");
    let is_said = !said.is_empty();
    let set = |guard: Guard, (name, value): (&str, &Value)| match (name, value) {
        ("allow", Value::List(names)) => guard.allow(names),
        ("deny", Value::List(names)) => guard.deny(names),
        _ => guard,
    };
    is_said.then(|| said.into_iter().fold(Guard::new(), set))
}

/// None where nothing is said; `Some(None)` where there is to be none.
#[cfg(feature = "confine")]
fn confine(config: &Config, pool: Option<&str>) -> Option<Option<Confine>> {
    let said = said(config, pool, "confine.");
    if said.is_empty() {
        return None;
    }
    if said.contains(&("enabled", &Value::Bool(false))) {
        return Some(None);
    }
    let read = |confine: Confine, path: &String| confine.read(Path::new(path));
    let write = |confine: Confine, path: &String| confine.write(Path::new(path));
    let set = |confine: Confine, (name, value): (&str, &Value)| match (name, value) {
        ("read", Value::List(paths)) => paths.iter().fold(confine, read),
        ("write", Value::List(paths)) => paths.iter().fold(confine, write),
        ("connect", Value::Ports(ports)) => ports.iter().copied().fold(confine, Confine::connect),
        ("listen", Value::Ports(ports)) => ports.iter().copied().fold(confine, Confine::listen),
        ("udp", Value::Bool(allowed)) => confine.udp(*allowed),
        ("unix-sockets", Value::Bool(allowed)) => confine.unix_sockets(*allowed),
        ("network", Value::Bool(allowed)) => confine.network(*allowed),
        ("open-files", Value::Count(count)) => confine.open_files(*count),
        ("processes", Value::Count(count)) => confine.processes(*count),
        ("file-size", Value::Count(bytes)) => confine.file_size(*bytes),
        ("cpu-time", Value::Time(limit)) => confine.cpu_time(*limit),
        ("best-effort", Value::Bool(wanted)) => confine.best_effort(*wanted),
        _ => confine,
    };
    Some(Some(said.into_iter().fold(Confine::new(), set)))
}

/// What was asked for must not be left out without a word.
#[cfg(not(feature = "confine"))]
fn no_confinement(config: &Config, pool: Option<&str>) -> Result<()> {
    let said = said(config, pool, "confine.");
    if said.is_empty() || said.contains(&("enabled", &Value::Bool(false))) {
        return Ok(());
    }
    let message =
        "workers are to be confined, and the program is built without the feature `confine`";
    Err(Error::new(ErrorKind::Config, message)
        .with_hint("build it with that feature, or take `confine` out of the settings"))
}

/// What is said in a table, by the names in it.
fn said<'a>(
    config: &'a Config,
    pool: Option<&'a str>,
    table: &str,
) -> Vec<(&'static str, &'a Value)> {
    let said = config.said(pool);
    said.filter_map(|(key, value, _)| Some((key.name.strip_prefix(table)?, value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::from_text("/project/snakebridge.toml", text).unwrap()
    }

    #[test]
    fn helpers_and_guards() {
        let config = config(
            "[helpers]\npath = ['tools']\nallow = ['a']\nreload = false\n\
             [pool.a]\nhelpers.enabled = false\n\
             [pool.a.guard]\nallow = ['math']\ndeny = ['math.sin']\n",
        );
        let expected = Helpers::new().path("/project/tools").allow(["a"]).reload(false);
        assert_eq!(helpers(&config, None), Some(expected));
        assert_eq!(helpers(&config, Some("a")), Some(Helpers::new().enabled(false)));
        assert_eq!(guard(&config, None), None);
        let expected = Guard::new().allow(["math"]).deny(["math.sin"]);
        assert_eq!(guard(&config, Some("a")), Some(expected));
    }

    #[cfg(feature = "confine")]
    #[test]
    fn confinement() {
        use std::time::Duration;

        let config = config(
            "[confine]\nread = ['data']\nwrite = ['out']\nconnect = [443]\nlisten = [80]\n\
             udp = true\nunix-sockets = true\nnetwork = true\nopen-files = 9\nprocesses = 8\n\
             file-size = '1KiB'\ncpu-time = 7\nbest-effort = true\n\
             [pool.a]\nconfine.enabled = true\n[pool.b]\nconfine.enabled = false\n[pool.c]\n",
        );
        let expected = Confine::new()
            .read("/project/data")
            .write("/project/out")
            .connect(443)
            .listen(80)
            .udp(true)
            .unix_sockets(true)
            .network(true)
            .open_files(9)
            .processes(8)
            .file_size(1024)
            .cpu_time(Duration::from_secs(7))
            .best_effort(true);
        let of = |pool| confine(&config, pool);
        assert_eq!(of(None), Some(Some(expected)));
        assert_eq!(of(Some("a")), Some(Some(Confine::new())));
        assert_eq!(of(Some("b")), Some(None));
        assert_eq!(of(Some("c")), None);
    }
}
