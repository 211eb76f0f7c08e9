//! What the interpreter itself says, and whether calls work.

use std::time::{Duration, Instant};

use serde::Deserialize;
use snakebridge::{Bridge, Bytes, Guard, Output, PythonInfo, Result};

use super::configuration::Subject;
use super::finding::Finding;
use crate::python;

#[derive(Debug, Deserialize)]
struct Facts {
    prefix: String,
    base_prefix: String,
    has_gil: bool,
    missing_folders: Vec<String>,
    shadowed: Vec<Shadowed>,
    missing_modules: Vec<String>,
    site_packages: Option<String>,
    is_site_writable: bool,
    is_externally_managed: bool,
    imports: Vec<Imported>,
}

#[derive(Debug, Deserialize)]
struct Shadowed {
    name: String,
    file: String,
}

#[derive(Debug, Deserialize)]
struct Imported {
    name: String,
    error: Option<String>,
    is_missing: bool,
    version: Option<String>,
    file: Option<String>,
}

/// Starts a worker and has a look from within.
pub(super) fn check(
    subject: &Subject,
    python: &PythonInfo,
    imports: &[String],
    findings: &mut Vec<Finding>,
) {
    let (start, call, facts) = match examine(subject, imports) {
        Ok(Examined { is_right: false, .. }) => {
            let remedy =
                "try another Python; and please report it, with the output of this command";
            findings.push(Finding::error("call", "calls give wrong results", remedy));
            return;
        }
        Ok(Examined { start, call, facts, .. }) => (start, call, facts),
        Err(error) => {
            let hint = error.hint().unwrap_or("see whether this Python works by itself");
            findings.push(Finding::error("call", error.to_string(), hint));
            return;
        }
    };
    of_library(&facts, findings);
    of_packages(&facts, python, findings);
    let message = format!("a worker starts in {start:.0?}, a call takes {call:.1?}");
    findings.push(Finding::ok("call", message));
}

/// How long a start and a call take, whether results are right, and what Python says of itself.
struct Examined {
    start: Duration,
    call: Duration,
    is_right: bool,
    facts: Facts,
}

fn examine(subject: &Subject, imports: &[String]) -> Result<Examined> {
    let begin = Instant::now();
    let builder = subject.options.apply(subject.builder()?);
    // What is called here need not be allowed to the program, and what modules print when they are
    // imported is their own business.
    let py = builder.guard(Guard::new()).output(Output::Discard).build()?;
    py.ready()?;
    let start = begin.elapsed();
    let (call, is_right) = make_calls(&py)?;
    python::load(&py)?;
    let facts: Facts = py.call(python::DIAGNOSIS, "facts", (imports,)).wait()?;
    py.shutdown();
    Ok(Examined { start, call, is_right, facts })
}

/// Real ones, small and large: what a small one takes, and whether the results are right.
fn make_calls(py: &Bridge) -> Result<(Duration, bool)> {
    let root: f64 = py.call("math", "sqrt", (16,)).wait()?;
    let size: usize = py.call("builtins", "len", (Bytes::from(&[7; 1 << 20][..]),)).wait()?;
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..200 {
        let begin = Instant::now();
        py.exec("math", "sqrt", (16,)).wait()?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok((times[times.len() / 2], (root, size) == (4.0, 1 << 20)))
}

fn of_library(facts: &Facts, findings: &mut Vec<Finding>) {
    if !facts.missing_folders.is_empty() {
        findings.push(Finding::warning(
            "module.path",
            format!("folders in PYTHONPATH do not exist: {}", facts.missing_folders.join(", ")),
            "take them out of PYTHONPATH, or make them",
        ));
    }
    for Shadowed { name, file } in &facts.shadowed {
        findings.push(Finding::warning(
            "module.hidden",
            format!("`{file}` takes the place of `{name}` of Python's own library"),
            "rename the file: everything that imports that module gets yours",
        ));
    }
    if !facts.missing_modules.is_empty() {
        findings.push(Finding::warning(
            "library",
            format!("parts of Python's own library are missing: {}", facts.missing_modules.join(", ")),
            "install them with your system's packages (Debian: `apt install python3-full`), or use a \
             Python that has them, as those of uv",
        ));
    }
    if !facts.has_gil {
        findings.push(Finding::note("library", "this Python is free-threaded"));
    }
}

fn of_packages(facts: &Facts, python: &PythonInfo, findings: &mut Vec<Finding>) {
    let install = format!("{} -m pip install", python.executable.display());
    for Imported { name, error, is_missing, version, file } in &facts.imports {
        let package = name.split('.').next().unwrap_or(name);
        findings.push(match error {
            None => {
                let version = version.as_deref().unwrap_or("without a version");
                let file = file.as_deref().unwrap_or("built in");
                Finding::ok("import", format!("{name} {version}: {file}"))
            }
            Some(_) if *is_missing => Finding::error(
                "import",
                format!("there is no module `{name}` in {}", facts.prefix),
                format!("`{install} {package}`, if its package has that name; or `--path DIR`"),
            ),
            Some(error) => Finding::error(
                "import",
                format!("`{name}` cannot be imported: {error}"),
                format!("install it again: `{install} --force-reinstall {package}`"),
            ),
        });
    }
    let site = facts.site_packages.as_deref().unwrap_or("nowhere");
    let is_environment = facts.prefix != facts.base_prefix;
    let message = format!("packages go to {site}");
    findings.push(match (facts.is_externally_managed, facts.is_site_writable) {
        (true, _) => Finding::note(
            "packages",
            format!("{message}, which the system manages: pip needs a virtual environment"),
        ),
        (false, false) => Finding::note("packages", format!("{message}, which cannot be written")),
        (false, true) if is_environment => Finding::ok("packages", message),
        (false, true) => Finding::ok("packages", format!("{message}, of all programs")),
    });
}
