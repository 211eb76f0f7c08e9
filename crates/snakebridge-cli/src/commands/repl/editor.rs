//! The prompt: lines, their history, and what they could become.

use std::path::PathBuf;
use std::sync::Arc;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Helper};

use super::session::Session;
use crate::report::Failure;

const FIRST: &str = ">>> ";
const MORE: &str = "... ";

/// What somebody has typed.
pub(super) enum Typed {
    /// As many lines as belong together.
    Source(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D.
    End,
}

pub(super) struct Editor {
    lines: rustyline::Editor<Python, FileHistory>,
    session: Arc<Session>,
    history: Option<PathBuf>,
}

impl Editor {
    pub(super) fn new(session: &Arc<Session>) -> Result<Self, Failure> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .tab_stop(4)
            .max_history_size(MOST_HISTORY)
            .map_err(cannot_edit)?
            .build();
        let mut lines = rustyline::Editor::with_config(config).map_err(cannot_edit)?;
        lines.set_helper(Some(Python { session: Arc::clone(session) }));
        let history = history_file();
        if let Some(file) = &history {
            // There is none at the first time, and one that cannot be read is no reason not to start.
            let _ = lines.load_history(file);
        }
        Ok(Self { lines, session: Arc::clone(session), history })
    }

    /// Reads until what was typed is whole.
    pub(super) fn read(&mut self) -> Result<Typed, Failure> {
        let mut source = match self.lines.readline(FIRST) {
            Ok(line) if line.trim().is_empty() => return Ok(Typed::Source(String::new())),
            Ok(line) => line,
            Err(error) => return ended(error),
        };
        while self.session.is_incomplete(&source) {
            match self.lines.readline_with_initial(MORE, (&indent_after(&source), "")) {
                // An empty line ends a block.
                Ok(line) if line.trim().is_empty() => source.push('\n'),
                Ok(line) => source = source + "\n" + &line,
                Err(ReadlineError::Eof) => break,
                Err(error) => return ended(error),
            }
        }
        self.remember(source.trim_end());
        Ok(Typed::Source(source))
    }

    fn remember(&mut self, source: &str) {
        // What cannot be kept is typed again.
        let _ = self.lines.add_history_entry(source);
        if let Some(file) = &self.history {
            let _ = self.lines.append_history(file);
        }
    }
}

const MOST_HISTORY: usize = 10_000;

fn ended(error: ReadlineError) -> Result<Typed, Failure> {
    match error {
        ReadlineError::Interrupted => Ok(Typed::Interrupted),
        ReadlineError::Eof => Ok(Typed::End),
        error => Err(cannot_edit(error)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn cannot_edit(error: ReadlineError) -> Failure {
    Failure::other(format!("cannot read from the terminal: {error}"))
}

/// The indentation with which the next line begins.
fn indent_after(source: &str) -> String {
    let last = source.lines().last().unwrap_or_default();
    let indent: String = last.chars().take_while(|each| matches!(each, ' ' | '\t')).collect();
    match last.trim_end().ends_with(':') {
        true => indent + "    ",
        false => indent,
    }
}

/// `$XDG_STATE_HOME/snakebridge/history`, in a folder that is made when it is first needed.
fn history_file() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|it| it.join(".local/state")))?;
    let folder = state.join("snakebridge");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

/// Completes names by asking Python.
struct Python {
    session: Arc<Session>,
}

impl Completer for Python {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = &line[..pos];
        if before.trim().is_empty() {
            // Where nothing stands yet, Tab indents.
            return Ok((pos, vec!["    ".to_owned()]));
        }
        let (begin, found) = self.session.complete(before);
        // Python counts characters, the editor counts bytes.
        let begin = before.char_indices().nth(begin).map_or(pos, |(at, _)| at);
        Ok((begin, found))
    }
}

impl Helper for Python {}
impl Highlighter for Python {}
impl Hinter for Python {
    type Hint = String;
}
impl Validator for Python {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indentation_goes_on() {
        for (source, indent) in [
            ("if x:", "    "),
            ("if x:\n    y", "    "),
            ("(1,", ""),
            ("for x in y:\n  if x: ", "      "),
        ] {
            assert_eq!(indent_after(source), indent, "{source}");
        }
    }
}
