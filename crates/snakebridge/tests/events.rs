//! What Python code logs and warns of, as events.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use common::worker_pid;
use snakebridge::{Bridge, LogRecord, Output, OutputEvent, Pool, Ref, WarningRecord, args};

/// An event without what was borrowed.
#[derive(Debug)]
enum Seen {
    Printed(bool, Vec<u8>),
    Log(LogRecord),
    Warning(WarningRecord),
    Dropped(u64),
}

/// A bridge with this source as the module `fixture`, and its events.
fn listen(source: &str) -> (Bridge, Receiver<Seen>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("fixture.py"), source).unwrap();
    let (sender, seen) = channel();
    let sender = Mutex::new(sender);
    let handler = move |event: OutputEvent<'_>| {
        let event = match event {
            OutputEvent::Printed(piece) => Seen::Printed(piece.is_stderr, piece.data.to_vec()),
            OutputEvent::Log(record) => Seen::Log(record),
            OutputEvent::Warning(warning) => Seen::Warning(warning),
            OutputEvent::Dropped { count, .. } => Seen::Dropped(count),
            other => panic!("{other:?}"),
        };
        let _ = sender.lock().unwrap().send(event);
    };
    let output = Output::Handler(Arc::new(handler));
    let builder = Bridge::builder().module_path(folder.path()).output(output);
    (builder.build().unwrap(), seen, folder)
}

fn next_log(seen: &Receiver<Seen>) -> LogRecord {
    loop {
        if let Seen::Log(record) = seen.recv().unwrap() {
            return record;
        }
    }
}

#[test]
fn log_records_come_with_all_that_is_known_of_them() {
    let source = "import logging\nlog = logging.getLogger('some.logger')\n\
        def work(n):\n    log.warning('%d things', n)\n";
    let (py, seen, folder) = listen(source);
    let session = py.session().id("mine").open().unwrap();
    session.exec("fixture", "work", (3,)).wait().unwrap();
    let record = next_log(&seen);
    assert_eq!((record.level, record.level_name.as_str()), (30, "WARNING"));
    assert_eq!((record.logger.as_str(), record.message.as_str()), ("some.logger", "3 things"));
    assert_eq!(record.exception, None);
    let file = folder.path().join("fixture.py");
    assert_eq!((record.file.as_str(), record.line), (file.to_str().unwrap(), 4));
    assert_eq!(record.call.as_deref(), Some("fixture.work"));
    assert_eq!(record.session.as_deref(), Some("mine"));
    assert_eq!(record.worker, py.status().unwrap().pools[0].workers[0].id);
    assert_eq!(record.to_string(), "WARNING:some.logger:3 things");
}

#[test]
fn exceptions_that_are_logged_come_along() {
    let source = "import logging\ndef work():\n    try: 1 / 0\n    \
        except ZeroDivisionError: logging.getLogger('x').exception('failed')\n";
    let (py, seen, _folder) = listen(source);
    py.exec("fixture", "work", ()).wait().unwrap();
    let record = next_log(&seen);
    assert_eq!((record.level, record.message.as_str()), (40, "failed"));
    let exception = record.exception.unwrap();
    assert!(exception.starts_with("Traceback (most recent call last):"), "{exception}");
    assert!(exception.ends_with("ZeroDivisionError: division by zero"), "{exception}");
}

#[test]
fn calls_of_all_kinds_are_named_and_code_of_other_threads_is_not() {
    let source = "import logging, threading\nlog = logging.getLogger('x')\n\
        class Thing:\n    def method(self): log.error('m')\n    def __call__(self): log.error('c')\n\
        def aside():\n    thread = threading.Thread(target=log.error, args=('t',))\n    \
        thread.start(); thread.join()\n\
        def around(callback):\n    callback()\n    log.error('after')\n";
    let (py, seen, _folder) = listen(source);
    let thing: Ref = py.call("fixture", "Thing", ()).wait().unwrap();
    thing.method::<()>("method", ()).wait().unwrap();
    assert_eq!(next_log(&seen).call.as_deref(), Some("fixture.Thing.method"));
    thing.call::<()>(()).wait().unwrap();
    assert_eq!(next_log(&seen).call.as_deref(), Some("fixture.Thing"));
    py.exec("fixture", "aside", ()).wait().unwrap();
    let record = next_log(&seen);
    assert_eq!((record.call, record.session), (None, None));
    let other = py.session().id("other").open().unwrap();
    let session = py.current_session().unwrap();
    let callback = py.callback(move || {
        let call = other.exec("logging", "error", ("inside",));
        call.wait().map_err(Into::into)
    });
    py.exec("fixture", "around", (&callback,)).wait().unwrap();
    let record = next_log(&seen);
    assert_eq!(record.call.as_deref(), Some("logging.error"));
    assert_eq!(record.session.as_deref(), Some("other"));
    let record = next_log(&seen);
    assert_eq!(record.call.as_deref(), Some("fixture.around"));
    assert_eq!(record.session, Some(session));
}

