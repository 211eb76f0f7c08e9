//! Workers that are forked from a process that has imported their modules.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::collections::HashSet;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{eventually, is_running, kill, meet, quiet, worker_pid};
use snakebridge::{
    Bridge, BridgeBuilder, Bytes, ErrorKind, Output, OutputEvent, Pending, Pool, Ref, Result,
    Value, WorkerState,
};

/// A module that notes each import in a file beside it.
const COUNTED: &str = "import os, pathlib\n\
    with open(pathlib.Path(__file__).with_name('imports'), 'a') as imports: imports.write('.')\n\
    server = os.getpid()\n";

/// A pool that has a fork server preload this source as the module `fixture`.
fn forking(folder: &Path, source: &str) -> Pool {
    std::fs::write(folder.join("fixture.py"), source).unwrap();
    Pool::new().module_path(folder).preload("fixture").fork_server(true)
}

fn bridge_with(source: &str, workers: usize) -> (Bridge, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let pool = forking(folder.path(), source).workers(workers);
    (quiet().pool("default", pool).build().unwrap(), folder)
}

/// How often the module was imported.
fn imports(folder: &Path) -> usize {
    std::fs::read(folder.join("imports")).unwrap().len()
}

fn server_pid(py: &Bridge) -> i32 {
    py.get("fixture", "server").wait().unwrap()
}

fn works(py: &Bridge) {
    let root: f64 = py.call("math", "sqrt", (16,)).wait().unwrap();
    assert_eq!(root, 4.0);
}

#[test]
fn modules_are_imported_once_for_all_workers() {
    let (py, folder) = bridge_with(COUNTED, 3);
    let pids: HashSet<i32> = meet(&py, 3).into_iter().collect();
    assert_eq!(pids.len(), 3);
    assert!(!pids.contains(&server_pid(&py)));
    assert_eq!(imports(folder.path()), 1);
}

#[test]
fn many_workers_come_at_once_and_end_at_once() {
    let (py, folder) = bridge_with(COUNTED, 16);
    let pids: HashSet<i32> = meet(&py, 16).into_iter().collect();
    assert_eq!(pids.len(), 16);
    pids.iter().for_each(|pid| kill(*pid));
    eventually("all are replaced", || {
        let workers = &py.status().unwrap().pools[0].workers;
        workers.iter().all(|one| one.generation == 1 && one.state == WorkerState::Idle)
    });
    let next: HashSet<i32> = meet(&py, 16).into_iter().collect();
    assert!(next.is_disjoint(&pids));
    assert_eq!(imports(folder.path()), 1);
}

#[test]
fn forked_workers_are_like_others() {
    let folder = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    let pool = forking(folder.path(), COUNTED)
        .env("SNAKEBRIDGE_TEST", "yes")
        .env_remove("HOME")
        .current_dir(place.path())
        .memory_limit(1 << 30);
    let py = quiet().pool("default", pool).build().unwrap();
    let python = py.ready().unwrap();
    let executable: String = py.get("sys", "executable").wait().unwrap();
    assert_eq!(python.executable.to_str(), Some(executable.as_str()));
    assert_eq!(py.call::<String>("os", "getenv", ("SNAKEBRIDGE_TEST",)).wait().unwrap(), "yes");
    assert!(py.call::<Value>("os", "getenv", ("HOME",)).wait().unwrap().is_none());
    let current: String = py.call("os", "getcwd", ()).wait().unwrap();
    assert_eq!(Path::new(&current), place.path().canonicalize().unwrap());
    let path: Vec<String> = py.get("sys", "path").wait().unwrap();
    let module_path = folder.path().to_str().unwrap();
    assert_eq!(path.iter().filter(|entry| *entry == module_path).count(), 1, "{path:?}");
    assert_eq!(path[0], module_path);
    assert_eq!(py.get::<Vec<String>>("sys", "argv").wait().unwrap(), [""]);
    assert_eq!(py.call::<String>("sys", "stdin.read", ()).wait().unwrap(), "");
    let pid = worker_pid(&py);
    assert_eq!(py.call::<i32>("os", "getpgid", (0,)).wait().unwrap(), pid);
    let main: Ref = py.call("threading", "main_thread", ()).wait().unwrap();
    let current: Ref = py.call("threading", "current_thread", ()).wait().unwrap();
    assert!(main.method::<bool>("__eq__", (&current,)).wait().unwrap());
    let error = py.exec("builtins", "bytearray", (2_u64 << 30,)).wait().unwrap_err();
    assert_eq!(error.python().unwrap().type_name(), "MemoryError");
    assert_eq!(worker_pid(&py), pid);
    // No descriptor of the fork server or of other workers is left open.
    let open = |py: &Bridge| -> Vec<String> {
        py.call("os", "listdir", ("/proc/self/fd",)).wait().unwrap()
    };
    assert_eq!(open(&py).len(), open(&common::bridge()).len());
}

