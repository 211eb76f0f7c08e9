//! Several processes, killed ones, and tools that are not what they seem. Each process is this test
//! program again, told by variables what to do.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use common::{Cache, closed_index, has, script, wanted};
use snakebridge_env::{Environments, Options, Progress};
use tempfile::TempDir;

/// What the processes do: make an environment, and say what happens.
#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn process() {
    let var = |name| std::env::var(name).unwrap();
    let options = Options::new().cache_dir(var("TEST_CACHE"));
    let options = options.progress(Progress::new(|event| println!("event: {event}")));
    let limit = std::env::var("TEST_SECONDS").map_or(600, |text| text.parse().unwrap());
    let options = options.timeout(Duration::from_secs(limit));
    let mut wanted = wanted(&["six"]);
    wanted.python = std::env::var("TEST_PYTHON").ok();
    wanted.index.url = std::env::var("TEST_INDEX").ok();
    match Environments::new(options).unwrap().get(&wanted) {
        Ok(found) => println!("made: {}", found.python.display()),
        Err(error) => println!("error: {:?}: {error}", error.kind()),
    }
}

fn start(cache: &Path, set: impl FnOnce(&mut Command)) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["process", "--exact", "--ignored", "--nocapture", "--quiet"])
        .env("TEST_CACHE", cache)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    set(&mut command);
    let mut child = command.spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

/// Reads until a line has this text; gives all that was read.
fn read_to(stdout: &mut BufReader<ChildStdout>, text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in stdout.lines() {
        out.push(line.unwrap());
        if out.last().unwrap().contains(text) {
            return out;
        }
    }
    panic!("the process ended before it said `{text}`, but said {out:#?}");
}

#[test]
fn of_processes_at_the_same_time_one_makes_it_and_all_have_it() {
    let cache = Cache::new();
    // So that uv is there already.
    cache.get(&["idna"]).unwrap();
    let mut children: Vec<_> = (0..4).map(|_| start(cache.path(), |_| ())).collect();
    let said: Vec<Vec<String>> =
        children.iter_mut().map(|(_, stdout)| read_to(stdout, "made: ")).collect();
    let makers =
        said.iter().flatten().filter(|line| line.contains("event: making an environment with six"));
    assert_eq!(makers.count(), 1, "{said:#?}");
    for (mut child, _) in children {
        assert!(child.wait().unwrap().success());
    }
    assert!(has(&cache.get(&["six"]).unwrap(), "six"));
}

/// A uv that waits in the middle until something is written to the second file.
fn slow_uv(cache: &Cache) -> (PathBuf, PathBuf, TempDir) {
    let temp = tempfile::tempdir().unwrap();
    let (fifo, uv) = (temp.path().join("fifo"), cache.path().join("tools/uv/bin/uv"));
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let slow = script(
        temp.path(),
        "uv",
        &format!(
            "case \"$1\" in pip) echo waiting in the middle; read line < {fifo};; esac\nexec {uv} \"$@\"",
            fifo = fifo.display(),
            uv = uv.display()
        ),
    );
    (slow, fifo, temp)
}

#[test]
fn who_has_waited_for_another_one_is_told_that_it_is_there() {
    let cache = Cache::new();
    cache.get(&["idna"]).unwrap();
    let (slow, fifo, _temp) = slow_uv(&cache);
    let (mut first, mut said) = start(cache.path(), |command| {
        command.env("SNAKEBRIDGE_UV", &slow);
    });
    read_to(&mut said, "waiting in the middle");
    let (mut second, mut said_second) = start(cache.path(), |_| ());
    read_to(&mut said_second, "event: waiting for another process");
    fs::write(&fifo, "go on\n").unwrap();
    read_to(&mut said_second, "event: another process has made the environment");
    read_to(&mut said_second, "made: ");
    read_to(&mut said, "made: ");
    assert!(first.wait().unwrap().success() && second.wait().unwrap().success());
}

