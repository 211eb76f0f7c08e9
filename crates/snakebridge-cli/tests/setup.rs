//! Settings and environments, from the command line.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

mod terminal;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use terminal::Terminal;

/// A project with a package that needs no network, and a cache of its own.
struct Project {
    root: TempDir,
}

impl Project {
    fn new(config: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let project = Self { root };
        fs::create_dir(project.path().join("links")).unwrap();
        wheel(&project.path().join("links"), "tiny_package", "1.5");
        project.write("snakebridge.toml", config);
        project
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snakebridge"));
        command
            .args(args)
            .current_dir(self.path())
            .stdin(Stdio::null())
            .env("SNAKEBRIDGE_CACHE_DIR", self.path().join("cache"))
            .env_remove("CARGO_MANIFEST_DIR")
            .env_remove("VIRTUAL_ENV");
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let output = self.command(args).output().unwrap();
        let text = |data: &[u8]| String::from_utf8_lossy(data).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }
}

/// A wheel is a zip file; Python's own library writes one.
fn wheel(folder: &Path, name: &str, version: &str) {
    let script = "import sys, zipfile
folder, name, version = sys.argv[1:]
info = f'{name}-{version}.dist-info'
with zipfile.ZipFile(f'{folder}/{name}-{version}-py3-none-any.whl', 'w') as wheel:
    wheel.writestr(f'{name}.py', f'__version__ = {version!r}')
    wheel.writestr(f'{info}/METADATA', f'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n')
    wheel.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(f'{info}/RECORD', f'{name}.py,,\\n{info}/METADATA,,\\n{info}/WHEEL,,\\n{info}/RECORD,,\\n')
";
    let mut python = Command::new("python3");
    assert!(
        python.args(["-c", script]).arg(folder).args([name, version]).status().unwrap().success()
    );
}

const CONFIG: &str = "packages = ['tiny_package']\nindex.none = true\nindex.find-links = ['links']\n\
                      environment.installer = 'pip'\n";

/// Another pool with the same package.
const OTHER: &str = "[pool.other]\npackages = ['tiny_package==1.5']\nindex.none = true\n\
                     index.find-links = ['links']\n";

