//! What an interpreter needs to read in order to run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, CommandEnvs};

/// Libraries, tables and devices that programs count on. What there is not is left out.
const OF_SYSTEM: &[&str] = &[
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/sbin",
    "/usr",
    "/nix/store",
    "/gnu/store",
    // Of `/etc` what says where things are and how they are called, and nothing of services.
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/timezone",
    "/var/lib/ca-certificates",
    // What a library asks before it decides how many threads to start. Landlock itself keeps the
    // secrets of other processes.
    "/proc",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/dev/random",
    "/dev/urandom",
];

/// Folders of an interpreter beside the one that it is in.
const OF_PREFIX: [&str; 3] = ["bin", "lib", "lib64"];

/// Variables whose folders Python and the loader of libraries look through.
const PATHS: [&str; 2] = ["PYTHONPATH", "LD_LIBRARY_PATH"];

/// All that this interpreter needs, with these changes of the environment.
pub(super) fn of_python(python: &Path, changes: CommandEnvs<'_>) -> Vec<PathBuf> {
    let changes: Vec<_> = changes.collect();
    let var = |name: &str| match changes.iter().find(|(changed, _)| *changed == OsStr::new(name)) {
        Some((_, value)) => value.map(OsStr::to_owned),
        None => std::env::var_os(name),
    };
    let mut places: Vec<PathBuf> = OF_SYSTEM.iter().map(PathBuf::from).collect();
    places.push(python.to_owned());
    places.extend(environment(python));
    let bases = [python.canonicalize().ok(), base_of_environment(python)];
    places.extend(bases.iter().flatten().flat_map(|python| of_installation(python)));
    for name in PATHS {
        let value = var(name).unwrap_or_default();
        // An empty one is the current folder.
        places.extend(std::env::split_paths(&value).filter(|path| path.is_absolute()));
    }
    let home = || var("HOME").map(|home| Path::new(&home).join(".local"));
    let user = var("PYTHONUSERBASE").map(PathBuf::from).or_else(home);
    places.extend(user.iter().flat_map(|user| packages_of_user(user)));
    places
}

/// The interpreter that a script leads to.
pub(super) fn interpreter_of(script: &Path) -> Option<PathBuf> {
    let code = "import sys; sys.stdout.write(sys.executable)";
    let output = Command::new(script).args(["-I", "-S", "-c", code]).output().ok()?;
    let found = PathBuf::from(String::from_utf8(output.stdout).ok()?);
    (output.status.success() && found.is_file()).then_some(found)
}

/// The virtual environment that an interpreter belongs to, or the one of conda.
fn environment(python: &Path) -> Option<PathBuf> {
    let folder = python.parent()?.parent()?;
    let is_one = folder.join("pyvenv.cfg").exists() || folder.join("conda-meta").exists();
    is_one.then(|| folder.to_owned())
}

/// An interpreter in the folder that the one of a virtual environment was made from.
fn base_of_environment(python: &Path) -> Option<PathBuf> {
    let settings = std::fs::read_to_string(environment(python)?.join("pyvenv.cfg")).ok()?;
    let home = settings.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "home").then(|| value.trim().to_owned())
    });
    Path::new(&home?).join("python3").canonicalize().ok()
}

/// What belongs to an interpreter, by where it really is: the folders of its own, not all that is beside
/// them. It may have been installed into the home of its user.
fn of_installation(python: &Path) -> Vec<PathBuf> {
    let Some(prefix) = python.parent().and_then(Path::parent) else { return Vec::new() };
    match environment(python) {
        Some(all) => vec![all],
        None => OF_PREFIX.iter().map(|name| prefix.join(name)).collect(),
    }
}

/// Packages that a user has installed for themselves.
fn packages_of_user(base: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(base.join("lib")).into_iter().flatten().flatten();
    let of_python =
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("python"));
    of_python.map(|entry| entry.path()).collect()
}
