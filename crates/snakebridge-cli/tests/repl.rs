//! The prompt, as people use it: through a pseudo-terminal.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

mod terminal;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use terminal::Terminal;

fn repl(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snakebridge"));
    command
        .args(["--color", "never", "repl"])
        .env("XDG_STATE_HOME", state)
        .env("SNAKEBRIDGE_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
    command
}

fn started(state: &Path) -> Terminal {
    let mut terminal = Terminal::start(&repl(state));
    terminal.wait_for("?name shows help, Tab completes");
    terminal.wait_for(">>> ");
    terminal
}

/// Types a line, and gives what is shown before the next prompt.
fn typed(terminal: &mut Terminal, line: &str) -> String {
    terminal.press(&format!("{line}\r"));
    // The line itself, as it is echoed.
    terminal.wait_for("\n");
    terminal.wait_for(">>> ")
}

#[test]
fn values_are_shown_as_python_shows_them() {
    let state = tempfile::tempdir().unwrap();
    let mut terminal = started(state.path());
    assert_eq!(typed(&mut terminal, "x = 6 * 7"), "");
    assert_eq!(typed(&mut terminal, "x"), "42\n");
    assert_eq!(typed(&mut terminal, "None"), "");
    assert_eq!(
        typed(&mut terminal, "'a', {1: b'c'}; print('printed')"),
        "('a', {1: b'c'})\nprinted\n"
    );
    let shown = typed(&mut terminal, "1 / 0");
    assert!(shown.starts_with("Traceback (most recent call last):\n  File \"<input-"), "{shown}");
    assert!(shown.ends_with("ZeroDivisionError: division by zero\n"), "{shown}");
    assert!(!shown.contains("snakebridge"), "{shown}");
    assert_eq!(typed(&mut terminal, "_"), "('a', {1: b'c'})\n", "the last value");
    terminal.press("\u{4}");
    assert_eq!(terminal.end().0.code(), Some(0));
}

#[test]
fn blocks_of_lines() {
    let state = tempfile::tempdir().unwrap();
    let mut terminal = started(state.path());
    terminal.press("def double(x):\r");
    terminal.wait_for("... ");
    // The next line is indented already.
    terminal.press("return 2 * x\r");
    terminal.wait_for("...     ");
    terminal.press("\r");
    terminal.wait_for(">>> ");
    assert_eq!(typed(&mut terminal, "double(21)"), "42\n");
    terminal.press("sum([1,\r");
    terminal.wait_for("... ");
    terminal.press("2])\r");
    terminal.wait_for("\n3\n");
    // Ctrl-C leaves a block.
    terminal.press("if True:\r");
    terminal.wait_for("... ");
    terminal.press("\u{3}");
    terminal.wait_for(">>> ");
}

#[test]
fn names_are_completed() {
    let state = tempfile::tempdir().unwrap();
    let mut terminal = started(state.path());
    terminal.press("import statist\t");
    terminal.wait_for("import statistics");
    terminal.press("\r");
    terminal.wait_for(">>> ");
    terminal.press("statistics.harm\t");
    terminal.wait_for("statistics.harmonic_mean");
    terminal.press("([2, 2])\r");
    terminal.wait_for("\n2.0\n");
    terminal.wait_for(">>> ");
    terminal.press("statistics.medi\t\t");
    let list = terminal.wait_for("statistics.median_low");
    assert!(list.contains("statistics.median_grouped"), "{list}");
    terminal.press("\u{3}");
    terminal.wait_for(">>> ");
}

#[test]
fn help_for_names() {
    let state = tempfile::tempdir().unwrap();
    let mut terminal = started(state.path());
    let shown = typed(&mut terminal, "?len");
    assert_eq!(shown, "function len(obj, /)\n\n    Return the number of items in a container.\n");
    assert!(
        typed(&mut terminal, "json.dumps?").starts_with("function json.dumps(obj, *, skipkeys")
    );
    typed(&mut terminal, "x = [17]");
    assert!(typed(&mut terminal, "?x").contains("  value:  [17]\n  type:   list\n"));
    let shown = typed(&mut terminal, "?nothing");
    assert!(
        shown.starts_with("error: ModuleNotFoundError: No module named 'nothing'\n"),
        "{shown}"
    );
}

#[test]
fn ctrl_c_interrupts_what_runs_and_nothing_else() {
    let state = tempfile::tempdir().unwrap();
    let mut terminal = started(state.path());
    typed(&mut terminal, "x = 17");
    terminal.press("print('it', 'runs'); next(i for i in iter(int, 1) if i)\r");
    terminal.wait_for("it runs\n");
    terminal.press("\u{3}");
    let shown = terminal.wait_for(">>> ");
    assert!(
        shown.ends_with("KeyboardInterrupt: the call was interrupted by the host\n"),
        "{shown}"
    );
    assert_eq!(typed(&mut terminal, "x"), "17\n");
    terminal.press("1 + \u{3}");
    terminal.wait_for(">>> ");
    assert_eq!(typed(&mut terminal, "x + 1"), "18\n");
}

#[test]
fn a_worker_that_ends_is_replaced() {
    let state = tempfile::tempdir().unwrap();
    let mut terminal = started(state.path());
    typed(&mut terminal, "import os; x = 17");
    let shown = typed(&mut terminal, "os._exit(3)");
    assert_eq!(
        shown,
        "error: the worker exited with code 3 during the call\n\
         note: a new worker has begun; all names are gone\n"
    );
    assert!(typed(&mut terminal, "x").ends_with("NameError: name 'x' is not defined\n"));
    assert_eq!(typed(&mut terminal, "1 + 1"), "2\n");
}

#[test]
fn history_outlives_the_program() {
    let state = tempfile::tempdir().unwrap();
    let mut terminal = started(state.path());
    assert_eq!(typed(&mut terminal, "'to be ' + 'remembered'"), "'to be remembered'\n");
    terminal.press("import sys; sys.exit(7)\r");
    assert_eq!(terminal.end().0.code(), Some(7));
    let mut terminal = started(state.path());
    terminal.press("\u{1b}[A\u{1b}[A\r");
    terminal.wait_for("\n'to be remembered'\n");
}

#[test]
fn input_that_is_no_terminal_is_run() {
    let state = tempfile::tempdir().unwrap();
    let mut command = repl(state.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.args(["-i", "math"]).spawn().unwrap();
    let source =
        "def f(x):\n    return math.sqrt(x)\n\nf(16)\nprint('printed')\nraise SystemExit(5)\n1\n";
    child.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "4.0\nprinted\n");
    assert_eq!(output.status.code(), Some(5));
}
