//! The examples of the document that started the project, in its order and with its names.
//!
//! What it shows of generated wrappers is missing here as long as the library does not have them. Run it with `cargo run --release --example seed`.

#![expect(clippy::print_stdout, reason = "it says what it has done")]
#![expect(clippy::unwrap_used, reason = "a failure here is a failure of the example")]
#![expect(clippy::approx_constant, reason = "the document rounds pi")]

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use snakebridge::{
    Affinity, Bridge, Bytes, CallOptions, ErrorKind, Helpers, Pool, Ref, Result, Value, args,
};

/// Where `heavy_module` is.
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python");

type Example = fn(&Bridge) -> Result<()>;

const EXAMPLES: &[(&str, Example)] = &[
    ("call/4 and call!/4", call),
    ("get/3 and get!/3", get),
    ("method/4 and method!/4", method),
    ("attr/3 and attr!/3", attr),
    ("ref?/1", is_ref),
    ("bytes/1", bytes),
    ("Runtime Options", runtime_options),
    ("session_id", session_id),
    ("timeout", timeout),
    ("affinity", affinity),
    ("pool_name", pool_name),
    ("idempotent", idempotent),
    ("call_helper/3", helper),
    ("When to Use Universal FFI", when_to_use_it),
    ("Working with Python Objects", python_objects),
    ("Session Management", session_management),
    ("Non-String Key Maps", non_string_key_maps),
    ("Streaming (Convert to List)", convert_to_list),
    ("Error Handling", error_handling),
];

fn main() -> Result<()> {
    let gpu_pool = Pool::new().module_path(MODULES).workers_between(0, 1);
    let helpers = Helpers::new().path(format!("{MODULES}/helpers"));
    let builder = Bridge::builder().module_path(MODULES).helpers(helpers);
    let py = builder.pool("gpu_pool", gpu_pool).build()?;
    for (name, example) in EXAMPLES {
        example(&py)?;
        println!("{name}: ok");
    }
    Ok(())
}

fn call(py: &Bridge) -> Result<()> {
    let root: f64 = py.call("math", "sqrt", (16,)).wait()?;
    assert_eq!(root, 4.0);
    let short: f64 = py.call("builtins", "round", args![3.14159, ndigits = 2]).wait()?;
    assert_eq!(short, 3.14);
    let path: String = py.call("os.path", "join", ("/home", "user", "file.txt")).wait()?;
    assert_eq!(path, "/home/user/file.txt");
    let object: Ref = py.call("pathlib", "Path", ("/tmp/example.txt",)).wait()?;
    assert_eq!(object.type_name(), "PosixPath");

    // The variant that raises.
    let result: f64 = py.call("math", "sqrt", (16,)).unwrap();
    assert_eq!(result, 4.0);
    Ok(())
}

fn get(py: &Bridge) -> Result<()> {
    let pi: f64 = py.get("math", "pi").wait()?;
    assert_eq!(pi, std::f64::consts::PI);
    let sep: String = py.get("os", "sep").wait()?;
    assert_eq!(sep, "/");
    let path_class: Ref = py.get("pathlib", "Path").wait()?;
    assert_eq!(path_class.type_name(), "type");

    let pi: f64 = py.get("math", "pi").unwrap();
    assert_eq!(pi, std::f64::consts::PI);
    Ok(())
}

fn method(py: &Bridge) -> Result<()> {
    let path: Ref = py.call("pathlib", "Path", ("/tmp/example.txt",)).wait()?;
    let exists: bool = path.method("exists", ()).wait()?;
    assert!(!exists);
    let is_absolute: bool = path.method("is_absolute", ()).wait()?;
    assert!(is_absolute);
    let child: Ref = path.method("joinpath", ("subdir", "file.txt")).wait()?;
    assert_eq!(child.str().wait()?, "/tmp/example.txt/subdir/file.txt");

    let exists: bool = path.method("exists", ()).unwrap();
    assert!(!exists);
    Ok(())
}

