//! All settings there are: what the files may say, what the guide's reference is made of.

use Kind::{Bool, Bytes, Choice, Count, List, Map, Path, Paths, Ports, Python, Text, Time, Times};
use Scope::{EachPool, Whole};

/// A setting.
#[derive(Debug)]
#[non_exhaustive]
pub struct Key {
    /// Its name, with the tables that it is in: `index.url`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether each pool has its own.
    pub scope: Scope,
    /// What counts where nothing is said, as it would be written, or in words.
    pub default: &'static str,
    /// What it is for, in Markdown.
    pub doc: &'static str,
}

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A number of bytes: `1048576`, `"512MiB"`, `"2GiB"`.
    Bytes,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number, not below 0.
    Count,
    /// Texts.
    List,
    /// A table of texts.
    Map,
    /// A file or folder, relative to the folder of the file that says it.
    Path,
    /// Several of them, or addresses.
    Paths,
    /// Numbers of TCP ports.
    Ports,
    /// A path, a command, a version or a range of versions.
    Python,
    /// A text.
    Text,
    /// A time: `"500ms"`, `"30s"`, `"2m"`, `"1h"`, `"never"`, or a number of seconds.
    Time,
    /// A table of times.
    Times,
}

/// What has a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Each pool.
    EachPool,
    /// The whole bridge.
    Whole,
}

impl Key {
    /// The environment variable that says the same for the bridge and its default pool, where there
    /// is one: tables have none.
    #[must_use]
    pub fn variable(&self) -> Option<String> {
        let name = self.name.replace(['-', '.'], "_").to_ascii_uppercase();
        (!matches!(self.kind, Map | Times)).then(|| format!("{VARIABLE_PREFIX}{name}"))
    }
}

impl Kind {
    /// What is expected, for people.
    #[must_use]
    pub fn expected(self) -> String {
        match self {
            Bool => "`true` or `false`".to_owned(),
            Bytes => "a number of bytes such as `1048576` or `\"512MiB\"`".to_owned(),
            Choice(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
                words.join(" or ")
            }
            Count => "a whole number".to_owned(),
            List => "a list of texts".to_owned(),
            Map => "a table of texts".to_owned(),
            Path => "a path".to_owned(),
            Paths => "a list of paths".to_owned(),
            Ports => "a list of TCP ports".to_owned(),
            Python => "a path, a command, a version or a range of versions".to_owned(),
            Text => "a text".to_owned(),
            Time => {
                "a time such as `\"30s\"`, `\"2m\"`, `\"never\"`, or a number of seconds".to_owned()
            }
            Times => "a table of times".to_owned(),
        }
    }
}

/// What the names of all environment variables begin with.
pub(crate) const VARIABLE_PREFIX: &str = "SNAKEBRIDGE_";

/// The setting of this name.
#[must_use]
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

const fn of_pool(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, scope: EachPool, default, doc }
}

