//! Running code, and looking into what there is.

#![expect(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// Runs the command in a folder with a program and a module, and gives the exit code and what it prints.
fn snakebridge(args: &[impl AsRef<OsStr>]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("program.py"), PROGRAM).unwrap();
    std::fs::write(folder.path().join("shop.py"), SHOP).unwrap();
    std::fs::create_dir_all(folder.path().join("python/helpers")).unwrap();
    std::fs::write(folder.path().join("python/helpers/bills.py"), HELPERS).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_snakebridge"))
        .args(args)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .env("COLUMNS", "100")
        .env("SNAKEBRIDGE_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
        .output()
        .unwrap();
    let place = folder.path().canonicalize().unwrap();
    let text = |data: &[u8]| {
        let text = String::from_utf8(data.to_vec()).unwrap();
        text.replace(place.to_str().unwrap(), "[DIR]").replace("[DIR]/", "")
    };
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

const PROGRAM: &str = "
import sys
import shop

print(__name__, sys.argv)
if sys.argv[1:] == ['fail']:
    shop.price(-1)
sys.exit(shop.price(int(sys.argv[1])))
";

const SHOP: &str = "
\"\"\"Prices.\"\"\"

__version__ = '1.2'
VAT = 2

class Article:
    \"\"\"Something to buy.\"\"\"
    def __init__(self, name: str) -> None:
        \"\"\"With a name.\"\"\"
        self.name = name
    def cost(self, *, count=1):
        \"\"\"What so many of it cost.\"\"\"
        return count * VAT

def price(net, *, vat=VAT):
    \"\"\"The price.

    With taxes.
    \"\"\"
    if net < 0:
        raise ValueError('less than nothing')
    return net * vat
";

const HELPERS: &str = "
def total(items, *, tax=0):
    \"\"\"What they cost.\"\"\"
    return sum(items) + tax
";

#[test]
fn helpers() {
    let (code, out, err) = snakebridge(&["helper"]);
    assert_eq!((code, &*err), (0, ""));
    assert_eq!(out, "bills.total(items, *, tax=0)  What they cost.\n");
    let (_, out, _) = snakebridge(&["helper", "bills.total", "[1, 2]", "--kw", "tax=3"]);
    assert_eq!(out, "6\n");
    let (code, out, err) = snakebridge(&["helper", "bills.totl"]);
    assert_eq!((code, &*out), (2, ""));
    assert!(err.contains("bills.total"), "{err}");
    let (_, out, _) = snakebridge(&["helper", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["helpers"][0]["name"], "bills.total");
}

#[test]
fn expressions() {
    for (expression, shown) in [
        ("math.sqrt(16)", "4.0\n"),
        ("x = [3, 1, 2]; sorted(x)", "[1, 2, 3]\n"),
        ("-1", "-1\n"),
        ("pathlib.PurePosixPath('/a') / 'b'", "PurePosixPath('/a/b')\n"),
        ("x = 1", "None\n"),
    ] {
        assert_eq!(snakebridge(&["eval", expression]), (0, shown.to_owned(), String::new()));
    }
    let (code, out, _) = snakebridge(&["eval", "{'a': (1, None)}", "--json"]);
    assert_eq!((code, &*out), (0, "{\"a\":[1,null]}\n"));
}

#[test]
fn expressions_that_fail() {
    let (code, out, err) = snakebridge(&["eval", "shop.price(-1)", "--path", "."]);
    assert_eq!((code, &*out), (1, ""));
    insta::assert_snapshot!(err, @r#"
    error: ValueError: less than nothing
    Traceback (most recent call last):
      File "<expression>", line 1, in <module>
      File "shop.py", line 22, in price
        raise ValueError('less than nothing')
    ValueError: less than nothing
    "#);
    let (code, _, err) = snakebridge(&["eval", "1 +"]);
    assert_eq!((code, &*err), (1, "error: SyntaxError: invalid syntax (<expression>, line 1)\n"));
}

#[test]
fn programs() {
    let (code, out, err) = snakebridge(&["run", "program.py", "3", "--json"]);
    assert_eq!((code, &*err), (6, ""));
    assert_eq!(out, "__main__ ['program.py', '3', '--json']\n");
    // What comes after the file is for the program, whatever it looks like.
    for option in ["--help", "--json", "-h", "--path", "--timeout", "--version", "--"] {
        let (code, out, _) = snakebridge(&["run", "program.py", option, "3"]);
        assert_eq!((code, &*out), (1, &*format!("__main__ ['program.py', '{option}', '3']\n")));
    }
    let (code, out, _) = snakebridge(&["run", "--json", "program.py", "0"]);
    assert_eq!((code, &*out), (0, "{\"exit_code\":0}\n"));
    let (code, _, err) = snakebridge(&["run", "program.py", "fail"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(err, @r#"
    Traceback (most recent call last):
      File "program.py", line 7, in <module>
        shop.price(-1)
      File "shop.py", line 22, in price
        raise ValueError('less than nothing')
    ValueError: less than nothing
    "#);
    let (code, _, err) = snakebridge(&["run", "nowhere.py"]);
    assert_eq!((code, &*err), (2, "error: there is no file `nowhere.py`\n"));
    let (code, out, err) = snakebridge(&["--json", "run", "program.py", "0"]);
    assert_eq!((code, &*out, &*err), (0, "{\"exit_code\":0}\n", "__main__ ['program.py', '0']\n"));
}

#[cfg(unix)]
#[test]
fn arguments_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt as _;

    let args = [OsStr::new("run"), OsStr::new("program.py"), OsStr::from_bytes(b"a\xff")];
    let (code, out, err) = snakebridge(&args);
    assert_eq!((code, &*out, &*err), (2, "", "error: `a\u{fffd}` is no valid Unicode\n"));
}

#[test]
fn modules() {
    let (code, out, _) = snakebridge(&["inspect", "shop", "--path", "."]);
    assert_eq!(code, 0);
    insta::assert_snapshot!(out, @r#"
    module shop 1.2
      file:   shop.py

        Prices.

    Classes
      Article  Something to buy.

    Functions
      price(net, *, vat=2)  The price.

    Values
      VAT  = 2
    "#);
}

#[test]
fn classes_and_functions() {
    let (_, out, _) = snakebridge(&["inspect", "shop.Article", "--path", "."]);
    insta::assert_snapshot!(out, @r#"
    class shop.Article(name: str) -> None
      bases:  object
      file:   shop.py:7

        Something to buy.

    Functions
      cost(self, *, count=1)  What so many of it cost.
    "#);
    let (_, out, _) = snakebridge(&["inspect", "shop.Article.cost", "--source", "--path", "."]);
    insta::assert_snapshot!(out, @r#"
    function shop.Article.cost(self, *, count=1)
      file:   shop.py:12

        What so many of it cost.

    Source
            def cost(self, *, count=1):
                """What so many of it cost."""
                return count * VAT
    "#);
    let (_, out, _) = snakebridge(&["inspect", "shop.VAT", "--path", ".", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["kind"], &json["value"]), (&"value".into(), &"2".into()));
    let (code, out, err) = snakebridge(&["inspect", "shop.Artikel", "--path", "."]);
    assert_eq!((code, &*out), (1, ""));
    assert!(
        err.starts_with("error: AttributeError: module 'shop' has no attribute 'Artikel'\n"),
        "{err}"
    );
}

#[test]
fn completions() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = snakebridge(&["completions", shell]);
        assert_eq!(code, 0);
        assert!(out.contains("inspect") && out.contains("timeout"), "{shell}");
    }
}

#[test]
fn colors_where_they_are_wanted() {
    let (_, _, plain) = snakebridge(&["eval", "1 / 0"]);
    let (_, _, colored) = snakebridge(&["--color", "always", "eval", "1 / 0"]);
    assert_eq!(colored, plain.replace("error:", "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m"));
    let (_, help, _) = snakebridge(&["--color=always", "--help"]);
    assert!(help.contains("\u{1b}["));
    let (_, help, _) = snakebridge(&["--color=never", "--help"]);
    assert!(!help.contains("\u{1b}["));
}

#[test]
fn what_calls_cost() {
    let (code, out, err) = snakebridge(&["bench", "--json"]);
    assert_eq!((code, &*err), (0, "measuring, for about five seconds ..\n"));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    for name in [
        "call_p50_us",
        "call_p50_us_floor",
        "call_p99_us",
        "batched_calls_per_s",
        "items_per_s",
        "start_ms",
    ] {
        assert!(json[name].as_f64().unwrap() > 0.0, "{name}: {json}");
    }
}
