//! Runs the tests of the Python side, on the interpreter that a worker would run on.

#![expect(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::path::Path;
use std::process::{Command, Stdio};

use snakebridge_worker::OLDEST_PYTHON;
use snakebridge_worker::interpreter::{Surroundings, search};

#[test]
fn the_tests_of_the_worker_pass() {
    let (major, minor) = OLDEST_PYTHON;
    let check = format!("import sys; sys.exit(sys.version_info < ({major}, {minor}))");
    let python = search(None, &Surroundings::of_process())
        .into_iter()
        .map(|found| found.path)
        .find(|python| run(python, &["-c", &check]).0)
        .expect("these tests need a Python of 3.9 or newer, see SNAKEBRIDGE_PYTHON");
    // `-B`: compiled files do not belong beside the source.
    let (passed, said) = run(&python, &["-B", "-m", "unittest", "discover"]);
    assert!(passed, "{}:\n{said}", python.display());
    assert!(!said.contains("Ran 0 tests"), "{said}");
}

/// Whether a run of the interpreter ends well, and what it says.
fn run(python: &Path, args: &[&str]) -> (bool, String) {
    let output = Command::new(python)
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/python"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}
