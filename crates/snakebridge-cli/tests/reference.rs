//! The reference in the guide is what the command says of itself.
//!
//! With `SNAKEBRIDGE_BLESS=1` it is written anew.

#![expect(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::fmt::Write as _;
use std::process::Command;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/command-line.md");
const BEGIN: &str =
    "<!-- The reference is written by `crates/snakebridge-cli/tests/reference.rs`. -->\n";

#[test]
fn the_reference_in_the_guide_is_current() {
    let guide = std::fs::read_to_string(GUIDE).unwrap();
    let (prose, found) = guide.split_once(BEGIN).unwrap();
    let reference = reference();
    if std::env::var_os("SNAKEBRIDGE_BLESS").is_some() {
        std::fs::write(GUIDE, format!("{prose}{BEGIN}{reference}")).unwrap();
    } else {
        let differs = reference.lines().zip(found.lines().chain([""])).find(|(a, b)| a != b);
        let how = "write it anew with SNAKEBRIDGE_BLESS=1; the first difference";
        assert!(reference == found, "{how}: {differs:?}");
    }
}

fn reference() -> String {
    let whole = help(&["--help"]);
    let mut out = format!("\n```text\n{}```\n", whole);
    for command in commands(&whole) {
        let text = help(&[&command, "--help"]);
        // Those are listed once, above.
        let own = text.split("\nGlobal options:\n").next().unwrap();
        let examples = text.split_once("\nExamples:\n").map(|(_, examples)| examples);
        let _ = write!(out, "\n### {command}\n\n```text\n{}", own.trim_end());
        if let Some(examples) = examples {
            let _ = write!(out, "\n\nExamples:\n{}", examples.trim_end());
        }
        out.push_str("\n```\n");
    }
    out
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

fn help(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snakebridge"));
    let output = command.args(args).env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{args:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}
