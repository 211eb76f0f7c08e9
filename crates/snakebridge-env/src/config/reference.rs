//! The page of the guide that lists all settings, made from the same table that they are read by.

use std::fmt::Write as _;

use super::keys::{KEYS, Key, Kind, Scope};

/// The page, as Markdown.
#[must_use]
pub fn page() -> String {
    let mut out = BEGINNING.to_owned();
    for (title, text, scope) in
        [("Pools", POOLS, Scope::EachPool), ("The bridge", BRIDGE, Scope::Whole)]
    {
        let _ = write!(out, "\n## {title}\n\n{text}\n");
        out.push_str("| setting | takes | default | what it is for |\n| --- | --- | --- | --- |\n");
        for key in KEYS.iter().filter(|key| key.scope == scope) {
            row(key, &mut out);
        }
    }
    out.push_str(END);
    out
}

fn row(key: &Key, out: &mut String) {
    let default = match key.default.contains(['"', '[', '{', '`']) || is_value(key.default) {
        true if !key.default.contains('`') => format!("`{}`", key.default),
        _ => key.default.to_owned(),
    };
    let takes = match key.kind {
        Kind::Choice(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            words.join(", ")
        }
        Kind::Bool => "bool".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
        Kind::Count => "number".to_owned(),
        Kind::List => "list".to_owned(),
        Kind::Map => "table".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Paths => "paths".to_owned(),
        Kind::Ports => "ports".to_owned(),
        Kind::Python => "python".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Time => "time".to_owned(),
        Kind::Times => "table of times".to_owned(),
    };
    // Nothing can go wrong with writing to a string.
    let _ = writeln!(out, "| `{}` | {takes} | {default} | {} |", key.name, key.doc);
}

fn is_value(text: &str) -> bool {
    matches!(text, "true" | "false") || text.bytes().all(|byte| byte.is_ascii_digit())
}

const BEGINNING: &str = r#"# Configuration

<!-- Made by `cargo xtask reference` from crates/snakebridge-env/src/config. Change it there. -->

What a program declares of Python can be said in five places. From the strongest to the weakest:

1. in the program: methods of `BridgeBuilder` and `Pool`;
2. environment variables: that of `index.url` is `SNAKEBRIDGE_INDEX_URL`, and so for all settings but
   tables; they are for the bridge and its default pool, `SNAKEBRIDGE_SPIN` also for other pools that do not say it;
3. `snakebridge.toml`, the nearest one in the current folder or above, or the file that
   `SNAKEBRIDGE_CONFIG` names (none, if that is empty);
4. `[package.metadata.snakebridge]` in the nearest `Cargo.toml`, with the same settings;
5. the defaults below.

Where there is no such file in the current folder or above, the folder of the package is looked at
that cargo runs. What is said in a stronger place replaces the value of a weaker one as a whole, lists
and tables too. `snakebridge config` shows the value of each setting, and where it comes from.

Files and variables count for `Bridge::configured()`, from which the default bridge of
`snakebridge::call` starts too, and for the command `snakebridge`. They need the feature `env`.
`Bridge::new()` and `Bridge::builder()` look at none of them but `SNAKEBRIDGE_PYTHON` and, for all pools that do not say it
themselves, `SNAKEBRIDGE_SPIN`.

```toml
# snakebridge.toml
python = ">=3.10"
packages = ["numpy>=2", "pandas"]
timeout = "5m"

[env]
PYTHONHASHSEED = "0"

[pool.gpu]                     # a pool beside the default one
packages = ["torch"]           # with an environment of its own
workers = 2
index.url = "https://example.org/simple"
```

A setting that there is not, or a value that does not fit, is an error that names the file and the line.
"#;

const POOLS: &str = r#"At the top of the file for the default pool, or in `[pool.NAME]` for another one (not `default`). A pool has what its own
table says, and else the defaults: nothing of the default pool. But `helpers`, `guard` and `confine` at the top are
for all pools that have no such table of their own.
"#;

const BRIDGE: &str = "At the top of the file.\n";

const END: &str = r#"
## Values

- **bytes**: a number, or text with a unit: `"512MiB"`, `"2GiB"`, `"1GB"`.
- **time**: text with a unit: `"500ms"`, `"30s"`, `"2m"`, `"1h"`; a number of seconds; or `"never"`.
- **path**, **paths**, **python**: relative to the folder of the file, or to the current folder in an
  environment variable.
- **list**, **paths** in an environment variable: with spaces between the items, or as in TOML:
  `SNAKEBRIDGE_PACKAGES="numpy>=2 pandas"`, `SNAKEBRIDGE_PACKAGES='["numpy >= 2, < 3"]'`.

## Variables that are no settings

| variable | what it is for |
| --- | --- |
| `SNAKEBRIDGE_CONFIG` | the file to read in the place of `snakebridge.toml` |
| `SNAKEBRIDGE_CACHE_DIR` | the folder for environments and for the Python side of SnakeBridge |
| `SNAKEBRIDGE_UV` | the file of uv |
| `SNAKEBRIDGE_MONITOR` | `1` shows bridges to `snakebridge status` and `top` |
"#;
