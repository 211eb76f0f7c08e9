//! `snakebridge doctor`.

mod configuration;
mod environments;
mod finding;
mod interpreters;
mod limits;
mod python;
mod system;

use clap::Args;
use serde_json::json;

use self::finding::{Finding, Level};
use super::{Options, print_line, print_styled};
use crate::exit_code;
use crate::report::Failure;

/// Look for what is wrong with Python, its environment and this machine, and say what to do about it.
///
/// Looks at the interpreters that are found, virtual environments, variables, modules that hide others, the
/// cache, shared memory and the limits of the process; then starts a worker and makes real calls. The exit
/// code is 0 if calls work, warnings or not; 3 if there is no usable Python, 6 for other errors.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Doctor {
    /// Also see whether a module can be imported; can be given several times
    #[arg(short, long = "import", value_name = "MODULE")]
    imports: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  snakebridge doctor
  snakebridge doctor --import numpy --python .venv/bin/python
  snakebridge doctor --json | jq '.findings[] | select(.level != \"ok\")'";

impl Doctor {
    pub(super) fn run(&self, options: &Options) -> Result<(), Failure> {
        let mut findings = Vec::new();
        // Where the environment with the declared packages is there, it is what calls use.
        let mut subject = configuration::check(options, &mut findings)?;
        let python = interpreters::check(&mut subject, &mut findings);
        let decider = environments::decider(options, &subject.options);
        environments::check(python.as_ref(), decider, &mut findings);
        if let Some(python) = &python {
            python::check(&subject, python, &self.imports, &mut findings);
        }
        system::check(&mut findings);
        limits::check(&mut findings);
        let worst = findings.iter().map(Finding::level).max().unwrap_or(Level::Ok);
        match options.json {
            true => {
                let version = env!("CARGO_PKG_VERSION");
                let healthy = worst < Level::Error;
                let report = json!({"version": version, "healthy": healthy, "findings": findings});
                print_line(&report.to_string())?;
            }
            false => print_styled(&to_text(&findings))?,
        }
        match (worst, python) {
            (Level::Error, None) => Err(Failure::Exit(exit_code::NO_PYTHON)),
            (Level::Error, Some(_)) => Err(Failure::Exit(exit_code::OTHER)),
            _ => Ok(()),
        }
    }
}

fn to_text(findings: &[Finding]) -> String {
    let mut out = String::new();
    findings.iter().for_each(|finding| finding.write(&mut out));
    let count = |level| findings.iter().filter(|finding| finding.level() == level).count();
    let plural = |count: usize, word| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    out.push_str(&match (errors, warnings) {
        (0, 0) => "\nAll is well.\n".to_owned(),
        _ => format!("\n{}, {}.\n", plural(errors, "error"), plural(warnings, "warning")),
    });
    out
}