#[test]
fn workers_do_not_share_random_numbers_or_state() {
    let (py, _folder) = bridge_with("import random\nseen = []\n", 2);
    let numbers: HashSet<u64> =
        common::meet_for::<u64>(&py, 2, "__import__('random').getrandbits(60)")
            .into_iter()
            .collect();
    assert_eq!(numbers.len(), 2);
    let lengths: Vec<usize> = common::meet_for(
        &py,
        2,
        "(__import__('fixture').seen.append(1), len(__import__('fixture').seen))[1]",
    );
    assert_eq!(lengths, [1, 1]);
}

#[test]
fn a_worker_that_is_killed_is_replaced_by_another_fork() {
    let (py, folder) = bridge_with(COUNTED, 1);
    let (pid, server) = (worker_pid(&py), server_pid(&py));
    let code = "import os; os.kill(os.getpid(), 9)";
    let error = py.exec("builtins", "exec", (code,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerLost);
    assert!(error.to_string().contains("was killed by signal 9 (SIGKILL)"), "{error}");
    works(&py);
    assert_ne!(worker_pid(&py), pid);
    assert_eq!(server_pid(&py), server);
    assert_eq!(imports(folder.path()), 1);
    assert!(!is_running(pid));
}

#[test]
fn how_a_worker_has_ended_is_known() {
    let source = "import ctypes, os\ndef crash(): ctypes.string_at(0)\n\
        def leave_child():\n    if os.fork() == 0:\n        import time\n        time.sleep(300)\n    \
        os._exit(3)\n";
    let (py, _folder) = bridge_with(source, 1);
    let error = py.exec("os", "_exit", (7,)).wait().unwrap_err();
    assert_eq!(error.to_string(), "os._exit: the worker exited with code 7 during the call");
    let error = py.exec("fixture", "crash", ()).wait().unwrap_err();
    assert!(error.to_string().contains("signal 11 (SIGSEGV)"), "{error}");
    let shown = format!("{error:?}");
    assert!(shown.contains("Fatal Python error: Segmentation fault"), "{shown}");
    assert!(shown.contains("in crash"), "{shown}");
    let error = py.exec("fixture", "leave_child", ()).wait().unwrap_err();
    assert!(error.to_string().contains("exited with code 3"), "{error}");
    works(&py);
}

#[test]
fn grandchildren_die_with_a_killed_worker() {
    let (py, _folder) = bridge_with("", 1);
    let child: Ref = py.call("subprocess", "Popen", (["sleep", "300"],)).wait().unwrap();
    let child: i32 = child.attr("pid").wait().unwrap();
    assert!(is_running(child));
    kill(worker_pid(&py));
    eventually("the grandchild is gone", || !is_running(child));
}

#[test]
fn no_zombies_pile_up() {
    let (py, _folder) = bridge_with("import os\nserver = os.getpid()\n", 1);
    let server = server_pid(&py);
    for _ in 0..5 {
        py.exec("os", "_exit", (1,)).wait().unwrap_err();
    }
    works(&py);
    let children = format!("/proc/{server}/task/{server}/children");
    let children = std::fs::read_to_string(children).unwrap();
    assert_eq!(children.split_whitespace().count(), 1, "{children}");
}

#[test]
fn a_fork_server_that_is_killed_takes_its_workers_along_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (builder, seen) = listen();
    let pool = forking(folder.path(), COUNTED).workers(2);
    let py = builder.pool("default", pool).build().unwrap();
    let pids = meet(&py, 2);
    let server = server_pid(&py);
    let list: Ref = py.call("builtins", "list", ([1],)).wait().unwrap();
    let child: Ref = py.call("subprocess", "Popen", (["sleep", "300"],)).wait().unwrap();
    let child: i32 = child.attr("pid").wait().unwrap();
    let code = format!("import os, time; os.kill({server}, 9); time.sleep(300)");
    let error = py.exec("builtins", "exec", (code,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerLost);
    let how = "was lost with its fork server, which was killed by signal 9 (SIGKILL)";
    assert!(error.to_string().contains(how), "{error}");
    works(&py);
    assert_eq!(list.len().wait().unwrap_err().kind(), ErrorKind::RefLost);
    let next = meet(&py, 2);
    assert!(!next.iter().any(|pid| pids.contains(pid)));
    assert_ne!(server_pid(&py), server);
    assert_eq!(imports(folder.path()), 2);
    eventually("nothing of the old ones is left", || {
        !pids.iter().chain([&server, &child]).any(|pid| is_running(*pid))
    });
    py.shutdown();
    assert!(seen.try_iter().any(|seen| seen == "lost: was killed by signal 9 (SIGKILL)"));
}

#[test]
fn calls_are_made_again_when_the_fork_server_is_lost() {
    let source = "import os, pathlib\nserver = os.getpid()\ndef fragile(folder):\n    \
        path = pathlib.Path(folder, 'begun')\n    if path.exists(): return 'done'\n    \
        path.touch()\n    os.kill(server, 9)\n    import time\n    time.sleep(300)\n";
    let (py, folder) = bridge_with(source, 1);
    let done: String =
        py.call("fixture", "fragile", (folder.path(),)).idempotent(true).wait().unwrap();
    assert_eq!(done, "done");
}

#[test]
fn a_module_that_starts_a_thread_is_refused() {
    let source = "import threading\nthreading.Thread(\
        target=threading.Event().wait, name='watcher', daemon=True).start()\n";
    let (py, folder) = bridge_with(source, 2);
    for _ in 0..2 {
        let error = py.exec("gc", "collect", ()).wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert_eq!(
            error.to_string(),
            "gc.collect: `fixture`, which the fork server was to preload, has started a thread \
             (`watcher`), which a forked process would lack"
        );
        assert!(error.hint().unwrap().contains("Pool::threads(1)"));
    }
    // A thread that has ended is none.
    let source = "import threading\nthread = threading.Thread(target=int)\nthread.start()\n";
    let pool = forking(folder.path(), source);
    let py = quiet().pool("default", pool).build().unwrap();
    works(&py);
}

#[test]
fn a_module_that_makes_use_of_a_gpu_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let torch = "class cuda:\n    is_initialized = staticmethod(lambda: True)\n";
    std::fs::write(folder.path().join("torch.py"), torch).unwrap();
    let pool = forking(folder.path(), "import torch\n");
    let py = quiet().pool("default", pool).build().unwrap();
    let error = py.ready().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let reason = "has made use of a GPU (torch has initialized it)";
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn a_module_that_raises_is_an_error_with_its_reason() {
    let (py, _folder) = bridge_with("raise ValueError('not today')\n", 2);
    let error = py.ready().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spawn);
    assert!(error.to_string().contains("saying `ValueError: not today`"), "{error}");
    assert!(format!("{error:?}").contains("fixture.py"), "{error:?}");
}