fn attr(py: &Bridge) -> Result<()> {
    let path: Ref = py.call("pathlib", "Path", ("/tmp/example.txt",)).wait()?;
    let name: String = path.attr("name").wait()?;
    assert_eq!(name, "example.txt");
    let suffix: String = path.attr("suffix").wait()?;
    assert_eq!(suffix, ".txt");
    let parent: Ref = path.attr("parent").wait()?;
    assert_eq!(parent.str().wait()?, "/tmp");

    let name: String = path.attr("name").unwrap();
    assert_eq!(name, "example.txt");
    Ok(())
}

fn is_ref(py: &Bridge) -> Result<()> {
    let path: Value = py.call("pathlib", "Path", (".",)).wait()?;
    assert!(path.is_ref());
    assert!(!Value::from("just a string").is_ref());
    Ok(())
}

fn bytes(py: &Bridge) -> Result<()> {
    let md5: Ref = py.call("hashlib", "md5", (Bytes::from(b"abc"),)).wait()?;
    let hex: String = md5.method("hexdigest", ()).wait()?;
    assert_eq!(hex, "900150983cd24fb0d6963f7d28e17f72");

    let encoded: Bytes = py.call("base64", "b64encode", (Bytes::from(b"hello"),)).wait()?;
    assert_eq!(&*encoded, b"aGVsbG8=");

    // Binary round trip.
    let original = Bytes::from(&[0, 1, 2, 127, 128, 255]);
    let b64: Bytes = py.call("base64", "b64encode", (&original,)).wait()?;
    let decoded: Bytes = py.call("base64", "b64decode", (b64,)).wait()?;
    assert_eq!(decoded, original);
    Ok(())
}

/// Options of one call, and defaults for a scope: a handle with other defaults is the scope.
fn runtime_options(py: &Bridge) -> Result<()> {
    let root: f64 = py
        .call("math", "sqrt", (16,))
        .session("my_session")
        .timeout(Duration::from_secs(30))
        .affinity(Affinity::StrictQueue)
        .pool("gpu_pool")
        .idempotent(true)
        .wait()?;
    assert_eq!(root, 4.0);

    let limit = Duration::from_secs(600);
    let defaults = py.with(CallOptions::new().pool("gpu_pool").timeout(limit));
    let scores = vec![1, 2, 3];
    let mean: i64 = defaults.call("statistics", "mean", (&scores,)).wait()?;
    assert_eq!(mean, 2);
    if has_numpy(py) {
        let mean: f64 = defaults.call("numpy", "mean", (&scores,)).wait()?;
        assert_eq!(mean, 2.0);
    }
    Ok(())
}

