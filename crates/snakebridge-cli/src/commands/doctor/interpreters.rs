//! Which Python is used, and why no other one.

use std::sync::{Arc, Mutex, PoisonError};

use snakebridge::{Error, ErrorKind, Output, OutputEvent, PythonInfo};
use snakebridge_worker::cache::{self, CACHE_DIR};
use snakebridge_worker::interpreter::{Candidate, PYTHON, Surroundings, Wanted, search};

use super::configuration::Subject;
use super::finding::Finding;

/// Looks for the interpreter that calls would use; none if there is none.
pub(super) fn check(subject: &mut Subject, findings: &mut Vec<Finding>) -> Option<PythonInfo> {
    if !check_cache(findings) {
        return None;
    }
    let around = Surroundings::of_process();
    let python = subject.options.python.as_ref();
    let wanted: Option<Wanted> = python.and_then(|text| text.parse().ok());
    let candidates = search(wanted.as_ref(), &around);
    match start_or_blame_settings(subject, findings) {
        Ok((python, printed)) => {
            passed_over(subject, &candidates, &python, findings);
            findings.push(Finding::ok(
                "interpreter",
                format!(
                    "Python {} ({}): {}, {}",
                    python.version,
                    python.implementation,
                    python.executable.display(),
                    python.origin
                ),
            ));
            said_at_start(&printed, findings);
            Some(python)
        }
        Err(error) => {
            findings.push(unusable(&error, &candidates));
            None
        }
    }
}

/// Starts a worker; if that works only without the settings, it is their fault.
fn start_or_blame_settings(
    subject: &mut Subject,
    findings: &mut Vec<Finding>,
) -> Result<(PythonInfo, String), Error> {
    let error = match start(subject, None) {
        Err(error) if subject.leave_settings() => error,
        other => return other,
    };
    let found = start(subject, None)?;
    let message = format!("no worker starts with these settings: {}", in_full(&error));
    let remedy =
        "change what it is about; `snakebridge config --said` shows what is said, and where";
    findings.push(Finding::error("config", message, remedy));
    Ok(found)
}

/// Starts a worker, on this interpreter or the one that is found. What it is, and what it prints at its start.
fn start(subject: &Subject, python: Option<&str>) -> Result<(PythonInfo, String), Error> {
    let printed = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&printed);
    let output = Output::Handler(Arc::new(move |event| {
        if let OutputEvent::Printed(piece) = event {
            sink.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(piece.data);
        }
    }));
    let mut builder = subject.builder()?.output(output);
    if let Some(python) = python.or(subject.options.python.as_deref()) {
        builder = builder.python(python);
    }
    let py = builder.build()?;
    let found = py.ready();
    // All that it prints has been passed on once its worker has ended.
    py.shutdown();
    let printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((found?, String::from_utf8_lossy(&printed).into_owned()))
}

fn said_at_start(printed: &str, findings: &mut Vec<Finding>) {
    let mut lines = printed.lines().filter(|line| !line.trim().is_empty());
    if let Some(line) = lines.next() {
        findings.push(Finding::warning(
            "start",
            format!("Python prints when it starts: {line}"),
            "look at `sitecustomize`, `usercustomize` and the `.pth` files of its site-packages",
        ));
    }
}

/// Interpreters that come before the one that works, and why they do not.
fn passed_over(
    subject: &Subject,
    candidates: &[Candidate],
    used: &PythonInfo,
    findings: &mut Vec<Finding>,
) {
    let earlier = candidates.iter().take_while(|candidate| candidate.origin != used.origin);
    for candidate in earlier {
        let file = candidate.path.to_string_lossy();
        if let Err(error) = start(subject, Some(&file)) {
            let message = format!("{} was passed over: {error}", candidate.origin);
            let remedy = remedy(&error).unwrap_or_else(|| {
                "mend or remove it, or name the one to use: `--python SPEC`".to_owned()
            });
            findings.push(Finding::warning("interpreter", message, remedy));
        }
    }
}

fn unusable(error: &Error, candidates: &[Candidate]) -> Finding {
    let remedy = remedy(error).unwrap_or_else(|| match candidates.is_empty() {
        true => format!(
            "install Python 3.9 or newer (https://www.python.org, `uv python install`, your system's packages), \
             or say where it is: `--python SPEC` or {PYTHON}"
        ),
        false => format!("name one that works: `--python SPEC` or {PYTHON}"),
    });
    Finding::error("interpreter", in_full(error), remedy)
}

/// With what Python has said.
fn in_full(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(said) => format!("{error}\n{said}"),
        None => error.to_string(),
    }
}

/// For causes that are known.
fn remedy(error: &Error) -> Option<String> {
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let said = format!("{error}\n{source}");
    let has = |text: &str| said.contains(text);
    let set = |name: &str| std::env::var_os(name).is_some();
    Some(match error.kind() {
        _ if set("PYTHONHOME") && (has("encodings") || has("PYTHONHOME")) => {
            "unset PYTHONHOME: it sends Python to the library of another one".to_owned()
        }
        ErrorKind::Incompatible => {
            "install Python 3.9 or newer, or name one: `--python 3.12`".to_owned()
        }
        _ if has("may not be run") => {
            "make the file executable (`chmod +x`), or name another one: `--python SPEC`".to_owned()
        }
        _ if has("No module named 'encodings'") || has("No such file or directory") => {
            "its library or a part of it is gone: make the environment anew, or install that Python again"
                .to_owned()
        }
        _ => return None,
    })
}

fn check_cache(findings: &mut Vec<Finding>) -> bool {
    let set = std::env::var_os(CACHE_DIR).is_some();
    match cache::install() {
        Ok(folder) if !set && folder.starts_with(std::env::temp_dir()) => {
            let message = format!(
                "the user's cache folder cannot be written, so `{}` is used, which may be emptied at any time",
                folder.display()
            );
            let remedy =
                format!("make `~/.cache` writable, or set {CACHE_DIR} to a folder that is");
            findings.push(Finding::warning("cache", message, remedy));
            true
        }
        Ok(folder) => {
            findings.push(Finding::ok("cache", folder.display().to_string()));
            true
        }
        Err(error) => {
            let remedy = format!("set {CACHE_DIR} to a folder that can be written, and has space");
            findings.push(Finding::error("cache", error.to_string(), remedy));
            false
        }
    }
}
