//! The messages that newcomers meet first, word by word. A change here is a change for users.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::collections::HashMap;
use std::time::Duration;

use common::{bridge, bridge_with, quiet};
use serde::Deserialize;
use snakebridge::{Affinity, Args, Bridge, Bytes, Error, Ref, Result, Value, args};

/// Kind, message and hint, as a person sees them.
fn shown(error: &Error) -> String {
    let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!("[{:?}, retry {:?}]\n{error}{hint}", error.kind(), error.retry())
}

macro_rules! snapshot {
    ($name:literal, $error:expr) => {
        insta::with_settings!({
            filters => [
                (r"/[^`: ]*/(\.tmp\w+|[\w.-]*tmp[\w.-]*)", "[FOLDER]"),
                (r"3\.\d+\.\d+", "[VERSION]"),
                (r"(auto|session)_\d+_\d+_\d+", "$1_[ID]"),
                (r"#\d+", "#[ID]"),
                // Words that changed between versions of Python.
                (r"Unicode-objects", "Strings"),
                (r"cannot use 'list' as a dict key \((.*)\)", "$1"),
                (r"keyword argument 'heigth'\. Did you mean 'height'\?", "keyword argument 'heigth'"),
            ],
            omit_expression => true,
            prepend_module_to_snapshot => false,
        }, { insta::assert_snapshot!($name, shown(&$error)) })
    };
}

fn failed<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("this was to fail"),
        Err(error) => error,
    }
}

#[test]
fn no_python_at_this_path() {
    snapshot!("no_python_at_path", failed(quiet().python("/no/such/python").build()));
}

#[test]
fn no_python_of_this_name() {
    snapshot!("no_python_of_name", failed(quiet().python("python-of-nobody").build()));
}

#[test]
fn something_that_is_no_python() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("python");
    std::fs::write(&file, "#!/bin/sh\necho 'I am a shell script' >&2\nexit 3\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&file, mode).unwrap();
    let py = quiet().python(file.to_str().unwrap()).build().unwrap();
    snapshot!("no_python_but_a_script", failed(py.call::<f64>("math", "sqrt", (4,)).wait()));
}

#[test]
fn a_python_that_is_too_old() {
    // Answers as the bootstrap code makes an old Python answer.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("python");
    let script =
        "#!/bin/sh\nprintf '\\001\\142\\0\\0\\0\\0\\0\\0\\005\\0\\0\\0\\0\\0\\0\\0003.6.8' >&0\n";
    std::fs::write(&file, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&file, mode).unwrap();
    let py = quiet().python(file.to_str().unwrap()).build().unwrap();
    snapshot!("python_too_old", failed(py.call::<f64>("math", "sqrt", (4,)).wait()));
}

#[test]
fn settings_that_cannot_be() {
    snapshot!("no_workers", failed(quiet().workers(0).build()));
    snapshot!("module_path_missing", failed(quiet().module_path("no/such/folder").build()));
    snapshot!("bad_variable", failed(quiet().env("A=B", "c").build()));
}

#[test]
fn a_module_that_is_missing() {
    let py = bridge();
    snapshot!("module_missing", failed(py.exec("nonexistent_module", "fn", ()).wait()));
    snapshot!("submodule_missing", failed(py.exec("os.nothing", "fn", ()).wait()));
}

#[test]
fn a_name_that_is_missing() {
    let py = bridge();
    snapshot!("name_missing", failed(py.call::<f64>("math", "sqroot", (16,)).wait()));
    let path: Ref = py.call("pathlib", "PurePosixPath", ("/tmp",)).wait().unwrap();
    snapshot!("method_missing", failed(path.method::<bool>("exist", ()).wait()));
    snapshot!("attr_missing", failed(path.attr::<String>("nam").wait()));
}

#[test]
fn wrong_arguments() {
    let py = bridge();
    let (fixture, _folder) = bridge_with("def area(width, *, height): return width * height\n");
    snapshot!("wrong_argument_type", failed(py.call::<f64>("math", "sqrt", ("16",)).wait()));
    let call = py.call::<Ref>("hashlib", "md5", ("abc",));
    snapshot!("text_for_bytes", failed(call.wait()));
    let call = fixture.call::<f64>("fixture", "area", args![1.5, heigth = 2]);
    snapshot!("wrong_keyword", failed(call.wait()));
    let call = py.call::<Value>("builtins", "dict", Args::new().kwarg("a", 1).arg(2));
    snapshot!("positional_after_keyword", failed(call.wait()));
    let keys: HashMap<Vec<i32>, i32> = HashMap::from([(vec![1], 2)]);
    snapshot!("unhashable_key", failed(py.call::<Value>("builtins", "dict", (keys,)).wait()));
}

