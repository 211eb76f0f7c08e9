//! `snakebridge inspect`.

use std::fmt::Write as _;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Options, print_line};
use crate::color::{FAINT, HEADING};
use crate::python;
use crate::report::Failure;

/// Show what a module, class, function or value is: signature, documentation, members, source.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Inspect {
    /// The module, or a name in it: json, json.dumps, pathlib.Path.cwd
    #[arg(value_name = "MODULE[.NAME]")]
    name: String,
    /// Show the source as well
    #[arg(long)]
    source: bool,
    /// List private members as well: those that begin with `_`
    #[arg(long)]
    all: bool,
}

const EXAMPLES: &str = "\
Examples:
  snakebridge inspect json
  snakebridge inspect json.dumps --source
  snakebridge inspect pathlib.Path --json";

/// What Python says of an object.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    name: String,
    kind: String,
    r#type: String,
    signature: Option<String>,
    value: Option<String>,
    doc: Option<String>,
    module: Option<String>,
    version: Option<String>,
    bases: Vec<String>,
    file: Option<String>,
    line: Option<u32>,
    source: Option<String>,
    members: Vec<Member>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Member {
    name: String,
    kind: String,
    signature: Option<String>,
    summary: Option<String>,
}

/// The kinds of members, in the order in which they are listed, with their headings.
const KINDS: &[(&str, &str)] = &[
    ("module", "Modules"),
    ("class", "Classes"),
    ("exception", "Exceptions"),
    ("function", "Functions"),
    ("method", "Methods of the class"),
    ("property", "Properties"),
    ("value", "Values"),
];

/// How far the text about a member is set apart from its name, at most.
const WIDEST_NAME: usize = 32;

impl Inspect {
    pub(super) fn run(&self, options: &Options) -> Result<(), Failure> {
        let py = options.bridge()?;
        let found = python::load(&py).and_then(|()| {
            let args = (&self.name, self.all);
            py.call::<Description>(python::INSPECTION, "describe_path", args).wait()
        });
        py.shutdown();
        let mut found = found?;
        if options.json {
            return print_line(&json!(found).to_string());
        }
        if !self.source {
            found.source = None;
        }
        super::print_styled(&found.to_text())
    }
}

impl Description {
    /// As people read it.
    pub(crate) fn to_text(&self) -> String {
        let mut out = String::new();
        let signature = self.signature.as_deref().unwrap_or_default();
        let version = self.version.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
        let _ =
            writeln!(out, "{} {HEADING}{}{HEADING:#}{signature}{version}", self.kind, self.name);
        if let Some(value) = &self.value {
            let _ = writeln!(out, "  value:  {value}");
        }
        if matches!(&*self.kind, "value" | "property") {
            let _ = writeln!(out, "  type:   {}", self.r#type);
        }
        if !self.bases.is_empty() {
            let _ = writeln!(out, "  bases:  {}", self.bases.join(", "));
        }
        if let Some(file) = &self.file {
            let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
            let _ = writeln!(out, "  file:   {file}{line}");
        }
        if let Some(doc) = &self.doc {
            out.push('\n');
            indent(&mut out, doc);
        }
        for (kind, heading) in KINDS {
            self.list(&mut out, kind, heading);
        }
        if let Some(source) = &self.source {
            let _ = writeln!(out, "\n{HEADING}Source{HEADING:#}");
            indent(&mut out, source.trim_end());
        }
        out
    }

    fn list(&self, out: &mut String, kind: &str, heading: &str) {
        let members: Vec<&Member> = self.members.iter().filter(|it| it.kind == kind).collect();
        if members.is_empty() {
            return;
        }
        let _ = writeln!(out, "\n{HEADING}{heading}{HEADING:#}");
        let names: Vec<String> = members.iter().map(|member| member.title()).collect();
        let widths = names.iter().map(|name| name.chars().count());
        let width = widths.filter(|width| *width <= WIDEST_NAME).max().unwrap_or(0);
        for (member, name) in members.iter().zip(&names) {
            match &member.summary {
                Some(summary) => {
                    let sign = if kind == "value" { "= " } else { "" };
                    let _ = writeln!(out, "  {name:width$}  {FAINT}{sign}{summary}{FAINT:#}");
                }
                None => {
                    let _ = writeln!(out, "  {name}");
                }
            }
        }
    }
}

impl Member {
    fn title(&self) -> String {
        match (&*self.kind, &self.signature) {
            ("class" | "exception" | "property" | "module", _) | (_, None) => self.name.clone(),
            (_, Some(signature)) => format!("{}{signature}", self.name),
        }
    }
}

fn indent(out: &mut String, text: &str) {
    for line in text.lines() {
        let _ = writeln!(out, "{}", format!("    {line}").trim_end());
    }
}

/// What Python shows for a name at the prompt.
pub(crate) fn of_typed(py: &snakebridge::Bridge, name: &str) -> snakebridge::Result<String> {
    let found: Description = py.call(python::INSPECTION, "describe_typed", (name,)).wait()?;
    Ok(Description { source: None, ..found }.to_text())
}
