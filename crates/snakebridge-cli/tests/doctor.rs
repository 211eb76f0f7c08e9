//! `snakebridge doctor` finds faults that the tests prepare, and says what to do.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// A machine on which all is well, until a test changes that.
struct Machine {
    root: TempDir,
    command: Command,
}

impl Machine {
    /// With a Python on `PATH`, a home, a cache, and a folder of a project.
    fn new() -> Self {
        Self::with_limits("true")
    }

    /// The same, after a command of the shell that changes limits.
    fn with_limits(limits: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["bin", "home", "project"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let script = format!("{limits} && exec \"$0\" \"$@\"");
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &script, env!("CARGO_BIN_EXE_snakebridge"), "doctor", "--json"])
            .current_dir(root.path().join("project"))
            .stdin(Stdio::null())
            .env_clear()
            .env("HOME", root.path().join("home"))
            .env("PATH", root.path().join("bin"))
            .env("SNAKEBRIDGE_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
        let machine = Self { root, command };
        symlink(python(), machine.path("bin/python3")).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        file
    }

    /// A file that can be run.
    fn script(&self, name: &str, text: &str) -> PathBuf {
        let file = self.write(name, text);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    fn env(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.command.env(name, value.as_ref());
        self
    }

    fn arg(mut self, arg: impl AsRef<Path>) -> Self {
        self.command.arg(arg.as_ref());
        self
    }

    fn examine(mut self) -> Report {
        let output = self.command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
        assert_eq!(said, "", "all is in the report");
        Report { json, code: output.status.code().unwrap(), _root: self.root }
    }
}

/// A Python that works.
fn python() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snakebridge"));
        let output = command.args(["version", "--json"]).output().unwrap();
        let version: Value = serde_json::from_slice(&output.stdout).unwrap();
        let named = PathBuf::from(version["python"]["executable"].as_str().unwrap());
        // The interpreter itself, where that is an environment.
        named.canonicalize().unwrap()
    })
}

struct Report {
    json: Value,
    code: i32,
    _root: TempDir,
}

impl Report {
    /// The finding of a check that says this; it is there, and says what to do if it is no good.
    #[track_caller]
    fn finds(&self, level: &str, check: &str, message: &str, remedy: &str) {
        let findings = self.json["findings"].as_array().unwrap();
        let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or("").to_owned();
        let found = findings.iter().any(|finding| {
            text(finding, "level") == level
                && text(finding, "check") == check
                && text(finding, "message").contains(message)
                && text(finding, "remedy").contains(remedy)
        });
        assert!(found, "{level} {check}: {message}, {remedy}: {:#}", self.json);
        let code = match (level, check) {
            ("error", "interpreter" | "cache") => 3,
            ("error", _) => 6,
            _ => return,
        };
        assert_eq!(self.code, code);
        assert_eq!(self.json["healthy"], false);
    }
}

#[test]
fn all_is_well() {
    let report = Machine::new().arg("--import").arg("json").examine();
    report.finds("ok", "interpreter", "`python3` on PATH", "");
    report.finds("ok", "import", "json 2.0.9", "");
    report.finds("ok", "call", "a call takes", "");
    report.finds("ok", "memory.shared", "arrays can be shared", "");
    let bad = |finding: &Value| !matches!(finding["level"].as_str(), Some("ok" | "note"));
    let findings = report.json["findings"].as_array().unwrap();
    assert!(!findings.iter().any(bad), "{:#}", report.json);
    assert_eq!((report.code, &report.json["healthy"]), (0, &Value::Bool(true)));
}

#[test]
fn the_python_that_was_named_is_not_there() {
    let report = Machine::new().env("SNAKEBRIDGE_PYTHON", "/nowhere/python3").examine();
    report.finds("error", "interpreter", "`/nowhere/python3`", "SNAKEBRIDGE_PYTHON");
    let report = Machine::new().arg("--python").arg("python7").examine();
    report.finds("error", "interpreter", "command `python7` is not on PATH", "install Python");
    let report = Machine::new().arg("--python").arg("3.77").examine();
    report.finds("error", "interpreter", "version 3.77", "install Python");
}

