//! The command as people use it: what it prints, and how it ends.

#![expect(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::process::{Command, Stdio};

use insta::assert_snapshot;

/// Runs the command in a folder with the module `shop`, and gives all that can be seen of it.
fn snakebridge(args: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shop.py"), SHOP).unwrap();
    let output = command(args).current_dir(folder.path()).output().unwrap();
    let text = |data: &[u8]| String::from_utf8(data.to_vec()).unwrap();
    format!(
        "exit code {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr)
    )
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snakebridge"));
    command
        .args(args)
        .stdin(Stdio::null())
        .env("COLUMNS", "100")
        .env("SNAKEBRIDGE_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
    command
}

const SHOP: &str = "
import sys

VAT = 0.2

def price(net, *, vat=VAT):
    if net < 0:
        raise ValueError(f'a price of {net}\\nis less than nothing')
    return net * (1 + vat)

def bill(*names):
    try:
        return dict(zip(names, map(STOCK.__getitem__, names)))
    except KeyError as error:
        raise LookupError('not in stock') from error

STOCK = {'apple': 3, 'pear': 4}

def greet():
    print('to standard output')
    print('to standard error', file=sys.stderr)
    return 'done'

def echo(*args, **kwargs):
    return args, kwargs

class Shy:
    def __repr__(self):
        raise RuntimeError('not me')
";

/// Compares after what differs between machines has been replaced.
macro_rules! snapshot {
    ($args:expr, @$expected:literal) => {
        insta::with_settings!({
            filters => [
                (r"(?m) +$", ""),
                (r#"/[^ \n"]*/shop\.py"#, "[DIR]/shop.py"),
                (r"Python \d+\.\d+\.\d+ \(\w+\)", "Python [VERSION] ([NAME])"),
                (r"(file: +)/.*", "$1[FILE]"),
                (r"(found: ).+", "$1[HOW]"),
                (r#"(snakebridge |"version":")\d+\.\d+\.\d+"#, "$1[VERSION]"),
            ]
        }, {
            assert_snapshot!(snakebridge($args), @$expected);
        });
    };
}

#[test]
fn version() {
    snapshot!(&["version"], @r#"
    exit code 0
    --- stdout
    snakebridge [VERSION]
    Python [VERSION] ([NAME])
      file:  [FILE]
      found: [HOW]
    --- stderr
    "#);
    snapshot!(&["--version"], @r#"
    exit code 0
    --- stdout
    snakebridge [VERSION]
    --- stderr
    "#);
}

#[test]
fn results_are_shown_as_python_shows_them() {
    snapshot!(&["call", "math", "sqrt", "16"], @r#"
    exit code 0
    --- stdout
    4.0
    --- stderr
    "#);
    snapshot!(&["call", "builtins", "round", "3.14159", "--kw", "ndigits=2"], @r#"
    exit code 0
    --- stdout
    3.14
    --- stderr
    "#);
    snapshot!(&["call", "os.path", "join", "/home/ada", "notes.txt"], @r#"
    exit code 0
    --- stdout
    '/home/ada/notes.txt'
    --- stderr
    "#);
    snapshot!(&["call", "pathlib", "PurePosixPath", "/home/ada"], @r#"
    exit code 0
    --- stdout
    PurePosixPath('/home/ada')
    --- stderr
    "#);
    snapshot!(&["call", "collections", "Counter", "banana"], @r#"
    exit code 0
    --- stdout
    Counter({'a': 3, 'n': 2, 'b': 1})
    --- stderr
    "#);
    snapshot!(&["call", "math", "factorial", "30"], @r#"
    exit code 0
    --- stdout
    265252859812191058636308480000000
    --- stderr
    "#);
    snapshot!(&["get", "sys", "version_info.major"], @r#"
    exit code 0
    --- stdout
    3
    --- stderr
    "#);
    snapshot!(&["get", "shop", "VAT", "--path", "."], @r#"
    exit code 0
    --- stdout
    0.2
    --- stderr
    "#);
    snapshot!(&["call", "--path", ".", "shop", "greet"], @r#"
    exit code 0
    --- stdout
    to standard output
    'done'
    --- stderr
    to standard error
    "#);
    snapshot!(&["call", "--path", ".", "shop", "Shy"], @r#"
    exit code 0
    --- stdout
    <ref shop.Shy #1>
    --- stderr
    "#);
}

#[test]
fn arguments_are_json_then_literals_then_text() {
    let args = [
        &["call", "--path", ".", "shop", "echo"][..],
        &["1", "-2.5", "true", "null", r#"{"a": [1]}"#, r#""16""#],
        &["None", "(1, 2)", "{1: 'x'}", "{1}", "b'abc'", "1+2j", "'it'"],
        &["text", "two words", "a-b", "2024-10-11", "", "(1,"],
        &["--kw", "n=1", "--kw", "text=x=y", "--kw", "not an identifier=1"],
    ];
    snapshot!(&args.concat(), @r#"
    exit code 0
    --- stdout
    ((1, -2.5, True, None, {'a': [1]}, '16', None, (1, 2), {1: 'x'}, {1}, b'abc', (1+2j), 'it', 'text', 'two words', 'a-b', '2024-10-11', '', '(1,'), {'n': 1, 'text': 'x=y', 'not an identifier': 1})
    --- stderr
    "#);
}

#[test]
fn json() {
    let literal =
        "[None, True, 1.5, 'x', b'abc', (1, 2), {1}, {'a': 1}, {1: 2}, {'$ref': 1}, 1e999, 1+2j]";
    snapshot!(&["--json", "call", "ast", "literal_eval", &format!("{literal:?}")], @r#"
    exit code 0
    --- stdout
    [null,true,1.5,"x",{"$bytes":"YWJj"},[1,2],{"$set":[1]},{"a":1},{"$dict":[[1,2]]},{"$dict":[["$ref",1]]},{"$float":"inf"},{"$complex":[1.0,2.0]}]
    --- stderr
    "#);
    snapshot!(&["--json", "call", "math", "factorial", "30"], @r#"
    exit code 0
    --- stdout
    265252859812191058636308480000000
    --- stderr
    "#);
    snapshot!(&["--json", "call", "decimal", "Decimal", r#""1.10""#], @r#"
    exit code 0
    --- stdout
    {"$decimal":"1.10"}
    --- stderr
    "#);
    snapshot!(&["--json", "call", "datetime", "timedelta", "-1", "3600"], @r#"
    exit code 0
    --- stdout
    {"$timedelta":"-1 days, 1:00:00"}
    --- stderr
    "#);
    snapshot!(&["--json", "call", "datetime.datetime", "fromisoformat", "2024-01-02T03:04:05+01:00"], @r#"
    exit code 0
    --- stdout
    {"$datetime":"2024-01-02T03:04:05+01:00"}
    --- stderr
    "#);
    snapshot!(&["--json", "call", "uuid", "UUID", "12345678-1234-5678-1234-567812345678"], @r#"
    exit code 0
    --- stdout
    {"$uuid":"12345678-1234-5678-1234-567812345678"}
    --- stderr
    "#);
    snapshot!(&["--json", "call", "collections", "deque", "[1]"], @r#"
    exit code 0
    --- stdout
    {"$ref":{"class":"collections.deque","repr":"deque([1])"}}
    --- stderr
    "#);
    snapshot!(&["--json", "call", "builtins", "print", "for people"], @r#"
    exit code 0
    --- stdout
    null
    --- stderr
    for people
    "#);
}

#[test]
fn python_raises() {
    snapshot!(&["call", "operator", "truediv", "1", "0"], @r#"
    exit code 1
    --- stdout
    --- stderr
    error: operator.truediv raised ZeroDivisionError: division by zero
    "#);
    snapshot!(&["call", "--path", ".", "shop", "price", "-1"], @r#"
    exit code 1
    --- stdout
    --- stderr
    error: shop.price raised ValueError: a price of -1
    Traceback (most recent call last):
      File "[DIR]/shop.py", line 8, in price
        raise ValueError(f'a price of {net}\nis less than nothing')
    ValueError: a price of -1
    is less than nothing
    "#);
    snapshot!(&["call", "--path", ".", "shop", "bill", "apple", "plum"], @r#"
    exit code 1
    --- stdout
    --- stderr
    error: shop.bill raised LookupError: not in stock
    Traceback (most recent call last):
      File "[DIR]/shop.py", line 13, in bill
        return dict(zip(names, map(STOCK.__getitem__, names)))
    KeyError: 'plum'

    The above exception was the direct cause of the following exception:

    Traceback (most recent call last):
      File "[DIR]/shop.py", line 15, in bill
        raise LookupError('not in stock') from error
    LookupError: not in stock
    "#);
    snapshot!(&["get", "math", "tau2"], @r#"
    exit code 1
    --- stdout
    --- stderr
    error: math.tau2 raised AttributeError: module 'math' has no attribute 'tau2'
    "#);
    snapshot!(&["call", "zlib", "crc32", "abc"], @r#"
    exit code 1
    --- stdout
    --- stderr
    error: zlib.crc32 raised TypeError: a bytes-like object is required, not 'str'

    hint: Python wants bytes here: write them as `"b'..'"`
    "#);
    snapshot!(&["call", "sys", "exit", "3"], @r#"
    exit code 1
    --- stdout
    --- stderr
    error: sys.exit raised SystemExit: 3
    "#);
}

#[test]
fn a_missing_module() {
    let shown = snakebridge(&["call", "no_such_module", "f"]);
    assert!(shown.starts_with("exit code 1\n"), "{shown}");
    let error =
        "error: no_such_module.f raised ModuleNotFoundError: No module named 'no_such_module'\n";
    assert!(shown.contains(error), "{shown}");
    assert!(
        shown.contains("\n\nhint: install the package that provides `no_such_module`"),
        "{shown}"
    );
    assert!(shown.contains("`--path DIR`"), "{shown}");
}

#[test]
fn what_is_wrong_with_the_command_line() {
    snapshot!(&["call", "m"], @r#"
    exit code 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      <FUNCTION>

    Usage: snakebridge call <MODULE> <FUNCTION> [ARGS]...

    For more information, try '--help'.
    "#);
    snapshot!(&["call", "m", "f", "--kw", "x"], @r#"
    exit code 2
    --- stdout
    --- stderr
    error: invalid value 'x' for '--kw <NAME=VALUE>': expected NAME=VALUE

    For more information, try '--help'.
    "#);
    snapshot!(&["call", "m", "f", "--kw", "x=1", "--kw", "x=2"], @r#"
    exit code 2
    --- stdout
    --- stderr
    error: keyword argument repeated: x
    "#);
    snapshot!(&["call", "m", "f", "--timeout", "0"], @r#"
    exit code 2
    --- stdout
    --- stderr
    error: invalid value '0' for '--timeout <SECONDS>': expected a number above 0

    For more information, try '--help'.
    "#);
    snapshot!(&["call", "m", "f", "--path", "nowhere"], @r#"
    exit code 2
    --- stdout
    --- stderr
    error: `nowhere` is no folder
    "#);
}

#[test]
fn no_python() {
    snapshot!(&["call", "math", "sqrt", "16", "--python", "/nowhere/python3"], @r#"
    exit code 3
    --- stdout
    --- stderr
    error: there is no Python at `/nowhere/python3`

    hint: install Python 3.9 or newer, or say where it is: `--python SPEC` or the environment variable SNAKEBRIDGE_PYTHON
    "#);
    snapshot!(&["version", "--python", "no-such-python"], @r#"
    exit code 3
    --- stdout
    snakebridge [VERSION]
    --- stderr
    error: found no Python: command `no-such-python` is not on PATH

    hint: install Python 3.9 or newer, or say where it is: `--python SPEC` or the environment variable SNAKEBRIDGE_PYTHON
    "#);
    snapshot!(&["version", "--json", "--python", "no-such-python"], @r#"
    exit code 3
    --- stdout
    {"version":"[VERSION]","python":null}
    --- stderr
    error: found no Python: command `no-such-python` is not on PATH

    hint: install Python 3.9 or newer, or say where it is: `--python SPEC` or the environment variable SNAKEBRIDGE_PYTHON
    "#);
}

#[test]
fn a_worker_that_ends() {
    snapshot!(&["call", "os", "_exit", "7"], @r#"
    exit code 4
    --- stdout
    --- stderr
    error: os._exit: the worker exited with code 7 during the call
    "#);
}

#[test]
fn a_call_that_takes_too_long() {
    snapshot!(&["call", "time", "sleep", "60", "--timeout", "3"], @r#"
    exit code 5
    --- stdout
    --- stderr
    error: time.sleep: no answer within 3s

    hint: allow it more time with `--timeout SECONDS`
    "#);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = command(&["call", "builtins", "list", "[1, 2]"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
