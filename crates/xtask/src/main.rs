//! Checks of the workspace that no other tool makes.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it reports")]

mod dependencies;
mod paths;
mod python;
mod reference;
mod sizes;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "\
Usage: cargo xtask <COMMAND>

Commands:
  check         Dependencies, file sizes, paths of one machine, golden vectors, reference
  dependencies  List all that `snakebridge` depends on, and why
  reference     Write the guide's page of all settings
  python-lint   ruff and mypy on the Python side, from a virtual environment in `.tools`";

type Error = Box<dyn std::error::Error>;
type Result<T = (), E = Error> = std::result::Result<T, E>;

/// What a check found to be wrong.
type Problems = Vec<String>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["check"] => check(),
        ["dependencies"] => Workspace::load().and_then(|all| dependencies::list(&all)),
        ["reference"] => Workspace::load().and_then(|all| reference::write(&all)),
        ["python-lint"] => Workspace::load().and_then(|all| python::lint(&all)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> Result {
    let workspace = Workspace::load()?;
    let files = workspace.files()?;
    let checks: [(&str, Problems); 6] = [
        ("edges between crates", dependencies::edges(&workspace)),
        ("dependencies", dependencies::allowed(&workspace)?),
        ("file sizes", sizes::check(&files)),
        ("paths of one machine", paths::check(&files)),
        ("golden vectors", python::check_vectors(&workspace)?),
        ("reference of settings", reference::check(&workspace)),
    ];
    let mut count = 0;
    for (name, problems) in &checks {
        let verdict = match problems[..] {
            [] => "ok",
            _ => "FAILED",
        };
        println!("{name}: {verdict}");
        for problem in problems {
            println!("  {problem}");
        }
        count += problems.len();
    }
    match count {
        0 => Ok(()),
        count => Err(format!("{count} found").into()),
    }
}