#[test]
fn the_python_is_too_old() {
    let machine = Machine::new();
    let old = format!(
        "#!/bin/sh\nexec {} -c \"import sys
sys.version_info = (3, 7, 0, 'final', 0)
code = sys.argv[2]
exec(code)\" \"$@\"\n",
        python().display()
    );
    let file = machine.script("bin/old", &old);
    let report = machine.arg("--python").arg(file).examine();
    report.finds("error", "interpreter", "is Python 3.7.0", "install Python 3.9 or newer");
}

#[test]
fn the_python_may_not_be_run() {
    let machine = Machine::new();
    let file = machine.write("bin/closed", "#!/bin/sh\n");
    let report = machine.arg("--python").arg(file).examine();
    report.finds("error", "interpreter", "", "chmod +x");
}

#[test]
fn the_python_fails_at_its_start() {
    let machine = Machine::new();
    let file =
        machine.script("bin/broken", "#!/bin/sh\necho 'libpython3.so: not found' >&2\nexit 127\n");
    let report = machine.arg("--python").arg(file).examine();
    report.finds("error", "interpreter", "libpython3.so: not found", "name one that works");
}

#[test]
fn a_broken_python_is_passed_over() {
    let machine = Machine::new();
    machine.script("venv/bin/python3", "#!/bin/sh\necho 'no library' >&2\nexit 127\n");
    let venv = machine.path("venv");
    let report = machine.env("VIRTUAL_ENV", venv).examine();
    report.finds("warning", "interpreter", "environment in $VIRTUAL_ENV was passed over", "");
    report.finds("ok", "interpreter", "`python3` on PATH", "");
}

#[test]
fn the_home_of_python_is_a_wrong_one() {
    let report = Machine::new().env("PYTHONHOME", "/nowhere").examine();
    report.finds("error", "interpreter", "", "unset PYTHONHOME");
    report.finds("warning", "variables", "PYTHONHOME is set", "unset it");
}

#[test]
fn the_environment_does_not_exist() {
    let report = Machine::new().env("VIRTUAL_ENV", "/nowhere").examine();
    report.finds(
        "warning",
        "environment",
        "$VIRTUAL_ENV is `/nowhere`, which does not exist",
        "deactivate",
    );
}

#[test]
fn the_environment_has_no_python() {
    let machine = Machine::new();
    fs::create_dir_all(machine.path("project/.venv/bin")).unwrap();
    machine.examine().finds("warning", "environment", "which has no Python in it", "venv --clear");
}

#[test]
fn the_python_of_the_environment_was_removed() {
    let machine = Machine::new();
    fs::create_dir_all(machine.path("project/.venv/bin")).unwrap();
    symlink("/removed/bin/python3", machine.path("project/.venv/bin/python3")).unwrap();
    let report = machine.examine();
    report.finds("warning", "environment", "was removed (`/removed/bin/python3`)", "venv --clear");
    let machine = Machine::new();
    fs::create_dir_all(machine.path("project/.venv/bin")).unwrap();
    symlink(python(), machine.path("project/.venv/bin/python3")).unwrap();
    machine.write("project/.venv/pyvenv.cfg", "version = 3.11.0\nhome = /removed/bin\n");
    let report = machine.examine();
    report.finds("warning", "environment", "was removed (`/removed/bin`)", "venv --clear");
}

#[test]
fn the_environment_was_moved() {
    let machine = Machine::new();
    let venv = machine.path("project/.venv");
    let mut make = Command::new(python());
    let made = make.args(["-m", "venv", "--without-pip"]).arg(machine.path("elsewhere")).output();
    assert!(made.unwrap().status.success());
    fs::rename(machine.path("elsewhere"), venv).unwrap();
    let report = machine.examine();
    report.finds("warning", "environment", "which was moved there from", "venv --clear");
}

