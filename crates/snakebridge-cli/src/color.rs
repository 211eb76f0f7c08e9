//! Colours, and whether they are wanted. Nothing is said by colour alone.

use std::ffi::OsString;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use clap::builder::Styles;

/// When output has colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default().bold();
pub(crate) const HEADING: Style = Style::new().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();

/// Those of help texts, as cargo has them.
pub(crate) const HELP: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

impl Color {
    /// What the command line says, before it is known to be right: help and errors have colours too.
    pub(crate) fn of_args(args: impl IntoIterator<Item = OsString>) -> Self {
        let mut found = Self::Auto;
        let mut args = args.into_iter().skip(1).peekable();
        while let Some(arg) = args.next() {
            let Some(text) = arg.to_str() else { continue };
            let value = match text.strip_prefix("--color") {
                _ if text == "--" => break,
                Some("") => args.peek().and_then(|next| next.to_str()).map(str::to_owned),
                Some(rest) => rest.strip_prefix('=').map(str::to_owned),
                None => None,
            };
            if let Some(color) = value.and_then(|value| Self::from_str(&value, false).ok()) {
                found = color;
            }
        }
        found
    }

    /// Has everything that is printed from now on follow it.
    pub(crate) fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }

    pub(crate) fn for_clap(self) -> clap::ColorChoice {
        match self {
            Self::Auto => clap::ColorChoice::Auto,
            Self::Always => clap::ColorChoice::Always,
            Self::Never => clap::ColorChoice::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_command_line_says_of_colors() {
        for (args, color) in [
            (&["x", "call"][..], Color::Auto),
            (&["x", "--color", "never", "call"], Color::Never),
            (&["x", "call", "--color=always"], Color::Always),
            (&["x", "call", "--color"], Color::Auto),
            (&["x", "run", "--", "--color=always"], Color::Auto),
        ] {
            assert_eq!(Color::of_args(args.iter().map(OsString::from)), color, "{args:?}");
        }
    }
}
