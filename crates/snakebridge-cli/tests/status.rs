//! `snakebridge status` and `snakebridge top`, and programs that can be seen.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

mod terminal;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;
use terminal::Terminal;

fn snakebridge(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snakebridge"));
    command
        .args(args)
        .env("SNAKEBRIDGE_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
        .env_remove("SNAKEBRIDGE_MONITOR");
    command
}

/// A program with a bridge that can be seen, which has made calls.
struct Program {
    child: Child,
    _input: ChildStdin,
}

impl Program {
    fn start() -> Self {
        let mut command = snakebridge(&["repl"]);
        command.env("SNAKEBRIDGE_MONITOR", "1").env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"print('ready')\n").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { child, _input: input }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it: the signal alone has its threads go on for a moment.
    fn stop(&self) {
        self.signal(Signal::STOP);
        let pid = Some(Pid::from_child(&self.child));
        let (_, status) = waitpid(pid, WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "{status:?}");
    }

    /// What the command says of it.
    fn seen(&self) -> Option<Value> {
        let output = snakebridge(&["status", "--json"]).output().unwrap();
        assert!(output.status.success());
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        let bridges = status["bridges"].as_array().unwrap();
        bridges.iter().find(|bridge| bridge["pid"] == self.child.id()).cloned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_program_is_seen_until_it_is_killed() {
    let mut program = Program::start();
    let seen = program.seen().unwrap();
    assert!(seen["program"].as_str().unwrap().ends_with("/snakebridge"), "{seen}");
    let pool = &seen["pools"][0];
    assert_eq!(pool["name"], "default");
    assert!(pool["calls"].as_u64().unwrap() >= 1, "{pool}");
    assert!(pool["workers"][0]["memory"].as_u64().unwrap() > 1 << 20, "{pool}");
    program.signal(Signal::KILL);
    program.child.wait().unwrap();
    assert_eq!(program.seen(), None);
}

#[test]
fn a_program_that_is_stopped_is_told_of() {
    let program = Program::start();
    program.stop();
    let output = snakebridge(&["status"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let pid = program.child.id();
    let warning =
        format!("warning: the program with pid {pid} does not answer: it may be stopped\n");
    assert!(said.contains(&warning), "{said}");
    program.signal(Signal::CONT);
    assert!(program.seen().is_some());
}

#[test]
fn a_table_for_people() {
    let program = Program::start();
    let output = snakebridge(&["status"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let pid = format!(" {}\n", program.child.id());
    let (_, rest) = shown.split_once(&pid).unwrap();
    let mut lines = rest.lines();
    assert!(shown.starts_with("NAME "), "{shown}");
    let pool = lines.next().unwrap();
    assert!(pool.starts_with("  default (Python 3.") && pool.contains("1/1"), "{shown}");
    let worker = lines.next().unwrap();
    assert!(
        worker.starts_with("    worker 0") && worker.contains(" idle ") && worker.contains("MiB")
    );
}

#[test]
fn tables_again_and_again() {
    let program = Program::start();
    let output = snakebridge(&["top", "-n", "2", "-i", "0.05"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(shown.matches("NAME ").count(), 2, "{shown}");
    assert_eq!(shown.matches("CALLS/S").count(), 1, "from the second look on: {shown}");
    let output = snakebridge(&["top", "-n", "2", "-i", "0.05", "--json"]).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), 2);
    lines.lines().for_each(|line| drop(serde_json::from_str::<Value>(line).unwrap()));
    // A reader that goes away ends it.
    let mut child = snakebridge(&["top", "-i", "0.01"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    drop(program);
}

#[test]
fn a_table_that_fills_the_terminal_until_q() {
    let program = Program::start();
    let mut command = snakebridge(&["top", "-i", "0.05"]);
    let mut terminal = Terminal::start(command.env("SNAKEBRIDGE_MONITOR", "0"));
    for _ in 0..2 {
        terminal.wait_for(&format!(" {}\n", program.child.id()));
        terminal.wait_for("q ends");
    }
    terminal.press("q");
    assert_eq!(terminal.end().0.code(), Some(0));
}

#[test]
fn nobody_is_there() {
    // In a network of its own there is nobody; where such a thing is not allowed, nothing can be said.
    let exe = env!("CARGO_BIN_EXE_snakebridge");
    let output = Command::new("unshare").args(["--net", "--map-root-user", exe, "status"]).output();
    let Some(output) = output.ok().filter(|output| !output.stderr.starts_with(b"unshare")) else {
        return;
    };
    assert!(output.stdout.is_empty());
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "no program shows its bridges\n\n\
         hint: start it with SNAKEBRIDGE_MONITOR=1, or use `Bridge::builder().monitor(true)`\n"
    );
}