fn session_id(py: &Bridge) -> Result<()> {
    if has_numpy(py) {
        let array: Ref = py.call("numpy", "array", (vec![1, 2, 3],)).session("shared").wait()?;
        assert_eq!(array.session_id(), "shared");
    }
    let deque: Ref = py.call("collections", "deque", (vec![1, 2, 3],)).session("shared").wait()?;
    assert_eq!(deque.session_id(), "shared");
    // Refs of one session are of no use in another.
    let error = py.call::<usize>("builtins", "len", (&deque,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionMismatch);
    Ok(())
}

fn timeout(py: &Bridge) -> Result<()> {
    let data = vec![1, 2, 3];
    let limit = Duration::from_secs(120);
    let sum: i64 = py.call("heavy_module", "compute", (data,)).timeout(limit).wait()?;
    assert_eq!(sum, 6);
    Ok(())
}

fn affinity(py: &Bridge) -> Result<()> {
    let model: Ref = py.call("heavy_module", "Model", (vec![1, 2, 3],)).wait()?;
    let sum: i64 = model.method("compute", ()).affinity(Affinity::StrictQueue).wait()?;
    assert_eq!(sum, 6);
    Ok(())
}

fn pool_name(py: &Bridge) -> Result<()> {
    let data = vec![1.5, 2.5];
    let tensor: Ref = py.call("array", "array", ("d", &data)).pool("gpu_pool").wait()?;
    // Calls on a ref go to its pool.
    let same: Vec<f64> = tensor.method("tolist", ()).wait()?;
    assert_eq!(same, data);
    Ok(())
}

fn idempotent(py: &Bridge) -> Result<()> {
    if has_numpy(py) {
        let version: String = py.get("numpy", "__version__").idempotent(true).wait()?;
        assert!(version.contains('.'));
    }
    let version: String = py.get("platform", "__version__").idempotent(true).wait()?;
    assert!(version.contains('.'));
    Ok(())
}

fn helper(py: &Bridge) -> Result<()> {
    let input = vec![1, 2, 3];
    let limit = Duration::from_secs(5);
    let result: BTreeMap<String, i64> =
        py.helper("my_helpers.process_data", (input,)).timeout(limit).wait()?;
    assert_eq!((result["count"], result["total"]), (3, 6));
    Ok(())
}

fn when_to_use_it(py: &Bridge) -> Result<()> {
    let data = b"abc";
    let hash: Ref = py.call("hashlib", "sha256", (Bytes::from(data),)).wait()?;
    let hex: String = hash.method("hexdigest", ()).wait()?;
    assert!(hex.starts_with("ba7816bf"));
    Ok(())
}

fn python_objects(py: &Bridge) -> Result<()> {
    let pattern: Ref = py.call("re", "compile", (r"^\d{3}-\d{4}$",)).wait()?;
    let found: Option<Ref> = pattern.method("match", ("555-1234",)).wait()?;
    assert_eq!(found.map(|found| found.type_name().to_owned()).as_deref(), Some("Match"));
    let found: Option<Ref> = pattern.method("match", ("invalid",)).wait()?;
    assert!(found.is_none());
    Ok(())
}

fn session_management(py: &Bridge) -> Result<()> {
    let _: f64 = py.call("math", "sqrt", (16,)).wait()?;
    let session = py.current_session()?;
    assert!(session.starts_with("auto_"));

    // All refs of one handle, and of its clones, share the session.
    let ref1: Ref = py.call("pathlib", "Path", (".",)).wait()?;
    let ref2: Ref = py.call("pathlib", "Path", ("/tmp",)).wait()?;
    assert_eq!(ref1.session_id(), ref2.session_id());

    py.release_auto_session();
    assert_eq!(ref1.str().wait().unwrap_err().kind(), ErrorKind::SessionClosed);
    Ok(())
}

fn non_string_key_maps(py: &Bridge) -> Result<()> {
    let int_map = BTreeMap::from([(1, "one"), (2, "two"), (3, "three")]);
    let result: BTreeMap<i32, String> = py.call("builtins", "dict", (&int_map,)).wait()?;
    assert_eq!(result[&2], "two");

    let coord_map = HashMap::from([((0, 0), "origin"), ((1, 0), "x-axis")]);
    let dict: Ref = py.call("builtins", "dict", (coord_map,)).wait()?;
    let name: String = dict.method("get", ((0, 0),)).wait()?;
    assert_eq!(name, "origin");
    Ok(())
}

fn convert_to_list(py: &Bridge) -> Result<()> {
    let range: Ref = py.call("builtins", "range", (10,)).wait()?;
    let items: Vec<i64> = py.call("builtins", "list", (&range,)).wait()?;
    assert_eq!(items, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(items.iter().sum::<i64>(), 45);
    Ok(())
}

fn error_handling(py: &Bridge) -> Result<()> {
    match py.call::<Value>("nonexistent_module", "fn", ()).wait() {
        Ok(result) => panic!("there is no such module, and it gave {result}"),
        Err(reason) => println!("  Failed: {reason}"),
    }

    // The variant that raises: a panic here, with Python's traceback in its message.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let call = || py.call::<Value>("nonexistent_module", "fn", ()).unwrap();
    let caught = catch_unwind(AssertUnwindSafe(call));
    std::panic::set_hook(hook);
    let payload = caught.unwrap_err();
    let message = payload.downcast_ref::<String>().map_or("", String::as_str);
    assert!(message.contains("ModuleNotFoundError: No module named 'nonexistent_module'"));
    println!("  Caught: {}", message.lines().next().unwrap_or_default());
    Ok(())
}

/// Whether the examples with numpy can be carried out.
fn has_numpy(py: &Bridge) -> bool {
    let found = py.call::<Value>("importlib.util", "find_spec", ("numpy",)).wait();
    let has_it = found.is_ok_and(|spec| !spec.is_none());
    if !has_it {
        println!("  skipped the part that needs numpy, which this Python does not have");
    }
    has_it
}
