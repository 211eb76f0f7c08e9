//! `snakebridge repl`.

mod editor;
mod printer;
mod session;

use std::io::IsTerminal as _;
use std::sync::Arc;

use clap::Args;

use self::editor::{Editor, Typed};
use self::session::Session;
use super::{Options, print_styled, say};
use crate::color::FAINT;
use crate::report::{self, Failure};

/// Type Python at a prompt: with history, completion and help.
///
/// Statements run in one worker, and values are shown as Python shows them. `?name` (or `name?`) shows what
/// something is, Tab completes names, attributes and modules, Ctrl-C interrupts what runs, Ctrl-D ends.
/// Where standard input is no terminal, what comes from there is run without prompts.
#[derive(Debug, Args)]
pub(crate) struct Repl {
    /// Import a module first; can be given several times
    #[arg(short, long = "import", value_name = "MODULE")]
    imports: Vec<String>,
}

impl Repl {
    pub(super) fn run(&self, options: &Options) -> Result<(), Failure> {
        let session = Arc::new(Session::open(options)?);
        if std::io::stdin().is_terminal() {
            welcome(&session)?;
        }
        for module in &self.imports {
            session.run(&format!("import {module}"));
        }
        let mut editor = Editor::new(&session)?;
        let code = loop {
            let source = match editor.read()? {
                Typed::Source(source) => source,
                Typed::Interrupted => continue,
                Typed::End => break 0,
            };
            if let Some(name) = asked_about(&source) {
                help(&session, name);
            } else if matches!(source.trim(), "exit" | "quit") {
                break 0;
            } else if let Some(code) = session.run(&source) {
                break code;
            }
        };
        session.close();
        if code == 0 { Ok(()) } else { Err(Failure::Exit(code)) }
    }
}

fn welcome(session: &Session) -> Result<(), Failure> {
    let python = session.python()?;
    say(&format!(
        "Python {} ({}) in snakebridge {}\n\
         {FAINT}?name shows help, Tab completes, Ctrl-C interrupts, Ctrl-D ends{FAINT:#}",
        python.version,
        python.origin,
        env!("CARGO_PKG_VERSION")
    ));
    Ok(())
}

fn help(session: &Session, name: &str) {
    match session.describe(name) {
        // A standard output that is closed is seen at the next prompt.
        Ok(text) => drop(print_styled(&text)),
        Err(error) => drop(report::report(&Failure::Call(error))),
    }
}

/// The name in `?name` or `name?`.
fn asked_about(source: &str) -> Option<&str> {
    let source = source.trim();
    let name = source.strip_prefix('?').or_else(|| source.strip_suffix('?'))?.trim();
    let is_name = |part: &str| {
        part.starts_with(|first: char| first.is_alphabetic() || first == '_')
            && part.chars().all(|each| each.is_alphanumeric() || each == '_')
    };
    name.split('.').all(is_name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions() {
        assert_eq!(asked_about("?json.dumps"), Some("json.dumps"));
        assert_eq!(asked_about(" json.dumps? \n"), Some("json.dumps"));
        for other in ["json", "?", "'what?'", "f(x)?", "?1"] {
            assert_eq!(asked_about(other), None, "{other}");
        }
    }
}
