//! All cases that come with the project, on the Python that is found first, with numpy and pandas.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::Path;

use snakebridge_testkit::{Settings, case::Suite, environment, run};

fn check(name: &str, least: usize) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(name);
    let suite: Suite = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let python = environment::with_packages(folder, &["numpy", "pandas"]).unwrap();
    let python = Some(python.to_str().unwrap().to_owned());
    let report = run(&suite, &Settings { python, ..Settings::default() }).unwrap();
    assert_eq!(report.failed, [], "{name}");
    let passed = report.passed.len();
    assert!(passed >= least, "only {passed} cases of {name} ran: {:?}", report.skipped);
}

#[test]
fn seed() {
    check("seed.json", 54);
}

#[test]
fn core() {
    check("core.json", 236);
}

#[test]
fn numpy_and_pandas() {
    check("numpy_pandas.json", 39);
}
