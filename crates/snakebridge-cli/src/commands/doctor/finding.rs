//! What the doctor has found.

use std::fmt::Write as _;

use serde::Serialize;

use crate::color::{ERROR, FAINT, GOOD, HINT, WARNING};

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    /// What was looked at, by a name that stays: `interpreter`, `limit.files`.
    check: &'static str,
    level: Level,
    message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Something will not work, or not as expected.
    Warning,
    /// Nothing works.
    Error,
}

impl Finding {
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, message: message.into(), remedy: None }
    }

    pub(super) fn note(check: &'static str, message: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::ok(check, message) }
    }

    pub(super) fn warning(
        check: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { level: Level::Warning, remedy: Some(remedy.into()), ..Self::ok(check, message) }
    }

    pub(super) fn error(
        check: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { level: Level::Error, remedy: Some(remedy.into()), ..Self::ok(check, message) }
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// As people read it.
    pub(super) fn write(&self, out: &mut String) {
        let (word, style) = match self.level {
            Level::Ok => ("ok", GOOD),
            Level::Note => ("note", FAINT),
            Level::Warning => ("warning", WARNING),
            Level::Error => ("error", ERROR),
        };
        let lines = self.message.lines().collect::<Vec<_>>().join("\n    ");
        let _ = writeln!(
            out,
            "{style}{word:7}{style:#}  {:width$}  {lines}",
            self.check,
            width = WIDTH
        );
        if let Some(remedy) = &self.remedy {
            let _ = writeln!(out, "         {:WIDTH$}  {HINT}remedy:{HINT:#} {remedy}", "");
        }
    }
}

/// As wide as the longest name of a check.
const WIDTH: usize = 15;