#[test]
fn warnings_come_as_events_instead_of_text() {
    let (py, seen, folder) =
        listen("import warnings\ndef work():\n    warnings.warn('old', FutureWarning)\n");
    py.exec("fixture", "work", ()).wait().unwrap();
    let pid = worker_pid(&py);
    py.shutdown();
    drop(py);
    let seen: Vec<Seen> = seen.iter().collect();
    let [Seen::Warning(warning)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((warning.category.as_str(), warning.message.as_str()), ("FutureWarning", "old"));
    let file = folder.path().join("fixture.py");
    assert_eq!((warning.file.as_str(), warning.line), (file.to_str().unwrap(), 3));
    assert_eq!(warning.call.as_deref(), Some("fixture.work"));
    assert!(warning.to_string().ends_with("fixture.py:3: FutureWarning: old"), "{warning}");
    assert!(!common::is_running(pid));
}

#[test]
fn warnings_of_c_code_are_events_too() {
    let (py, seen, _folder) = listen("");
    let code = "__import__('_warnings').warn('from C')";
    py.call::<()>("builtins", "eval", (code,)).wait().unwrap();
    drop(py);
    let found = seen.iter().any(|event| matches!(event, Seen::Warning(w) if w.message == "from C"));
    assert!(found);
}

#[test]
fn what_is_logged_before_the_worker_is_ready_and_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let source = "import atexit, logging\nlog = logging.getLogger('x')\nlog.warning('early')\n\
        atexit.register(log.warning, 'late')\n";
    std::fs::write(folder.path().join("fixture.py"), source).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let output = Output::Handler(Arc::new(move |event| {
        if let OutputEvent::Log(record) = event {
            sink.lock().unwrap().push(record.message);
        }
    }));
    let pool = Pool::new().module_path(folder.path()).preload("fixture");
    let py = Bridge::builder().output(output).pool("default", pool).build().unwrap();
    py.ready().unwrap();
    drop(py);
    assert_eq!(*seen.lock().unwrap(), ["early", "late"]);
}

#[test]
fn the_users_own_configuration_works_as_it_does_alone() {
    let source = "import logging\ndef work():\n    \
        logging.basicConfig(level='INFO', format='%(levelname)s of mine: %(message)s')\n    \
        logging.getLogger('x').info('both')\n    logging.getLogger('x').debug('neither')\n";
    let (py, seen, _folder) = listen(source);
    py.exec("fixture", "work", ()).wait().unwrap();
    drop(py);
    let seen: Vec<Seen> = seen.iter().collect();
    let mut stderr = Vec::new();
    let mut messages = Vec::new();
    for event in &seen {
        match event {
            Seen::Printed(true, data) => stderr.extend_from_slice(data),
            Seen::Log(record) => messages.push(record.message.as_str()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(String::from_utf8_lossy(&stderr), "INFO of mine: both\n");
    assert_eq!(messages, ["both"]);
}

#[test]
fn a_flood_of_records_is_counted_and_holds_up_nothing() {
    let (going, go) = channel::<()>();
    let counts = Arc::new(Mutex::new((0_u64, 0_u64)));
    let (theirs, go) = (Arc::clone(&counts), Mutex::new(go));
    let handler = move |event: OutputEvent<'_>| {
        // Stuck until the end of the flood.
        let _ = go.lock().unwrap().recv();
        let mut counts = theirs.lock().unwrap();
        match event {
            OutputEvent::Log(_) => counts.0 += 1,
            OutputEvent::Dropped { count, .. } => counts.1 += count,
            other => panic!("{other:?}"),
        }
    };
    let py = Bridge::builder().output(Output::Handler(Arc::new(handler))).build().unwrap();
    let code = "log = __import__('logging').getLogger('x')\n\
        for n in range(20_000): log.warning('%d %s', n, 'x' * 500)";
    py.exec("builtins", "exec", (code,)).wait().unwrap();
    assert!(py.is_alive());
    drop(going);
    py.shutdown();
    let (seen, dropped) = *counts.lock().unwrap();
    assert_eq!(seen + dropped, 20_000, "{seen} seen, {dropped} dropped");
    assert!(dropped > 0);
}

#[test]
fn nothing_is_imported_for_it_and_nothing_told_where_nobody_listens() {
    let code = "sorted(__import__('sys').modules)";
    let modules =
        |py: &Bridge| -> Vec<String> { py.call("builtins", "eval", (code,)).wait().unwrap() };
    let (listening, _seen, _folder) = listen("");
    let silent = common::bridge();
    // The interpreter's own `site` may import it.
    let logging = "logging".to_owned();
    assert_eq!(modules(&listening).contains(&logging), modules(&silent).contains(&logging));
    let events = "snakebridge_worker.events".to_owned();
    assert!(modules(&listening).contains(&events));
    assert!(!modules(&silent).contains(&events));
}

#[test]
fn children_that_are_forked_tell_nothing() {
    let source = "import logging, os\nlog = logging.getLogger('x')\n\
        def work():\n    pid = os.fork()\n    if pid == 0:\n        \
        log.error('in the child')\n        os._exit(0)\n    \
        os.waitpid(pid, 0)\n    log.error('in the worker')\n";
    let (py, seen, _folder) = listen(source);
    py.exec("fixture", "work", ()).wait().unwrap();
    let total: i64 = py.call("builtins", "sum", args![[1, 2], start = 3]).wait().unwrap();
    assert_eq!(total, 6);
    drop(py);
    let logs: Vec<String> = seen
        .iter()
        .filter_map(|event| match event {
            Seen::Log(record) => Some(record.message),
            Seen::Dropped(count) => Some(format!("{count} dropped")),
            _ => None,
        })
        .collect();
    assert_eq!(logs, ["in the worker"]);
}