#[test]
fn another_python_is_used_than_that_of_the_environment() {
    let machine = Machine::new();
    let mut make = Command::new(python());
    let venv = machine.path("venv");
    let made = make.args(["-m", "venv", "--without-pip"]).arg(&venv).output();
    assert!(made.unwrap().status.success());
    let report = machine.env("VIRTUAL_ENV", &venv).env("SNAKEBRIDGE_PYTHON", python()).examine();
    report.finds("warning", "environment", "but SNAKEBRIDGE_PYTHON decides", "leave the one");
    for (setting, args, decides) in [
        ("", &["--python", "python3"][..], "but `--python` decides"),
        ("python = 'python3'", &[], "but what the settings declare decides"),
    ] {
        let machine = Machine::new();
        machine.write("project/snakebridge.toml", setting);
        let machine = args.iter().fold(machine, Machine::arg).env("VIRTUAL_ENV", &venv);
        machine.examine().finds("warning", "environment", decides, "leave the one");
    }
}

#[test]
fn the_environment_that_is_used() {
    let machine = Machine::new();
    let mut make = Command::new(python());
    let venv = machine.path("project/.venv");
    assert!(
        make.args(["-m", "venv", "--without-pip"]).arg(&venv).output().unwrap().status.success()
    );
    let report = machine.examine();
    report.finds("ok", "environment", "`.venv`: ", "");
    report.finds("ok", "packages", "project/.venv/lib", "");
}

#[test]
fn folders_of_the_module_path_are_missing() {
    let report = Machine::new().env("PYTHONPATH", "/nowhere:/removed").examine();
    report.finds("warning", "module.path", "/nowhere, /removed", "PYTHONPATH");
}

#[test]
fn a_file_takes_the_place_of_a_module_of_python() {
    let machine = Machine::new();
    let file = machine.write("mine/statistics.py", "");
    let folder = machine.path("mine");
    let report = machine.env("PYTHONPATH", folder).examine();
    let message = format!("`{}` takes the place of `statistics`", file.display());
    report.finds("warning", "module.hidden", &message, "rename the file");
}

#[test]
fn a_part_of_the_library_is_missing() {
    let machine = Machine::new();
    machine.write("mine/sqlite3.py", "raise ImportError('built without it')");
    let folder = machine.path("mine");
    let report = machine.env("PYTHONPATH", folder).examine();
    report.finds("warning", "library", "missing: sqlite3", "packages");
}

#[test]
fn python_prints_when_it_starts() {
    let machine = Machine::new();
    machine.write("mine/sitecustomize.py", "raise ValueError('leftover')");
    let folder = machine.path("mine");
    let report = machine.env("PYTHONPATH", folder).examine();
    report.finds("warning", "start", "sitecustomize", "`.pth` files");
}

#[test]
fn a_package_is_missing() {
    let report = Machine::new().arg("--import").arg("no_such_package.part").examine();
    report.finds(
        "error",
        "import",
        "there is no module `no_such_package.part`",
        "pip install no_such_package`",
    );
}

#[test]
fn a_package_cannot_be_imported() {
    let machine = Machine::new();
    machine.write("mine/damaged/__init__.py", "from . import _core");
    let folder = machine.path("mine");
    let report = machine.env("PYTHONPATH", folder).arg("--import").arg("damaged").examine();
    report.finds("error", "import", "cannot import name '_core'", "--force-reinstall damaged");
}

#[test]
fn the_cache_cannot_be_written() {
    let machine = Machine::new();
    let file = machine.write("file", "");
    let report = machine.env("SNAKEBRIDGE_CACHE_DIR", file).examine();
    report.finds("error", "cache", "Not a directory", "SNAKEBRIDGE_CACHE_DIR");
}

#[test]
fn the_home_cannot_be_written() {
    let mut machine = Machine::new();
    let home = machine.write("file", "");
    let temporary = machine.path("temporary");
    fs::create_dir(&temporary).unwrap();
    machine.command.env_remove("SNAKEBRIDGE_CACHE_DIR").env("TMPDIR", temporary);
    let report = machine.env("HOME", home).examine();
    report.finds("warning", "cache", "may be emptied at any time", "`~/.cache`");
}

#[test]
fn the_temporary_folder_is_missing() {
    let report = Machine::new().env("TMPDIR", "/nowhere").examine();
    report.finds("warning", "temporary", "`/nowhere`", "TMPDIR");
}

