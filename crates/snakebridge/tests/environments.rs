//! Programs that declare packages get them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use snakebridge::env::config::Config;
use snakebridge::env::{Options, Progress, ProgressEvent};
use snakebridge::{Bridge, BridgeBuilder, ErrorKind, Pool};

/// Environments that all tests share, and tools that are fetched once.
fn options() -> Options {
    Options::new().cache_dir(Path::new(env!("CARGO_TARGET_TMPDIR")).join("environments"))
}

/// What is made while a bridge is built.
fn made(builder: BridgeBuilder, options: Options) -> (snakebridge::Result<Bridge>, usize) {
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    let progress = Progress::new(move |event| {
        *counted.lock().unwrap() += usize::from(matches!(event, ProgressEvent::Making { .. }));
    });
    let built = builder.environments(options.progress(progress)).build();
    let count = *count.lock().unwrap();
    (built, count)
}

#[test]
fn packages_that_are_declared_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("environments/tools");
    std::os::unix::fs::symlink(&tools, folder.path().join("tools")).unwrap();
    std::fs::create_dir_all(&tools).unwrap();
    let declare = || {
        let other = Pool::new().packages(["idna"]);
        Bridge::builder().python(">=3.9").packages(["six>=1.16"]).pool("other", other)
    };
    for expected in [2, 0] {
        let (py, count) = made(declare(), Options::new().cache_dir(folder.path()));
        let py = py.unwrap();
        assert_eq!(count, expected);
        let text: String = py.call("six", "ensure_str", ("text",)).wait().unwrap();
        assert_eq!(text, "text");
        let encoded: String = py.call("idna", "decode", ("xn--tda",)).pool("other").wait().unwrap();
        assert_eq!(encoded, "ü");
        let error = py.call::<()>("idna", "decode", ("",)).wait().unwrap_err();
        assert_eq!(error.python().unwrap().type_name(), "ModuleNotFoundError");
        let python = py.ready().unwrap();
        assert_eq!(python.origin, "environment with six>=1.16");
        py.shutdown();
    }
}

#[test]
fn what_cannot_be_installed_is_an_error() {
    let declare = |package| Bridge::builder().packages([package]).environments(options()).build();
    let error = declare("snakebridge-test-no-such-package").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Environment);
    assert!(error.to_string().contains("snakebridge-test-no-such-package"), "{error}");
    assert!(error.hint().unwrap().contains("check the name"), "{error:?}");
    let error = declare("--index-url=https://example.org").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn settings_of_a_text_count_and_the_program_counts_more() {
    let text = "packages = ['snakebridge-test-no-such-package']\ninstall = 'never'\nworkers = 2\n\
                timeout = '1m'\n[env]\nA = 'b'\n[pool.small]\nworkers = 1\nenv.A = 'c'\n";
    let config = Config::from_text("snakebridge.toml", text).unwrap();
    let py = Bridge::builder().config(&config).unwrap().workers(3).build().unwrap();
    let status = py.status().unwrap();
    let workers: Vec<usize> = status.pools.iter().map(|pool| pool.workers.len()).collect();
    assert_eq!(workers, [3, 1]);
    let default: String = py.call("os", "getenv", ("A",)).wait().unwrap();
    let small: String = py.call("os", "getenv", ("A",)).pool("small").wait().unwrap();
    assert_eq!((default.as_str(), small.as_str()), ("b", "c"));
}

/// What another process does: a call on its default bridge.
#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn process() {
    match snakebridge::call::<String>("os", "getenv", ("SNAKEBRIDGE_TEST",)).wait() {
        Ok(value) => println!("value: {value}"),
        Err(error) => println!("error: {error}"),
    }
}

#[test]
fn the_default_bridge_has_the_settings_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let run = |text: &str, file: Option<&str>| {
        std::fs::write(folder.path().join("snakebridge.toml"), text).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["process", "--exact", "--ignored", "--nocapture", "--quiet"]);
        command.current_dir(folder.path()).env("SNAKEBRIDGE_TEST", "of the program");
        if let Some(file) = file {
            command.env("SNAKEBRIDGE_CONFIG", file);
        }
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let said = run("[env]\nSNAKEBRIDGE_TEST = 'of the file'\n", None);
    assert!(said.contains("value: of the file"), "{said}");
    let said = run("[env]\nSNAKEBRIDGE_TEST = 'of the file'\n", Some(""));
    assert!(said.contains("value: of the program"), "{said}");
    let said = run("wrokers = 2\n", None);
    assert!(said.contains("snakebridge.toml:1: there is no setting `wrokers`"), "{said}");
}

#[test]
fn mistakes_in_settings_are_errors() {
    let error = Config::from_text("snakebridge.toml", "\npakages = []").unwrap_err();
    let error = snakebridge::Error::from(error);
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.to_string(), "snakebridge.toml:2: there is no setting `pakages`");
    assert_eq!(error.hint(), Some("did you mean `packages`?"));
}
