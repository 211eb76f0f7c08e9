//! Virtual environments: those that are meant, and whether they are whole.

use std::fs;
use std::path::{Path, PathBuf};

use snakebridge::PythonInfo;
use snakebridge_worker::interpreter::PYTHON;

use super::super::Options;
use super::finding::Finding;

/// Looks at the environments that surround the command.
pub(super) fn check(used: Option<&PythonInfo>, decider: &str, findings: &mut Vec<Finding>) {
    let mut names = Vec::new();
    for name in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        if let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) {
            names.push((format!("${name}"), PathBuf::from(value)));
        }
    }
    if let Some(folder) = beside() {
        names.push(("`.venv`".to_owned(), folder));
    }
    for (name, folder) in &names {
        let problem = problem(folder);
        if let Some((what, remedy)) = problem {
            let message = format!("{name} is `{}`, {what}", folder.display());
            findings.push(Finding::warning("environment", message, remedy));
        } else if used.is_some_and(|python| python.executable.starts_with(folder)) {
            findings.push(Finding::ok("environment", format!("{name}: {}", folder.display())));
        } else if let Some(python) = used {
            not_used(name, folder, python, decider, findings);
        }
    }
}

/// `.venv` of the current folder, or of the nearest one above that has one.
fn beside() -> Option<PathBuf> {
    let current = std::env::current_dir().ok()?;
    current.ancestors().map(|folder| folder.join(".venv")).find(|folder| folder.is_dir())
}

/// What is wrong with an environment, and what helps.
fn problem(folder: &Path) -> Option<(String, String)> {
    let anew = format!("make it anew: `python3 -m venv --clear {}`", folder.display());
    if !folder.is_dir() {
        let remedy = "leave it (`deactivate`, or unset the variable), or make it".to_owned();
        return Some(("which does not exist".to_owned(), remedy));
    }
    let python = ["bin/python3", "bin/python"].map(|name| folder.join(name));
    let link = python.iter().find(|file| file.symlink_metadata().is_ok());
    let Some(link) = link else {
        return Some(("which has no Python in it".to_owned(), anew));
    };
    if !link.exists() {
        let target = fs::read_link(link).unwrap_or_default();
        let what = format!("whose Python was removed (`{}`)", target.display());
        return Some((what, anew));
    }
    if let Some(home) = home(folder).filter(|home| !home.is_dir()) {
        return Some((format!("whose Python was removed (`{}`)", home.display()), anew));
    }
    let made_as = made_as(folder).filter(|made| !is_same(made, folder));
    made_as.map(|made| (format!("which was moved there from `{}`", made.display()), anew))
}

/// Where the Python of an environment comes from, as its `pyvenv.cfg` says.
fn home(folder: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(folder.join("pyvenv.cfg")).ok()?;
    let home = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "home").then(|| value.trim().to_owned())
    });
    home.map(PathBuf::from)
}

/// Where the scripts of an environment think that they are.
fn made_as(folder: &Path) -> Option<PathBuf> {
    let script = fs::read_to_string(folder.join("bin/activate")).ok()?;
    let path = script.lines().find_map(|line| {
        let value = line.trim().trim_start_matches("export ").strip_prefix("VIRTUAL_ENV=")?;
        Some(value.trim_matches(['"', '\'']))
    })?;
    path.starts_with('/').then(|| PathBuf::from(path))
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn not_used(
    name: &str,
    folder: &Path,
    python: &PythonInfo,
    decider: &str,
    findings: &mut Vec<Finding>,
) {
    // Some Pythons name themselves by what the link of the environment leads to.
    let is_link = ["bin/python3", "bin/python"]
        .iter()
        .any(|file| is_same(&folder.join(file), &python.executable))
        && python.origin.contains(name.trim_start_matches('$'));
    if is_link {
        findings.push(Finding::ok("environment", format!("{name}: {}", folder.display())));
        return;
    }
    let message =
        format!("{name} is `{}`, but {decider} decides: {}", folder.display(), python.origin);
    findings.push(Finding::warning(
        "environment",
        message,
        "if that is not what you want, leave the one, or drop the other",
    ));
}

/// What decides which Python is used: what was given, and what counts with the settings.
pub(super) fn decider(given: &Options, counting: &Options) -> &'static str {
    match (&given.python, std::env::var_os(PYTHON), &counting.python) {
        (Some(_), ..) => "`--python`",
        (None, Some(_), _) => PYTHON,
        (None, None, Some(_)) => "what the settings declare",
        (None, None, None) => "an environment that comes first",
    }
}
