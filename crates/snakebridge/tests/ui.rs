//! What must not compile, and how the compiler says it.

use std::process::Command;

/// The compiler whose messages are written down; others word them in other ways.
const CHECKED_WITH: &str = "rustc 1.95.";

#[test]
fn misuse_does_not_compile() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().unwrap().stdout;
    let version = String::from_utf8_lossy(&version);
    if !version.starts_with(CHECKED_WITH) {
        println!("not compared: the messages are those of {CHECKED_WITH}*, this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