#[test]
fn no_worker_starts_with_what_is_declared() {
    for (setting, message) in [
        ("current-dir = 'nowhere'", "nowhere` is no folder"),
        ("preload = ['no_such_module']", "No module named 'no_such_module'"),
        ("memory-limit = '20MiB'", ""),
        ("confine.read = ['nowhere']", "nowhere"),
        ("guard.allow = ['a b']", "a b"),
    ] {
        let machine = Machine::new();
        machine.write("project/snakebridge.toml", setting);
        let report = machine.examine();
        report.finds("error", "config", "no worker starts with these settings: ", "--said`");
        report.finds("error", "config", message, "--said`");
        // It is not the fault of Python.
        report.finds("ok", "call", "a worker starts in", "");
        assert_eq!(report.code, 6, "{setting}");
    }
}

#[test]
fn calls_of_the_doctor_need_not_be_allowed() {
    let machine = Machine::new();
    machine.write(
        "project/snakebridge.toml",
        "guard.allow = ['json']\n[pool.a]\npreload = ['nowhere']",
    );
    machine.examine().finds("ok", "call", "a worker starts in", "");
}

#[test]
fn the_settings_of_a_pool() {
    let toml = "[pool.a]\npreload = ['nowhere']";
    let machine = Machine::new();
    machine.write("project/snakebridge.toml", toml);
    let report = machine.arg("--pool").arg("a").examine();
    report.finds("error", "config", "No module named 'nowhere'", "`snakebridge config");
    let machine = Machine::new();
    machine.write("project/snakebridge.toml", toml);
    let output = machine.arg("--pool").arg("b").command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "error: no pool `b` is declared; known: `a`\n");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn limits_are_too_tight() {
    for (limits, check, message, remedy) in [
        ("ulimit -n 128", "limit.files", "no more than 128 open files", "ulimit -n"),
        ("ulimit -v 4000000", "limit.memory", "4096000000 bytes of address space", "memory_limit"),
        ("ulimit -f 2048", "limit.file-size", "1048576 bytes in a file", "ulimit -f unlimited"),
        ("ulimit -t 500", "limit.cpu-time", "500 seconds of CPU time", "ulimit -t unlimited"),
    ] {
        Machine::with_limits(limits).examine().finds("warning", check, message, remedy);
    }
}

#[test]
fn findings_as_people_read_them() {
    let mut machine = Machine::new();
    machine.command = Command::new(env!("CARGO_BIN_EXE_snakebridge"));
    let mut command = machine.command;
    let output = command
        .args(["doctor", "--import", "no_such_package", "--import", "json"])
        .env_clear()
        .env("PATH", machine.root.path().join("bin"))
        .env("HOME", machine.root.path().join("home"))
        .env("VIRTUAL_ENV", "/nowhere")
        .env("SNAKEBRIDGE_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    insta::with_settings!({
        filters => [
            (r"/[^ `\n]*/worker-[0-9a-f]+", "[CACHE]"),
            (r"Python \d+\.\d+\.\d+ \(\w+\): [^,]+", "Python [VERSION]: [FILE]"),
            (r"/[^ `\n]*/__init__.py", "[FILE]"),
            (r"`[^ `]+ -m pip", "`[PYTHON] -m pip"),
            (r"in /[^ `\n]+", "in [PREFIX]"),
            (r"packages go to .*", "packages go to [SITE]"),
            (r"starts in \S+, a call takes \S+", "starts in [TIME], a call takes [TIME]"),
            (r"temporary        .*", "temporary        [FOLDER]"),
            (r"(?m)^\w+ +(sandbox|packages|space) .*\n", ""),
        ]
    }, {
        insta::assert_snapshot!(shown, @r#"
        ok       cache            [CACHE]
        ok       interpreter      Python [VERSION]: [FILE], `python3` on PATH
        warning  environment      $VIRTUAL_ENV is `/nowhere`, which does not exist
                                  remedy: leave it (`deactivate`, or unset the variable), or make it
        error    import           there is no module `no_such_package` in [PREFIX]
                                  remedy: `[PYTHON] -m pip install no_such_package`, if its package has that name; or `--path DIR`
        ok       import           json 2.0.9: [FILE]
        ok       call             a worker starts in [TIME], a call takes [TIME]
        ok       temporary        [FOLDER]
        ok       memory.shared    arrays can be shared with Python
        ok       limits           none that is too tight

        1 error, 1 warning.
        "#);
    });
}
