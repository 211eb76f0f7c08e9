//! `snakebridge helper`.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value as Json, json};
use snakebridge::HelperIndex;

use super::call::Arguments;
use super::{Options, print_line, print_styled, say};
use crate::color::{FAINT, HEADING, HINT, WARNING};
use crate::report::Failure;

/// Call a helper: a function of the project's own Python files, python/helpers/*.py. Without a name: list them.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Helper {
    /// The helper: FILE.FUNCTION
    name: Option<String>,
    #[command(flatten)]
    arguments: Arguments,
}

const EXAMPLES: &str = "\
Examples:
  snakebridge helper
  snakebridge helper prices.total '[10, 20]' --kw tax=20";

impl Helper {
    pub(super) fn run(&self, options: &Options) -> Result<(), Failure> {
        let Some(name) = &self.name else { return list(options) };
        self.arguments.check()?;
        options.print_result(|py| Ok(py.helper(name, self.arguments.values(py)?)))
    }
}

fn list(options: &Options) -> Result<(), Failure> {
    let py = options.bridge()?;
    let index = py.helpers().wait();
    py.shutdown();
    let index = index?;
    if options.json {
        return print_line(&to_json(&index).to_string());
    }
    let mut out = String::new();
    for helper in &index.helpers {
        let doc = helper.doc.lines().next().unwrap_or_default();
        let _ = writeln!(out, "{HEADING}{helper}{HEADING:#}  {FAINT}{doc}{FAINT:#}");
    }
    print_styled(&out)?;
    for broken in &index.broken {
        say(&format!(
            "{WARNING}warning:{WARNING:#} `{}` cannot be loaded: {}",
            broken.file, broken.error
        ));
    }
    if index == HelperIndex::default() {
        say("there are no helpers");
        say(&format!("\n{HINT}hint:{HINT:#} write functions into python/helpers/NAME.py"));
    }
    Ok(())
}

fn to_json(index: &HelperIndex) -> Json {
    let helpers = index.helpers.iter().map(|helper| {
        json!({
            "name": helper.name,
            "signature": helper.to_string(),
            "doc": helper.doc,
            "is_async": helper.is_async,
        })
    });
    let broken = index.broken.iter().map(|it| json!({"file": it.file, "error": it.error}));
    json!({"helpers": helpers.collect::<Vec<_>>(), "broken": broken.collect::<Vec<_>>()})
}
