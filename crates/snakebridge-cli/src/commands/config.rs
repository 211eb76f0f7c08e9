//! `snakebridge config`.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value as Json, json};
use snakebridge::env::config::{Config as Settings, Origin, Setting, Value, redacted};

use super::{Options, print_line, print_styled, say};
use crate::color::{FAINT, HEADING, WARNING};
use crate::report::Failure;

/// Show the settings that count in the current folder, each with its value and where that comes from.
///
/// Settings are said in `snakebridge.toml`, in `[package.metadata.snakebridge]` of `Cargo.toml`, and in environment
/// variables; the page on configuration in the guide lists them all.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Config {
    /// Print only the value of this setting: timeout, index.url, pool.gpu.workers
    name: Option<String>,
    /// Leave out what nobody has said anything of
    #[arg(long)]
    said: bool,
}

const EXAMPLES: &str = "\
Examples:
  snakebridge config
  snakebridge config packages --json
  SNAKEBRIDGE_TIMEOUT=5m snakebridge config --said";

impl Config {
    pub(super) fn run(&self, options: &Options) -> Result<(), Failure> {
        let settings = Settings::load().map_err(snakebridge::Error::from)?;
        complain(&settings);
        let settings = match &options.pool {
            Some(_) => options.of_pool(&settings)?,
            None => settings,
        };
        let mut found = settings.settings();
        if let Some(name) = &self.name {
            let Some(setting) = found.iter().find(|setting| full_name(setting) == *name) else {
                let message = format!("there is no setting `{name}`: see `snakebridge config`");
                return Err(Failure::Usage(message));
            };
            return print_line(&match options.json {
                true => setting.value.as_ref().map_or(Json::Null, to_json).to_string(),
                false => shown(setting),
            });
        }
        found.retain(|setting| !self.said || setting.origin != Origin::Default);
        if options.json {
            let files: Vec<_> =
                settings.files().iter().map(|file| file.to_string_lossy()).collect();
            let found: Vec<Json> = found.iter().map(described).collect();
            return print_line(&json!({"files": files, "settings": found}).to_string());
        }
        print_styled(&to_text(&found))
    }
}

/// Names variables that are misspelt.
pub(super) fn complain(settings: &Settings) {
    for (name, meant) in settings.unknown_variables() {
        let meant = meant.map(|meant| format!("; is `{meant}` meant?")).unwrap_or_default();
        say(&format!("{WARNING}warning:{WARNING:#} {name} is the variable of no setting{meant}"));
    }
}

fn full_name(setting: &Setting) -> String {
    match &setting.pool {
        Some(pool) => format!("pool.{pool}.{}", setting.key.name),
        None => setting.key.name.to_owned(),
    }
}

fn to_text(settings: &[Setting]) -> String {
    let rows: Vec<[String; 3]> = settings
        .iter()
        .map(|setting| [full_name(setting), redacted(&shown(setting)), setting.origin.to_string()])
        .collect();
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.filter(|width| *width <= WIDEST).max().unwrap_or(0)
    };
    let (names, values) = (width(0), width(1));
    let mut out = String::new();
    for ([name, value, origin], setting) in rows.iter().zip(settings) {
        let style = if setting.origin == Origin::Default { FAINT } else { HEADING };
        let _ = writeln!(
            out,
            "{style}{name:names$}{style:#}  {value:values$}  {FAINT}{origin}{FAINT:#}"
        );
    }
    out
}

/// Values that are wider do not push all others aside.
const WIDEST: usize = 40;

/// A value as it is written in a file; the words of the reference for a default.
fn shown(setting: &Setting) -> String {
    setting.value.as_ref().map_or_else(|| setting.key.default.to_owned(), ToString::to_string)
}

fn described(setting: &Setting) -> Json {
    let origin = match &setting.origin {
        Origin::File { path, line } => json!({"file": path.to_string_lossy(), "line": line}),
        Origin::Variable(name) => json!({"variable": name}),
        Origin::Default => json!("default"),
        // A place that is newer than this command.
        other => json!(other.to_string()),
    };
    json!({
        "name": setting.key.name,
        "pool": setting.pool,
        "value": setting.value.as_ref().map(to_json),
        "default": setting.key.default,
        "origin": origin,
    })
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => json!(value),
        Value::Count(number) => json!(number),
        Value::List(items) => json!(items),
        Value::Map(entries) => {
            entries.iter().map(|(name, text)| (name.clone(), json!(text))).collect()
        }
        Value::Text(text) => json!(text),
        Value::Times(entries) => entries
            .iter()
            .map(|(name, time)| (name.clone(), to_json(&Value::Time(*time))))
            .collect(),
        // As a file has it, which for times is text.
        other => serde_json::from_str(&other.to_string()).unwrap_or(Json::Null),
    }
}
