//! Runs the tests of the Python side, on the Python that the command would use.

use std::process::{Command, Stdio};

use snakebridge::Bridge;

#[test]
fn the_tests_of_the_python_side_pass() {
    let py = Bridge::new().unwrap();
    let python = py.ready().unwrap().executable;
    py.shutdown();
    // `-B`: compiled files do not belong beside the source.
    let output = Command::new(python)
        .args(["-B", "-m", "unittest", "discover"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/python"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("Ran 0 tests"), "{said}");
}