#[test]
fn who_comes_after_one_that_was_killed_waits_for_its_tool_and_begins_anew() {
    let cache = Cache::new();
    cache.get(&["idna"]).unwrap();
    // It then writes where the next one may be at work.
    let (slow, fifo, _temp) = slow_uv(&cache);
    let (mut first, mut said) = start(cache.path(), |command| {
        command.env("SNAKEBRIDGE_UV", &slow);
    });
    read_to(&mut said, "waiting in the middle");
    first.kill().unwrap();
    first.wait().unwrap();

    let (mut second, mut said) = start(cache.path(), |_| ());
    read_to(&mut said, "event: waiting for another process");
    fs::write(&fifo, "go on\n").unwrap();
    let said = read_to(&mut said, "made: ");
    assert!(said.iter().any(|line| line.contains("anew: its making was interrupted")), "{said:#?}");
    assert!(second.wait().unwrap().success());
    assert!(has(&cache.get(&["six"]).unwrap(), "six"));
}

#[test]
fn without_network_nothing_is_left_and_the_next_try_works() {
    let cache = Cache::new();
    cache.get(&["idna"]).unwrap();
    let (mut child, mut said) = start(cache.path(), |command| {
        // The first failure is the last.
        command.env("UV_HTTP_RETRIES", "0").env("TEST_INDEX", closed_index());
    });
    read_to(
        &mut said,
        "error: Network: cannot install packages with uv: the package index cannot be reached: ",
    );
    assert!(child.wait().unwrap().success());
    let left = fs::read_dir(cache.path().join("environments")).unwrap();
    let left = left.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(left, 1, "only what was there before");
    assert!(has(&cache.get(&["six"]).unwrap(), "six"));
}

#[test]
fn a_tool_that_takes_too_long_is_stopped() {
    let cache = Cache::new();
    let temp = tempfile::tempdir().unwrap();
    let uv = script(temp.path(), "uv", "echo thinking; exec sleep 600");
    let (mut child, mut said) = start(cache.path(), |command| {
        command.env("SNAKEBRIDGE_UV", &uv).env("TEST_SECONDS", "1");
    });
    read_to(
        &mut said,
        "error: Timeout: cannot make an environment with uv in the time there is, the last it said is \
         `thinking`",
    );
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_python_that_is_not_here_is_downloaded_by_uv() {
    let cache = Cache::new();
    let temp = tempfile::tempdir().unwrap();
    let (pythons, log) = (temp.path().join("pythons"), temp.path().join("log"));
    let bin = pythons.join("cpython-3.98.1-linux-x86_64-gnu/bin");
    // It "downloads" a Python that answers as one does, and makes nothing with it.
    let answer = format!(
        r#"{{"executable": "{}", "version": "3.98.1", "abi": "a", "implementation": "cpython"}}"#,
        bin.join("python3").display()
    );
    let downloads = format!(
        "echo \"$@\" >> {log}\ncase \"$1 $2\" in\n'python install')\nmkdir -p {bin}\n\
         printf '#!/bin/sh\\necho '\"'\"'%s'\"'\"'\\n' '{answer}' > {bin}/python3\nchmod +x {bin}/python3;;\n\
         *) echo not in this test >&2; exit 1;;\nesac",
        log = log.display(),
        bin = bin.display(),
    );
    let fails = "echo error: Failed to download it >&2; exit 2";
    for (text, expected) in [
        (fails, "and uv cannot get one: cannot download Python >=3.98: Failed to download it"),
        (&downloads, "error: Other: cannot make an environment with uv: not in this test"),
    ] {
        let uv = script(temp.path(), "uv", text);
        let (_, mut said) = start(cache.path(), |command| {
            command
                .env("SNAKEBRIDGE_UV", &uv)
                .env("UV_PYTHON_INSTALL_DIR", &pythons)
                .env_remove("SNAKEBRIDGE_PYTHON")
                .env("TEST_PYTHON", ">=3.98");
        });
        read_to(&mut said, expected);
    }
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.starts_with("python install --no-progress --color never >=3.98\nvenv "), "{log}");
    assert!(log.contains(bin.join("python3").to_str().unwrap()), "{log}");
}
