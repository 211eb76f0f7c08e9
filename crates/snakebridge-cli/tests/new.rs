//! What `snakebridge new` writes is a program that runs.

#![expect(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn new(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snakebridge"));
    command.arg("new").arg(folder).args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

#[test]
fn the_program_builds_and_runs() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("made-by-a-test");
    let made = new(&folder, &["--snakebridge", WORKSPACE, "--json"]);
    assert_eq!(text(&made.stderr), "");
    let json: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(json["name"], "made-by-a-test");
    for file in json["files"].as_array().unwrap() {
        assert!(folder.join(file.as_str().unwrap()).is_file(), "{file}");
    }
    // The same versions, settings and target folder as this workspace: little is built anew, and nothing fetched.
    std::fs::copy(Path::new(WORKSPACE).join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let ran = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline", "--config", "profile.dev.package.'*'.debug = false"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
        .env("SNAKEBRIDGE_CACHE_DIR", target.join("tmp/cache"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    assert_eq!(text(&ran.stdout), "The mean is 2.80.\nThe suffix is .txt.\nHello, Ada!\n");
    assert_eq!(text(&ran.stderr), "");
}

#[test]
fn the_default_is_the_repository() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("program");
    let made = new(&folder, &["--name", "another_name"]);
    assert!(made.status.success());
    assert!(text(&made.stderr).contains("created the program `another_name`"));
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"another_name\""), "{manifest}");
    assert!(manifest.contains("snakebridge = { git = \"https://github.com/"), "{manifest}");
}

#[test]
fn nothing_that_exists_is_changed() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("mine.txt");
    std::fs::write(&file, "mine").unwrap();
    for folder in [temp.path(), &file] {
        let refused = new(folder, &["--name", "program"]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains("is there already"), "{}", text(&refused.stderr));
    }
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
    let refused = new(&temp.path().join("1st"), &[]);
    assert!(text(&refused.stderr).contains("`1st` cannot be the name of a package"));
    assert!(!temp.path().join("1st").exists());
}