#[test]
fn environments_are_made_once() {
    let project = Project::new(CONFIG);
    let (code, out, _) = project.run(&["setup", "--check"]);
    assert_eq!(code, 6);
    assert!(out.starts_with("missing  pool `default`; `snakebridge setup` makes it"), "{out}");
    let (code, out, _) = project.run(&["doctor", "--json"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("there is no environment with tiny_package yet, for pool `default`"),
        "{out}"
    );

    let (code, out, err) = project.run(&["setup", "--json"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.starts_with("making an environment with tiny_package\n"), "lines, no bar: {err}");
    assert!(!err.contains('\u{1b}') && !err.contains('\r'), "{err}");
    let pools: Value = serde_json::from_str(&out).unwrap();
    let pool = &pools["pools"][0];
    assert_eq!((&pool["pool"], &pool["state"]), (&"default".into(), &"made".into()));
    let package = pool["packages"].as_array().unwrap().iter().find(|it| it["version"] == "1.5");
    assert!(package.is_some(), "{pool}");

    let (code, out, err) = project.run(&["setup"]);
    assert_eq!((code, &*err), (0, ""));
    assert!(out.starts_with("ready    pool `default`: Python 3.") && out.contains("1.5"), "{out}");
    // All commands use it.
    let (code, out, err) = project.run(&["get", "tiny_package", "__version__"]);
    assert_eq!((code, &*out, &*err), (0, "'1.5'\n", ""));
    let (code, out, _) = project.run(&["doctor", "--json", "--import", "tiny_package"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("tiny_package 1.5") && out.contains("pool `default` has tiny_package"),
        "{out}"
    );

    let python = pool["python"].as_str().unwrap();
    fs::remove_file(python).unwrap();
    let (_, out, _) = project.run(&["doctor", "--json"]);
    assert!(out.contains("the environment of pool `default` is damaged"), "{out}");
}

#[test]
fn versions_are_locked() {
    let project = Project::new(&format!("{CONFIG}{OTHER}"));
    // Settings of pip that must not count here.
    project.write("pip.conf", "[global]\nrequire-virtualenv = true\n[install]\nuser = true\n");
    let mut command = project.command(&["setup", "--lock"]);
    let output = command.env("PIP_CONFIG_FILE", project.path().join("pip.conf")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lock = fs::read_to_string(project.path().join("snakebridge.lock")).unwrap();
    assert!(lock.contains("1.5") && lock.contains("sha256:"), "{lock}");
    let (code, out, _) = project.run(&["setup", "--check"]);
    assert_eq!(code, 0, "{out}");
    // A pool keeps its own versions, also where its settings count for all.
    let (code, out, err) = project.run(&["get", "tiny_package", "__version__", "--pool", "other"]);
    assert_eq!((code, &*out, &*err), (0, "'1.5'\n", ""));
    let mut command = project.command(&["setup", "--upgrade", "--pool", "other", "--json"]);
    let output = command.env("CI", "true").output().unwrap();
    let pools: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> = pools["pools"].as_array().unwrap().iter().map(|it| &it["pool"]).collect();
    assert_eq!(names, ["other"]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.starts_with("warning: `environment.locked` or `CI` says"), "{err}");
    assert_eq!(fs::read_to_string(project.path().join("snakebridge.lock")).unwrap(), lock);
}

#[test]
fn a_terminal_is_shown_what_happens() {
    let project = Project::new(&format!("{CONFIG}{OTHER}"));
    let mut terminal = Terminal::start(&project.command(&["setup"]));
    terminal.wait_for("making an environment with tiny_package");
    terminal.wait_for("made the environment in ");
    // The line moves again.
    terminal.wait_for("making an environment with venv");
    terminal.wait_for("made the environment in ");
    terminal.wait_for("pool `default`: Python 3.");
    assert_eq!(terminal.end().0.code(), Some(0));
}

#[test]
fn environments_that_cannot_be_made() {
    let config = CONFIG.replace("['tiny_package']", "['no_such_package']");
    let project = Project::new(&format!("{config}{OTHER}"));
    let (code, out, err) = project.run(&["setup", "--pool", "default"]);
    assert_eq!(
        (code, &*out, &*err),
        (2, "", "error: no pool `default` is declared; known: `other`\n")
    );
    let (code, out, err) = project.run(&["setup", "--json"]);
    assert_eq!(code, 6);
    // Others are made nevertheless.
    let pools: Value = serde_json::from_str(&out).unwrap();
    let states = [0, 1].map(|pool| pools["pools"][pool]["state"].as_str());
    assert_eq!(states, [Some("failed"), Some("made")]);
    let error = pools["pools"][0]["error"].as_str().unwrap();
    assert!(error.contains("no_such_package"), "{error}");
    assert!(
        err.contains("error: ") && err.contains("no_such_package") && err.contains("hint: "),
        "{err}"
    );
    // All that pip has to say about it.
    assert!(err.contains("\n  ERROR: Could not find a version that satisfies"), "{err}");
}

#[test]
fn nothing_is_declared() {
    let project = Project::new("");
    let (code, out, err) = project.run(&["setup"]);
    assert_eq!((code, &*out), (0, ""));
    assert_eq!(
        err,
        "no packages are declared\n\nhint: add `packages = [\"numpy\"]` to snakebridge.toml\n"
    );
}

#[test]
fn settings_and_where_they_come_from() {
    let project = Project::new("timeout = '5m'\nmodule-path = ['lib']\n[pool.gpu]\nworkers = 2\n");
    let mut command = project.command(&["config", "--said"]);
    // The tests may be run with the second gear forced on or off.
    command.env_remove("SNAKEBRIDGE_SPIN");
    let output =
        command.env("SNAKEBRIDGE_THREADS", "3").env("SNAKEBRIDGE_TREADS", "4").output().unwrap();
    let place = project.path().canonicalize().unwrap();
    let text =
        |data: Vec<u8>| String::from_utf8(data).unwrap().replace(place.to_str().unwrap(), "[DIR]");
    // How wide columns are depends on the folder.
    let rows: Vec<Vec<String>> = text(output.stdout)
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .map(str::to_owned)
                .collect()
        })
        .collect();
    assert_eq!(
        rows,
        [
            ["module-path", "[\"[DIR]/lib\"]", "[DIR]/snakebridge.toml:2"],
            ["threads", "3", "SNAKEBRIDGE_THREADS"],
            ["timeout", "\"300s\"", "[DIR]/snakebridge.toml:1"],
            ["pool.gpu.workers", "2", "[DIR]/snakebridge.toml:4"],
        ]
    );
    assert_eq!(
        text(output.stderr),
        "warning: SNAKEBRIDGE_TREADS is the variable of no setting; is `threads` meant?\n"
    );
    let (_, out, _) = project.run(&["config", "--json"]);
    let config: Value = serde_json::from_str(&out).unwrap();
    let settings = config["settings"].as_array().unwrap();
    let of = |name: &str| settings.iter().find(|setting| setting["name"] == name).unwrap();
    assert_eq!(
        (&of("timeout")["value"], &of("timeout")["origin"]["line"]),
        (&"300s".into(), &1.into())
    );
    assert_eq!((&of("grace")["value"], &of("grace")["origin"]), (&Value::Null, &"default".into()));
    assert_eq!(project.run(&["config", "timeout"]), (0, "\"300s\"\n".to_owned(), String::new()));
    assert_eq!(project.run(&["config", "pool.gpu.workers"]).1, "2\n");
    assert_eq!(project.run(&["config", "grace"]).1, "\"1s\"\n");
    assert_eq!(project.run(&["config", "workers", "--pool", "gpu"]).1, "2\n");
    assert_eq!(project.run(&["config", "--pool", "nosuch"]).0, 2);
    let (code, _, err) = project.run(&["config", "tiemout"]);
    assert_eq!(
        (code, &*err),
        (2, "error: there is no setting `tiemout`: see `snakebridge config`\n")
    );
}

#[test]
fn passwords_of_indexes_are_not_shown() {
    let project = Project::new("index.url = 'https://me:secret@example.org/simple'\n");
    let (code, out, _) = project.run(&["config", "--said"]);
    assert_eq!(code, 0);
    assert!(out.contains("https://****@example.org/simple") && !out.contains("secret"), "{out}");
    // Who asks for this value is told it.
    assert!(project.run(&["config", "index.url"]).1.contains("secret"));
}

#[test]
fn settings_count_for_all_commands() {
    let project = Project::new("[env]\nCOLOR = 'red'\n[pool.blue.env]\nCOLOR = 'blue'\n");
    assert_eq!(project.run(&["call", "os", "getenv", "COLOR"]).1, "'red'\n");
    assert_eq!(project.run(&["call", "os", "getenv", "COLOR", "--pool", "blue"]).1, "'blue'\n");
    let (code, _, err) = project.run(&["call", "os", "getenv", "COLOR", "--pool", "green"]);
    assert_eq!((code, &*err), (2, "error: no pool `green` is declared; known: `blue`\n"));
}

#[test]
fn settings_that_cannot_be_used() {
    let project = Project::new("workers = 'many'\n");
    let (code, out, err) = project.run(&["call", "math", "sqrt", "16"]);
    assert_eq!((code, &*out), (2, ""));
    assert!(err.contains("snakebridge.toml:1: "), "{err}");
    let (code, out, _) = project.run(&["doctor", "--json"]);
    assert_eq!(code, 6);
    assert!(out.contains("\"check\":\"config\",\"level\":\"error\""), "{out}");
}
