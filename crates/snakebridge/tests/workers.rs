//! What workers are like: their interpreter, their surroundings, their output.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{bridge, bridge_with, builder_with, eventually, quiet};
use snakebridge::{Bridge, ErrorKind, Output, OutputEvent, Pool, Ref, Value};

#[test]
fn surroundings() {
    let folder = tempfile::tempdir().unwrap();
    let py = quiet()
        .env("SNAKEBRIDGE_TEST", "yes")
        .env_remove("HOME")
        .current_dir(folder.path())
        .build()
        .unwrap();
    assert_eq!(py.call::<String>("os", "getenv", ("SNAKEBRIDGE_TEST",)).wait().unwrap(), "yes");
    assert!(py.call::<Value>("os", "getenv", ("HOME",)).wait().unwrap().is_none());
    let current: String = py.call("os", "getcwd", ()).wait().unwrap();
    assert_eq!(std::path::Path::new(&current), folder.path().canonicalize().unwrap());
    let path: Vec<String> = py.get("sys", "path").wait().unwrap();
    assert!(!path.contains(&String::new()), "the current folder is not on the path: {path:?}");
    assert!(!path.iter().any(|entry| entry.contains("snakebridge")), "{path:?}");
    let argv: Vec<String> = py.get("sys", "argv").wait().unwrap();
    assert_eq!(argv, [""]);
    let stdin: String = py.call("sys", "stdin.read", ()).wait().unwrap();
    assert_eq!(stdin, "");
}

#[test]
fn module_paths_come_first_and_in_order() {
    let (builder, first) = builder_with("NAME = 'first'\n");
    let second = tempfile::tempdir().unwrap();
    std::fs::write(second.path().join("fixture.py"), "NAME = 'second'\n").unwrap();
    let py = builder.module_path(second.path()).build().unwrap();
    assert_eq!(py.get::<String>("fixture", "NAME").wait().unwrap(), "first");
    drop(first);
}

#[test]
fn calls_run_on_the_main_thread() {
    let py = bridge();
    let main: Ref = py.call("threading", "main_thread", ()).wait().unwrap();
    let current: Ref = py.call("threading", "current_thread", ()).wait().unwrap();
    assert!(main.method::<bool>("__eq__", (&current,)).wait().unwrap());
    let set: Value = py.call("signal", "getsignal", (10,)).wait().unwrap();
    let _ = set;
}

#[test]
fn multiprocessing_works_and_disturbs_nothing() {
    let (py, _folder) = bridge_with(
        "import multiprocessing\ndef square(n): return n * n\n\
         def squares(method):\n    context = multiprocessing.get_context(method)\n    \
         with context.Pool(2) as pool: return pool.map(square, range(5))\n",
    );
    for method in ["fork", "spawn"] {
        let squares: Vec<i32> = py.call("fixture", "squares", (method,)).wait().unwrap();
        assert_eq!(squares, [0, 1, 4, 9, 16], "{method}");
    }
}

#[test]
fn output_of_all_kinds_is_given_to_the_handler() {
    type Seen = Arc<Mutex<(Vec<u8>, Vec<u8>)>>;
    let seen = Seen::default();
    let sink = Arc::clone(&seen);
    let output = Output::Handler(Arc::new(move |event| {
        let OutputEvent::Printed(piece) = event else { return };
        let mut seen = sink.lock().unwrap();
        match piece.is_stderr {
            false => seen.0.extend_from_slice(piece.data),
            true => seen.1.extend_from_slice(piece.data),
        }
    }));
    let py = Bridge::builder().output(output).build().unwrap();
    py.exec("builtins", "print", ("from Python",)).wait().unwrap();
    py.exec("os", "write", (1, snakebridge::Bytes::from(b"raw\x00\xff\n"))).wait().unwrap();
    py.exec("os", "system", ("echo from a child; echo aside >&2",)).wait().unwrap();
    drop(py);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.0, b"from Python\nraw\x00\xff\nfrom a child\n");
    let stderr = String::from_utf8_lossy(&seen.1);
    assert!(stderr.contains("aside"), "{stderr}");
}

#[test]
fn much_output_that_nobody_wants() {
    let py = bridge();
    py.exec("os", "system", ("yes | head -c 5000000",)).wait().unwrap();
    assert_eq!(py.call::<i64>("builtins", "abs", (-1,)).wait().unwrap(), 1);
}

#[test]
fn modules_that_are_imported_by_another_thread() {
    let folder = tempfile::tempdir().unwrap();
    let (py, _folder) = bridge_with(
        "import threading, sys\ndef begin():\n    \
         threading.Thread(target=lambda: __import__('slow'), daemon=True).start()\n    \
         while 'slow' not in sys.modules: pass\n",
    );
    std::fs::write(
        _folder.path().join("slow.py"),
        "import time\ntime.sleep(0.2)\ndef ready(): return 'ready'\n",
    )
    .unwrap();
    py.exec("fixture", "begin", ()).wait().unwrap();
    assert_eq!(py.call::<String>("slow", "ready", ()).wait().unwrap(), "ready");
    drop(folder);
}

#[test]
fn names_are_looked_up_each_time() {
    let (py, _folder) = bridge_with("def version(): return 1\n");
    assert_eq!(py.call::<i32>("fixture", "version", ()).wait().unwrap(), 1);
    let code = "import fixture; fixture.version = lambda: 2";
    py.exec("builtins", "exec", (code,)).wait().unwrap();
    assert_eq!(py.call::<i32>("fixture", "version", ()).wait().unwrap(), 2);
    py.exec("builtins", "exec", ("import sys; del sys.modules['fixture']",)).wait().unwrap();
    assert_eq!(py.call::<i32>("fixture", "version", ()).wait().unwrap(), 1);
}