const fn of_bridge(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Key {
    Key { name, kind, scope: Whole, default, doc }
}

/// All settings, in the order of the reference.
pub const KEYS: &[Key] = &[
    of_pool(
        "python",
        Python,
        "the first that works",
        "Which Python: a path to an interpreter or to the folder of an environment, a command \
         (`python3.12`), a version (`3.12`), or a range of versions (`>=3.10,<3.14`), of which the \
         first that is found is taken.",
    ),
    of_pool(
        "packages",
        List,
        "[]",
        "Packages that Python needs, as pip and uv take them, with extras and markers: \
         `numpy>=2`, `pandas[performance]>=2; python_version < '3.14'`. Where there are any, the \
         pool gets an environment of its own with them.",
    ),
    of_pool(
        "install",
        Choice(&["auto", "never"]),
        "\"auto\"",
        "With `never` no environment is made: the packages are taken to be in the Python that is \
         found, which is used as it is.",
    ),
    of_pool("index.url", Text, "that of pip or uv", "The package index."),
    of_pool("index.extra", List, "[]", "Package indexes that are looked at too."),
    of_pool("index.find-links", Paths, "[]", "Folders and pages with packages."),
    of_pool("index.none", Bool, "false", "Looks at no package index, only at `index.find-links`."),
    of_pool("workers", Count, "1", "How many workers there are at most, 1 to 1024."),
    of_pool(
        "min-workers",
        Count,
        "as many as `workers`",
        "How many workers are kept, no more than `workers`; those are started while calls wait.",
    ),
    of_pool("module-path", Paths, "[]", "Folders in which Python looks for modules first."),
    of_pool("current-dir", Path, "that of the program", "The current folder of the workers."),
    of_pool("env", Map, "{}", "Environment variables of the workers, beside those of the program."),
    of_pool(
        "env-remove",
        List,
        "[]",
        "Environment variables that are taken away from the workers.",
    ),
    of_pool("preload", List, "[]", "Modules to import before a worker takes calls."),
    of_pool("fork-server", Bool, "false", "Forks workers from a process that has done so."),
    of_pool(
        "threads",
        Count,
        "what the libraries choose",
        "How many threads the numeric libraries of a worker may use.",
    ),
    of_pool("asyncio", Count, "no event loop", "How many calls run at once on an event loop."),
    of_pool(
        "spin",
        Text,
        "\"auto\"",
        "How long both sides of a call look for what comes next before they sleep: `auto`, while that \
         pays; `off`; or microseconds, such as `\"200\"`.",
    ),
    of_pool(
        "affinity",
        Choice(&["hint", "strict-queue", "strict-fail-fast"]),
        "\"hint\"",
        "Which worker calls go to.",
    ),
    of_pool("memory-limit", Bytes, "none", "How much address space a worker may have."),
    of_pool("start-timeout", Time, "\"30s\"", "How long a worker may take to start."),
    of_pool("queue-limit", Count, "1000", "How many calls may wait for a worker."),
    of_pool("queue-timeout", Time, "\"never\"", "How long a call may wait for a worker."),
    of_pool("idle-limit", Time, "\"1m\"", "How long a worker above `min-workers` may be idle."),
    of_pool("grace", Time, "\"1s\"", "How long interrupted code may go on before it is killed."),
    of_pool("recycle-after-calls", Count, "never", "Replaces a worker after this many calls."),
    of_pool("recycle-after", Time, "\"never\"", "Replaces a worker at this age."),
    of_pool("recycle-above", Bytes, "never", "Replaces a worker that uses more memory."),
    of_pool("drain-limit", Time, "\"never\"", "How long refs may hold up the replacement."),
    of_pool(
        "helpers.path",
        Paths,
        "`python/helpers`",
        "Folders and files with functions of the project's own.",
    ),
    of_pool("helpers.allow", List, "all", "The helpers that may be called, by file or name."),
    of_pool("helpers.reload", Bool, "in debug builds", "Loads files anew when they have changed."),
    of_pool("helpers.enabled", Bool, "true", "Whether there are helpers."),
    of_pool("guard.allow", List, "all", "The modules and names that may be called."),
    of_pool("guard.deny", List, "[]", "Modules and names that may not be called."),
    of_pool(
        "confine.enabled",
        Bool,
        "`true` where another setting of `confine` is said",
        "Whether the kernel confines the workers: nothing but Python itself can be read, and nothing \
         written or connected to, but for what the following settings grant. Needs the feature \
         `confine`.",
    ),
    of_pool("confine.read", Paths, "[]", "Files and folders that can be read."),
    of_pool("confine.write", Paths, "[]", "Files and folders that can be read and written."),
    of_pool("confine.connect", Ports, "[]", "TCP ports that can be connected to."),
    of_pool("confine.listen", Ports, "[]", "TCP ports that can be listened on."),
    of_pool("confine.udp", Bool, "false", "Allows UDP."),
    of_pool("confine.unix-sockets", Bool, "false", "Allows Unix sockets."),
    of_pool("confine.network", Bool, "false", "Leaves the network and all sockets alone."),
    of_pool("confine.open-files", Count, "no limit", "How many files each process may have open."),
    of_pool("confine.processes", Count, "no limit", "How many processes and threads there may be."),
    of_pool("confine.file-size", Bytes, "no limit", "How large a file may be that is written."),
    of_pool("confine.cpu-time", Time, "\"never\"", "Time of the processor for each process."),
    of_pool("confine.best-effort", Bool, "false", "Leaves out what the kernel cannot do."),
    of_bridge("timeout", Time, "\"2m\"", "How long a call may take."),
    of_bridge("profile", Times, "{}", "Time limits with names, for calls and libraries."),
    of_bridge("library-profile", Map, "{}", "Which time limit the calls into a library have."),
    of_bridge("session-ttl", Time, "\"never\"", "How long a ref may go unused."),
    of_bridge("session-max-refs", Count, "no limit", "How many refs a session may have."),
    of_bridge(
        "output",
        Choice(&["forward", "discard"]),
        "\"forward\"",
        "What becomes of what Python prints.",
    ),
    of_bridge(
        "environment.installer",
        Choice(&["auto", "uv", "pip"]),
        "\"auto\"",
        "What makes environments. `auto` is uv where it is on `PATH`, can be run as `python -m uv`, \
         or can be fetched from the package index; else `venv` and pip.",
    ),
    of_bridge(
        "environment.offline",
        Bool,
        "false",
        "Makes environments without network: uv from what it has kept and from `index.find-links`, pip \
         from `index.find-links` alone.",
    ),
    of_bridge(
        "environment.lock-file",
        Path,
        "`snakebridge.lock` beside `snakebridge.toml`, if it exists",
        "The file with exact versions and hashes.",
    ),
    of_bridge(
        "environment.locked",
        Bool,
        "`true` where `CI` is set and there is a lock file",
        "Makes environments of what the lock file says, or not at all.",
    ),
    of_bridge(
        "environment.python-download",
        Choice(&["auto", "never"]),
        "\"auto\"",
        "With `auto`, uv downloads the Python that is wanted where there is none of that version.",
    ),
    of_bridge("environment.timeout", Time, "\"10m\"", "How long the making may take."),
];