#[test]
fn the_wrong_rust_type() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct User {
        name: String,
        tags: Vec<u8>,
    }
    let (py, _folder) = bridge_with(
        "def users(): return [{'name': 'Ada', 'tags': [1]}, {'name': 'Bob', 'tags': [1, 'x']}]\n\
         def missing(): return {'name': 'Ada'}\n\
         def big(): return 2 ** 53 + 1\n\
         class Thing: pass\n",
    );
    snapshot!("int_for_text", failed(py.call::<String>("builtins", "len", ([1],)).wait()));
    snapshot!("float_for_int", failed(py.call::<i64>("math", "sqrt", (2,)).wait()));
    snapshot!("too_large", failed(py.call::<u8>("builtins", "abs", (-300,)).wait()));
    snapshot!("inexact_float", failed(py.call::<f64>("fixture", "big", ()).wait()));
    snapshot!("nested_field", failed(py.call::<Vec<User>>("fixture", "users", ()).wait()));
    snapshot!("missing_field", failed(py.call::<User>("fixture", "missing", ()).wait()));
    snapshot!("object_for_value", failed(py.call::<String>("fixture", "Thing", ()).wait()));
    let call = py.call::<String>("re", "match", ("a", "b"));
    snapshot!("none_for_text", failed(call.wait()));
    snapshot!("value_for_ref", failed(py.call::<Vec<Ref>>("builtins", "list", ([1],)).wait()));
    snapshot!(
        "wrong_tuple",
        failed(py.call::<(i32, i32)>("builtins", "list", ([1, 2, 3],)).wait())
    );
}

#[test]
fn refs_at_the_wrong_time() {
    let py = bridge();
    let list: Ref = py.call("builtins", "list", ([1],)).wait().unwrap();
    let clone = list.clone();
    list.release();
    snapshot!("ref_released", failed(clone.len().wait()));

    let session = py.session().id("work").open().unwrap();
    let inside: Ref = session.call("builtins", "list", ([1],)).wait().unwrap();
    snapshot!("session_mismatch", failed(py.call::<i64>("builtins", "len", (&inside,)).wait()));
    drop(session);
    snapshot!("session_closed", failed(inside.len().wait()));

    let other = bridge();
    let foreign: Ref = other.call("builtins", "list", ([1],)).wait().unwrap();
    snapshot!("foreign_ref", failed(py.call::<i64>("builtins", "len", (&foreign,)).wait()));
    drop(other);
    snapshot!("bridge_gone", failed(foreign.len().wait()));
    let text = serde_json::to_string(&inside).unwrap_err().to_string();
    assert_eq!(text, "a ref can only be an argument of a call");
}

#[test]
fn time_is_over() {
    let py = bridge();
    py.ready().unwrap();
    let call = py.exec("time", "sleep", (30,)).timeout(Duration::from_millis(30));
    snapshot!("timeout", failed(call.wait()));
}

#[test]
fn a_lost_worker() {
    let py = bridge();
    let list: Ref = py.call("builtins", "list", ([1],)).wait().unwrap();
    snapshot!("worker_lost", failed(py.exec("os", "_exit", (3,)).wait()));
    snapshot!("ref_lost", failed(list.len().affinity(Affinity::StrictQueue).wait()));
}

#[test]
fn after_shutdown() {
    let py = bridge();
    py.shutdown();
    snapshot!("closed", failed(py.call::<f64>("math", "sqrt", (4,)).wait()));
}

#[test]
fn the_debug_form_shows_the_traceback() {
    let (py, _folder) = bridge_with(
        "class AppError(Exception): pass\n\ndef inner(key):\n    return {}[key]\n\n\
         def outer(key):\n    try:\n        return inner(key)\n    except KeyError as error:\n        \
         raise AppError(f'no {key}') from error\n",
    );
    let error = failed(py.call::<Value>("fixture", "outer", ("colour",)).wait());
    let python = error.python().unwrap();
    assert_eq!(python.cause().unwrap().type_name(), "KeyError");
    assert_eq!(python.context().unwrap().type_name(), "KeyError", "it is both");
    let folder = _folder.path().display().to_string();
    let shown = format!("{error:?}").replace(&folder, "[FOLDER]");
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("debug_form", shown);
    });
}

#[test]
fn unwrap_panics_with_the_traceback() {
    let py = bridge();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        py.call::<Value>("json", "loads", ("{",)).unwrap()
    }));
    let text = *caught.unwrap_err().downcast::<String>().unwrap();
    assert!(text.starts_with("json.loads raised json.decoder.JSONDecodeError: "), "{text}");
    assert!(text.contains("Traceback (most recent call last):"), "{text}");
}

#[test]
fn bytes_and_lists_are_told_apart() {
    let py = bridge();
    let list: Value = py.call("builtins", "list", (vec![1_u8, 2],)).wait().unwrap();
    assert_eq!(list, Value::from(vec![1, 2]));
    let bytes: Value = py.call("builtins", "bytes", (Bytes::from([1, 2]),)).wait().unwrap();
    assert_eq!(bytes, Value::from(Bytes::from([1, 2])));
}

#[test]
fn the_free_functions_use_one_bridge() {
    quiet().build().unwrap().install().unwrap();
    let a: i32 = snakebridge::call("os", "getpid", ()).wait().unwrap();
    let b: i32 = snakebridge::call("os", "getpid", ()).wait().unwrap();
    assert_eq!(a, b);
    let pi: f64 = snakebridge::get("math", "pi").wait().unwrap();
    assert!(pi > 3.1);
    snakebridge::exec("gc", "collect", ()).wait().unwrap();
    let again: Result<()> = Bridge::new().and_then(Bridge::install);
    snapshot!("installed_twice", failed(again));
}