#[test]
fn a_start_that_failed_is_tried_again() {
    let source = "import pathlib\nassert pathlib.Path(__file__).with_name('go').exists()\n";
    let (py, folder) = bridge_with(source, 1);
    assert_eq!(py.ready().unwrap_err().kind(), ErrorKind::Spawn);
    std::fs::write(folder.path().join("go"), "").unwrap();
    eventually("it works now", || py.ready().is_ok());
}

#[test]
fn a_fork_server_that_takes_too_long_is_given_up() {
    // The one that is found to work, so that others are not tried.
    let python = common::bridge().ready().unwrap().executable;
    let folder = tempfile::tempdir().unwrap();
    let source = format!("{COUNTED}import time\ntime.sleep(300)\n");
    let pool = forking(folder.path(), &source)
        .python(python.to_str().unwrap())
        .start_timeout(Duration::from_millis(500));
    let py = quiet().pool("default", pool).build().unwrap();
    let error = py.ready().unwrap_err();
    assert!(error.to_string().contains("did not start within 500ms"), "{error}");
}

#[test]
fn a_fork_server_that_answers_no_more_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let pool = forking(folder.path(), COUNTED).start_timeout(Duration::from_secs(2));
    let py = quiet().pool("default", pool.workers_between(0, 2)).build().unwrap();
    let server = server_pid(&py);
    let stop = format!("import os, signal; os.kill({server}, signal.SIGSTOP)");
    py.exec("builtins", "exec", (stop,)).wait().unwrap();
    std::thread::scope(|threads| {
        let first = threads.spawn(|| py.exec("time", "sleep", (300,)).wait().unwrap_err());
        eventually("the worker is busy", || {
            let workers = &py.status().unwrap().pools[0].workers;
            workers.iter().any(|worker| worker.state == WorkerState::Busy)
        });
        // It waits for a worker that will never be there, and then for a new fork server.
        py.exec("gc", "collect", ()).wait().unwrap();
        let error = first.join().unwrap();
        assert_eq!(error.kind(), ErrorKind::WorkerLost);
        assert!(error.to_string().contains("was lost with its fork server"), "{error}");
    });
    eventually("there is a new one", || {
        py.get::<i32>("fixture", "server").wait().is_ok_and(|new| new != server)
    });
}