#[test]
fn the_python_says_what_it_is() {
    let py = bridge();
    let info = py.ready().unwrap();
    let executable: String = py.get("sys", "executable").wait().unwrap();
    assert_eq!(info.executable.to_str(), Some(executable.as_str()));
    assert_eq!(info.version, py.call::<String>("platform", "python_version", ()).wait().unwrap());
    assert_eq!(info.implementation, "cpython");
    assert!(!info.origin.is_empty());
}

#[test]
fn another_version_than_the_wanted_one_is_not_taken() {
    let error = match quiet().python("3.999").build() {
        Ok(py) => py.ready().unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error.kind(), ErrorKind::Incompatible | ErrorKind::Spawn), "{error:?}");
    assert!(error.to_string().contains("3.999"), "{error}");
}

/// A program in the place of Python.
fn script(folder: &std::path::Path, text: &str) -> String {
    let python = folder.join("python");
    std::fs::write(&python, format!("#!/bin/sh\n{text}\n")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&python, mode).unwrap();
    python.to_str().unwrap().to_owned()
}

/// A builder whose output is collected.
fn collecting() -> (snakebridge::BridgeBuilder, Arc<Mutex<Vec<u8>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let output = Output::Handler(Arc::new(move |event| {
        if let OutputEvent::Printed(piece) = event {
            sink.lock().unwrap().extend_from_slice(piece.data);
        }
    }));
    (Bridge::builder().output(output), seen)
}

#[test]
fn what_programs_that_become_no_worker_print_is_kept_for_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let text = "echo 'pyenv: not installed' >&2\necho 'try another one' >&2\nexit 127";
    let (builder, seen) = collecting();
    let py = builder.python(script(folder.path(), text)).build().unwrap();
    let error = py.ready().unwrap_err();
    drop(py);
    assert_eq!(String::from_utf8_lossy(&seen.lock().unwrap()), "");
    assert!(error.to_string().contains("saying `pyenv: not installed`"), "{error}");
    assert!(format!("{error:?}").contains("try another one"), "{error:?}");
}

#[test]
fn the_last_words_of_a_start_are_there_though_a_child_keeps_the_pipe_open() {
    let folder = tempfile::tempdir().unwrap();
    let text = "echo 'out of order' >&2\nsetsid sleep 1 &\nexit 1";
    let py = quiet().python(script(folder.path(), text)).build().unwrap();
    let error = py.ready().unwrap_err();
    assert!(error.to_string().contains("out of order"), "{error}");
}

#[test]
fn what_is_printed_before_a_worker_is_ready_is_passed_on() {
    let folder = tempfile::tempdir().unwrap();
    let source = "import sys\nprint('in the module')\nprint('aside', file=sys.stderr)\n";
    std::fs::write(folder.path().join("fixture.py"), source).unwrap();
    let (builder, seen) = collecting();
    let pool = Pool::new().module_path(folder.path()).preload("fixture");
    let py = builder.pool("default", pool).build().unwrap();
    py.ready().unwrap();
    drop(py);
    let seen = String::from_utf8_lossy(&seen.lock().unwrap()).into_owned();
    assert!(seen.contains("in the module\n") && seen.contains("aside\n"), "{seen}");
}

#[test]
fn a_start_that_failed_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let python = folder.path().join("python");
    let script = |text: &str| {
        std::fs::write(&python, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&python, mode).unwrap();
    };
    let real = bridge().ready().unwrap().executable;
    script("#!/bin/sh\necho 'out of order' >&2\nexit 1\n");
    let py = quiet().python(python.to_str().unwrap()).build().unwrap();
    let error = py.ready().unwrap_err();
    assert!(error.to_string().contains("out of order"), "{error}");
    let beside = folder.path().join("new");
    std::fs::write(&beside, format!("#!/bin/sh\nexec '{}' \"$@\"\n", real.display())).unwrap();
    std::fs::set_permissions(&beside, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::rename(&beside, &python).unwrap();
    eventually("it works now", || py.ready().is_ok());
}

#[test]
fn a_handler_of_output_that_panics_does_not_block_the_workers() {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let handler = move |event: OutputEvent<'_>| {
        let OutputEvent::Printed(piece) = event else { return };
        seen.fetch_add(piece.data.len(), Ordering::SeqCst);
        panic!("a handler that does not work");
    };
    let py = Bridge::builder().output(Output::Handler(Arc::new(handler))).build().unwrap();
    for _ in 0..5 {
        py.exec("builtins", "print", ("x".repeat(100_000),)).wait().unwrap();
    }
    py.shutdown();
    assert_eq!(count.load(Ordering::SeqCst), 500_005);
}

#[test]
fn settings_that_no_socket_holds_are_an_error_and_do_not_stop_the_bridge() {
    let folder = tempfile::tempdir().unwrap();
    // A program that never reads its settings.
    let python = script(folder.path(), "exec sleep 30");
    let pool = (0..20_000).fold(Pool::new(), |pool, _| pool.module_path(folder.path()));
    let py = quiet().python(python).pool("default", pool).build().unwrap();
    let error = py.exec("gc", "collect", ()).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spawn);
    assert!(error.to_string().contains("are more than fit into a socket"), "{error}");
    assert!(py.is_alive());
}
