//! That nothing is left of a host that is killed: no process, no file.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{eventually, kill, quiet};
use snakebridge::{Bridge, BridgeBuilder, Pool};

/// Which host the test program is to be, and a name by which all that it starts is found.
const HOST: &str = "SNAKEBRIDGE_TEST_HOST";
const MARK: &str = "SNAKEBRIDGE_TEST_MARK";

/// What the child of the tests is: a host with two workers, until it is killed.
#[test]
fn host() {
    let Ok(kind) = std::env::var(HOST) else { return };
    match kind.as_str() {
        "busy" => be_busy(&quiet().workers(2).build().unwrap()),
        "made by a thread that has ended" => {
            let made = std::thread::spawn(|| quiet().workers(2).build().unwrap());
            be_busy(&made.join().unwrap());
        }
        #[cfg(feature = "tokio")]
        "async" => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            let py = runtime.block_on(async {
                let py = quiet().workers(2).build().unwrap();
                py.exec("gc", "collect", ()).await.unwrap();
                py
            });
            runtime.spawn(py.exec("builtins", "exec", (IN_PYTHON,)).no_timeout().into_future());
            runtime.spawn(py.exec("builtins", "exec", (in_c(),)).no_timeout().into_future());
            runtime.block_on(std::future::pending::<()>());
        }
        "importing" => {
            let folder = std::env::var("TMPDIR").unwrap();
            let pool = Pool::new().module_path(folder).preload("fixture").fork_server(true);
            quiet().pool("default", pool).build().unwrap().ready().unwrap();
        }
        #[cfg(feature = "confine")]
        "confined" => {
            let confine = snakebridge::Confine::new().write(std::env::temp_dir());
            be_busy(&quiet().workers(2).confine(confine).build().unwrap());
        }
        "forked" => be_busy(&forking().build().unwrap()),
        "starting" | "starting to fork" => {
            let builder = if kind == "starting" { quiet().workers(2) } else { forking() };
            let py = builder.build().unwrap();
            println!("\nbegun");
            py.ready().unwrap();
            loop {
                py.exec("gc", "collect", ()).wait().unwrap();
            }
        }
        other => panic!("no such host: {other}"),
    }
}

fn forking() -> BridgeBuilder {
    let pool = Pool::new().workers(2).preload("xml.dom.minidom").fork_server(true);
    quiet().pool("default", pool)
}

const IN_PYTHON: &str = "while True: sum(range(9999))";

/// C code that keeps the interpreter to itself. The worker has settled when it has been there for a
/// while.
fn in_c() -> String {
    in_c_after(&std::env::temp_dir().join("in-c"))
}

fn in_c_after(file: &Path) -> String {
    format!(
        "import itertools, time; time.sleep(0.5); open({file:?}, 'w'); sum(itertools.repeat(1))"
    )
}

fn be_busy(py: &Bridge) {
    let code = in_c();
    std::thread::scope(|threads| {
        threads.spawn(|| py.exec("builtins", "exec", (IN_PYTHON,)).no_timeout().wait());
        threads.spawn(|| py.exec("builtins", "exec", (code,)).no_timeout().wait());
    });
}

fn start(kind: &str, mark: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host", "--nocapture"])
        .env(HOST, kind)
        .env(MARK, mark)
        .env("TMPDIR", folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Processes that have the mark in their environment, the dead ones left out.
fn left(mark: &str) -> Vec<i32> {
    let line = format!("{MARK}={mark}").into_bytes();
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == line)
        })
        .collect()
}

/// Kills a host whose workers have started, and fails if anything of it is there two seconds later.
fn kill_and_look(host: Child, mark: &str) {
    let killed = Instant::now();
    kill_and_wait(host, mark);
    assert!(killed.elapsed() < Duration::from_secs(2), "it took {:?}", killed.elapsed());
}

/// Kills a host, and fails if anything of it does not end. An interpreter that has just begun to start
/// sees that the host is gone when it has started, and that takes as long as the machine is busy.
fn kill_and_wait(mut host: Child, mark: &str) {
    kill(host.id().try_into().unwrap());
    host.wait().unwrap();
    eventually("all that it has started has ended", || left(mark).is_empty());
}

fn nothing_is_left_of(kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mark = format!("{}-{}", std::process::id(), kind.replace(' ', "-"));
    let host = start(kind, &mark, folder.path());
    let file = folder.path().join("in-c");
    eventually("one worker is in C code", || file.exists());
    assert!(left(&mark).len() >= 3, "the host and two workers");
    kill_and_look(host, &mark);
    std::fs::remove_file(file).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "files were left");
}

#[test]
fn nothing_is_left_of_a_host_with_busy_workers() {
    nothing_is_left_of("busy");
}

#[test]
fn nothing_is_left_of_a_host_whose_bridge_was_made_by_a_thread_that_has_ended() {
    nothing_is_left_of("made by a thread that has ended");
}

#[cfg(feature = "confine")]
#[test]
fn nothing_is_left_of_a_host_with_confined_workers() {
    if snakebridge::ConfineSupport::of_kernel().is_complete() {
        nothing_is_left_of("confined");
    }
}

#[test]
fn nothing_is_left_of_a_host_with_forked_workers() {
    nothing_is_left_of("forked");
}

#[test]
fn nothing_is_left_of_a_host_whose_fork_server_is_in_c_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in-c");
    std::fs::write(folder.path().join("fixture.py"), in_c_after(&file)).unwrap();
    let mark = format!("{}-importing", std::process::id());
    let host = start("importing", &mark, folder.path());
    eventually("the fork server is in C code", || file.exists());
    assert!(left(&mark).len() >= 2, "the host and the fork server");
    kill_and_look(host, &mark);
}

#[cfg(feature = "tokio")]
#[test]
fn nothing_is_left_of_an_async_host() {
    nothing_is_left_of("async");
}

#[test]
fn nothing_is_left_of_a_host_that_is_killed_at_any_moment() {
    killed_at_any_moment("starting");
}

#[test]
fn nothing_is_left_of_a_host_that_is_killed_at_any_moment_while_it_has_workers_forked() {
    killed_at_any_moment("starting to fork");
}

fn killed_at_any_moment(kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    for moment in 0..12_u32 {
        let mark = format!("{}-{}-at-{moment}", std::process::id(), kind.replace(' ', "-"));
        let mut host = start(kind, &mark, folder.path());
        let lines = BufReader::new(host.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line == "begun"));
        // From before there is a process to when both workers serve.
        std::thread::sleep(Duration::from_millis(5) * moment);
        kill_and_wait(host, &mark);
    }
}