#[test]
fn shutdown_leaves_nothing() {
    let (py, _folder) = bridge_with(COUNTED, 2);
    let mut pids = meet(&py, 2);
    pids.push(server_pid(&py));
    drop(py);
    assert!(!pids.iter().any(|pid| is_running(*pid)), "they have ended when the drop has");
}

#[test]
fn shutdown_while_a_call_runs_or_a_module_is_imported() {
    let (py, _folder) = bridge_with(COUNTED, 1);
    let pids = [worker_pid(&py), server_pid(&py)];
    let running: Pending<()> = py.exec("time", "sleep", (300,)).start();
    py.shutdown();
    assert!(!pids.iter().any(|pid| is_running(*pid)));
    running.wait().unwrap_err();

    let (py, folder) = bridge_with(&format!("{COUNTED}import time\ntime.sleep(300)\n"), 1);
    eventually("the import has begun", || folder.path().join("imports").exists());
    py.shutdown();
}

#[test]
fn exit_handlers_run_in_each_worker_and_not_in_the_fork_server() {
    let source = "import atexit, os, pathlib\n\
        atexit.register(lambda: pathlib.Path(__file__).with_name(f'{os.getpid()}.end').touch())\n";
    let (py, folder) = bridge_with(source, 2);
    let mut pids = meet(&py, 2);
    drop(py);
    let entries = std::fs::read_dir(folder.path()).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut ended: Vec<i32> = names
        .filter_map(|name| name.strip_suffix(".end").and_then(|pid| pid.parse().ok()))
        .collect();
    pids.sort_unstable();
    ended.sort_unstable();
    assert_eq!(pids, ended);
}

#[test]
fn workers_come_and_go_with_the_calls() {
    let folder = tempfile::tempdir().unwrap();
    let pool =
        forking(folder.path(), COUNTED).workers_between(0, 3).idle_limit(Duration::from_millis(50));
    let py = quiet().pool("default", pool).build().unwrap();
    for _ in 0..3 {
        let pids = meet(&py, 3);
        eventually("all have ended", || !pids.iter().any(|pid| is_running(*pid)));
    }
    assert_eq!(imports(folder.path()), 1);
}

#[test]
fn event_loops_run_in_forked_workers() {
    let folder = tempfile::tempdir().unwrap();
    let source = format!(
        "{COUNTED}import asyncio\nrunning = 0\nasync def together(n):\n    global running\n    \
         running += 1\n    while running < n: await asyncio.sleep(0)\n    return os.getpid()\n"
    );
    let pool = forking(folder.path(), &source).asyncio(50);
    let py = quiet().pool("default", pool).build().unwrap();
    let calls: Vec<Pending<i32>> =
        (0..50).map(|_| py.call("fixture", "together", (50,)).awaited().start()).collect();
    let pids: Result<HashSet<i32>> = calls.into_iter().map(Pending::wait).collect();
    assert_eq!(pids.unwrap().len(), 1);
    let limit = Duration::from_millis(50);
    let error = py.exec("asyncio", "sleep", (300,)).awaited().timeout(limit).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(imports(folder.path()), 1);
}

