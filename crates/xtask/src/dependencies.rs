//! Which crate may depend on which, and why there is anything of others at all.

use crate::workspace::Workspace;
use crate::{Problems, Result};

/// Of our crates, those that each may depend on. Everything else sits on top of `snakebridge`.
const EDGES: &[(&str, &[&str])] = &[
    ("snakebridge-wire", &[]),
    ("snakebridge-pool", &[]),
    ("snakebridge-shm", &[]),
    ("snakebridge-worker", &[]),
    ("snakebridge-env", &["snakebridge-worker"]),
    (
        "snakebridge",
        &[
            "snakebridge-wire",
            "snakebridge-pool",
            "snakebridge-shm",
            "snakebridge-worker",
            "snakebridge-env",
        ],
    ),
    ("snakebridge-cli", &["snakebridge", "snakebridge-worker"]),
    (
        "snakebridge-testkit",
        &["snakebridge", "snakebridge-wire", "snakebridge-pool", "snakebridge-worker"],
    ),
    (
        "snakebridge-bench",
        &[
            "snakebridge",
            "snakebridge-wire",
            "snakebridge-pool",
            "snakebridge-testkit",
            "snakebridge-worker",
        ],
    ),
    ("xtask", &["snakebridge-env"]),
];

/// Crates of others that ours may name in their manifests, and what for. Those of which users of
/// the library see nothing are for tests and tools.
const DIRECT: &[(&str, &str, &[&str])] = &[
    (
        "serde",
        "typed arguments and results: the traits that users' types implement",
        &[
            "snakebridge",
            "snakebridge-env",
            "snakebridge-wire",
            "snakebridge-cli",
            "snakebridge-testkit",
            "snakebridge-bench",
        ],
    ),
    (
        "rustix",
        "pipes, poll, sockets, signals, locks and the user's id, without unsafe code of our own",
        &[
            "snakebridge",
            "snakebridge-env",
            "snakebridge-shm",
            "snakebridge-worker",
            "snakebridge-cli",
            "snakebridge-testkit",
            "snakebridge-bench",
        ],
    ),
    ("toml", "settings in files, with their places; the lock file", &["snakebridge-env"]),
    ("bytemuck", "items of arrays as bytes, without unsafe code of our own", &["snakebridge"]),
    ("arrow-array", "record batches, behind a feature", &["snakebridge"]),
    ("arrow-buffer", "memory of record batches, behind a feature", &["snakebridge"]),
    ("arrow-data", "columns that are checked before use, behind a feature", &["snakebridge"]),
    ("arrow-ipc", "record batches as bytes, behind a feature", &["snakebridge"]),
    ("arrow-schema", "names and types of columns, behind a feature", &["snakebridge"]),
    (
        "bytes",
        "batches in memory of our own without unsafe code, behind a feature",
        &["snakebridge"],
    ),
    ("serde_arrow", "structs as rows of tables, behind a feature", &["snakebridge"]),
    (
        "half",
        "floats of 16 bits as items of arrays, behind a feature",
        &["snakebridge", "snakebridge-testkit"],
    ),
    ("ndarray", "its arrays, behind a feature", &["snakebridge", "snakebridge-testkit"]),
    ("futures-core", "the trait of async streams, behind a feature", &["snakebridge"]),
    (
        "tokio",
        "calls that are awaited, behind a feature",
        &["snakebridge", "snakebridge-bench", "snakebridge-testkit"],
    ),
    ("landlock", "confinement of workers to files and ports, behind a feature", &["snakebridge"]),
    (
        "seccompiler",
        "confinement of workers to kinds of sockets, behind a feature",
        &["snakebridge"],
    ),
    ("libc", "numbers of system calls and errors for `seccompiler`", &["snakebridge"]),
    ("tracing", "output of workers as events, behind a feature", &["snakebridge"]),
    ("clap", "command lines", &["snakebridge-cli", "snakebridge-testkit", "snakebridge-bench"]),
    ("clap_complete", "completions of the command in shells", &["snakebridge-cli"]),
    ("anstream", "colors where they are wanted; clap has it too", &["snakebridge-cli"]),
    ("anstyle", "which colors; clap has it too", &["snakebridge-cli"]),
    ("rustyline", "the prompt: line editing, history, completion", &["snakebridge-cli"]),
    ("signal-hook", "Ctrl-C at the prompt, without unsafe code of our own", &["snakebridge-cli"]),
    (
        "serde_json",
        "JSON on the command line, in cases, vectors and reports, from cargo and pip, and in the cache",
        &[
            "snakebridge",
            "snakebridge-env",
            "snakebridge-wire",
            "snakebridge-cli",
            "snakebridge-testkit",
            "snakebridge-bench",
            "xtask",
        ],
    ),
    ("axum", "a web service, in an example", &["snakebridge"]),
    ("indicatif", "progress on a terminal; in an example too", &["snakebridge", "snakebridge-cli"]),
    ("base64", "bytes in conformance cases", &["snakebridge-testkit"]),
    ("regex", "patterns in conformance cases", &["snakebridge-testkit"]),
    (
        "criterion",
        "benchmarks of the codec and of the scheduler",
        &["snakebridge-wire", "snakebridge-pool", "snakebridge-bench"],
    ),
    (
        "insta",
        "tests of texts that people read",
        &["snakebridge", "snakebridge-cli", "snakebridge-testkit"],
    ),
    ("loom", "a test of the order of memory accesses", &["snakebridge-shm"]),
    (
        "proptest",
        "tests with made-up input",
        &["snakebridge", "snakebridge-wire", "snakebridge-testkit"],
    ),
    (
        "tempfile",
        "folders for tests",
        &[
            "snakebridge",
            "snakebridge-env",
            "snakebridge-worker",
            "snakebridge-cli",
            "snakebridge-testkit",
            "snakebridge-bench",
        ],
    ),
    ("trybuild", "tests of what must not compile", &["snakebridge"]),
];