/// A builder whose events are collected, as text.
fn listen() -> (BridgeBuilder, Receiver<String>) {
    let (sender, seen) = channel();
    let sender = Mutex::new(sender);
    let handler = move |event: OutputEvent<'_>| {
        let text = match event {
            OutputEvent::Printed(piece) => String::from_utf8_lossy(piece.data).into_owned(),
            OutputEvent::Log(record) => format!("log: {}", record.message),
            OutputEvent::Warning(warning) => format!("warning: {}", warning.message),
            OutputEvent::ForkServerLost { how, .. } => format!("lost: {how}"),
            other => panic!("{other:?}"),
        };
        let _ = sender.lock().unwrap().send(text);
    };
    (Bridge::builder().output(Output::Handler(Arc::new(handler))), seen)
}

#[test]
fn output_and_events_come_from_the_workers() {
    let folder = tempfile::tempdir().unwrap();
    let source = "import logging, sys, warnings\nprint('while it is imported')\n\
        sys.stdout.write('half a line')\n\
        def work():\n    print('from Python')\n    logging.error('logged')\n    \
        warnings.warn('warned')\n";
    let (builder, seen) = listen();
    let pool = forking(folder.path(), source).workers(2);
    let py = builder.pool("default", pool).build().unwrap();
    meet(&py, 2);
    py.exec("fixture", "work", ()).wait().unwrap();
    py.exec("os", "write", (1, Bytes::from(b"raw\n"))).wait().unwrap();
    py.exec("os", "system", ("echo from a child",)).wait().unwrap();
    py.shutdown();
    let seen: Vec<String> = seen.try_iter().collect();
    for event in ["log: logged", "warning: warned"] {
        assert!(seen.iter().any(|seen| seen == event), "{event}: {seen:?}");
    }
    let printed: String = seen.into_iter().filter(|seen| !seen.contains(": ")).collect();
    for text in
        ["while it is imported\n", "half a line", "from Python\n", "raw\n", "from a child\n"]
    {
        assert_eq!(printed.matches(text).count(), 1, "{text}: {printed}");
    }
}

#[test]
fn time_limits_and_interrupts_work() {
    let source = "def stubborn():\n    while True:\n        try:\n            while True: sum(range(999))\n        \
         except BaseException: pass\n";
    let (py, _folder) = bridge_with(source, 1);
    let list: Ref = py.call("builtins", "list", ([1],)).wait().unwrap();
    let pid = worker_pid(&py);
    let limit = Duration::from_millis(50);
    let error = py.exec("time", "sleep", (300,)).timeout(limit).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(list.len().wait().unwrap(), 1, "an interrupt was enough");
    let error = py.exec("fixture", "stubborn", ()).timeout(limit).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    works(&py);
    assert!(!is_running(pid));
    assert_eq!(list.len().wait().unwrap_err().kind(), ErrorKind::RefLost);
}

#[test]
fn stacks_say_what_a_forked_worker_does() {
    let source = "import pathlib\ndef busy(folder):\n    folder = pathlib.Path(folder)\n    \
        (folder / 'begun').touch()\n    while not (folder / 'go').exists(): pass\n";
    let (py, folder) = bridge_with(source, 1);
    let worker = py.status().unwrap().pools[0].workers[0].id;
    let call: Pending<()> = py.exec("fixture", "busy", (folder.path(),)).start();
    eventually("the call has begun", || folder.path().join("begun").exists());
    let stacks = py.dump_stacks(worker).unwrap();
    assert!(stacks.contains("fixture.py\", line 5 in busy"), "{stacks}");
    std::fs::write(folder.path().join("go"), "").unwrap();
    call.wait().unwrap();
}

#[test]
fn a_python_that_is_too_old_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let python = folder.path().join("python");
    let refusal =
        "#!/bin/sh\nprintf '\\001\\142\\0\\0\\0\\0\\0\\0\\005\\0\\0\\0\\0\\0\\0\\0002.7.1' >&0\n";
    std::fs::write(&python, refusal).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&python, mode).unwrap();
    let pool = Pool::new().python(python.to_str().unwrap()).fork_server(true);
    let py = quiet().pool("default", pool).build().unwrap();
    let error = py.ready().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error:?}");
    assert!(error.to_string().contains("is Python 2.7.1"), "{error}");
}