/// All that the library is built from, on whichever system, and why.
const TREE: &[(&str, &str)] = &[
    ("snakebridge-wire", "ours: frames and values"),
    ("snakebridge-pool", "ours: the scheduler"),
    ("snakebridge-shm", "ours: shared memory"),
    ("snakebridge-worker", "ours: the Python side"),
    ("serde", "typed arguments and results"),
    ("serde_core", "serde's traits, without its macros"),
    ("bytemuck", "items of arrays as bytes without unsafe code of our own"),
    ("rustix", "system calls without unsafe code of our own"),
    ("bitflags", "of rustix: flags of system calls"),
    ("linux-raw-sys", "of rustix: the numbers of Linux"),
    ("libc", "of rustix: system calls where it has none of its own"),
    ("errno", "of rustix: error numbers, on the same systems"),
];

/// Edges between our crates that are not meant to be.
pub(crate) fn edges(workspace: &Workspace) -> Problems {
    let mut problems = Problems::new();
    for package in &workspace.packages {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
            problems.push(format!("{} has no rule in `EDGES`", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|found| found.is_ours) {
            if !allowed.contains(&dependency.name.as_str()) {
                problems.push(format!("{} must not depend on {}", package.name, dependency.name));
            }
        }
    }
    problems
}

/// Crates of others that nobody has given a reason for.
pub(crate) fn allowed(workspace: &Workspace) -> Result<Problems> {
    let mut problems = Problems::new();
    for package in &workspace.packages {
        for dependency in package.dependencies.iter().filter(|found| !found.is_ours) {
            let is_listed = DIRECT.iter().any(|(name, _, users)| {
                *name == dependency.name && users.contains(&package.name.as_str())
            });
            if !is_listed {
                problems.push(format!(
                    "{} depends on {}, which `DIRECT` gives no reason for",
                    package.name, dependency.name
                ));
            }
        }
    }
    for (name, version) in workspace.tree("snakebridge")? {
        if reason(&name).is_none() {
            problems.push(format!(
                "snakebridge is built from {name} {version}, which `TREE` gives no reason for"
            ));
        }
    }
    Ok(problems)
}

/// Prints all that the library is built from on this system.
pub(crate) fn list(workspace: &Workspace) -> Result {
    for (name, version) in workspace.tree("snakebridge")? {
        let reason = reason(&name).unwrap_or("no reason is given");
        println!("{name:20} {version:10} {reason}");
    }
    Ok(())
}

fn reason(name: &str) -> Option<&'static str> {
    TREE.iter().find(|(listed, _)| *listed == name).map(|(_, reason)| *reason)
}
