//! Runs case files: `conformance [FILE...] [--only ID] [--area NAME] [--python PATH]`.

#![expect(clippy::print_stdout, reason = "it reports to whoever runs it")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use snakebridge_testkit::{Report, Settings, case::Suite, run};

/// Runs conformance cases against the library.
#[derive(Debug, Parser)]
struct Options {
    /// Files of cases; those that come with the project if none is given.
    files: Vec<PathBuf>,
    /// Only the case with this id.
    #[arg(long, value_name = "ID")]
    only: Option<String>,
    /// Only the cases of this area.
    #[arg(long, value_name = "NAME")]
    area: Option<String>,
    /// The interpreter of the workers: a path, a command or a version.
    #[arg(long, value_name = "PYTHON")]
    python: Option<String>,
    /// Name every case that was skipped, not only how many.
    #[arg(long)]
    list_skipped: bool,
}

fn main() -> ExitCode {
    let Options { files, only, area, python, list_skipped } = Options::parse();
    let settings = Settings { only, area, python };
    let files = if files.is_empty() { own_files() } else { files };
    let mut total = Report::default();
    for file in files {
        match run_file(&file, &settings) {
            Ok(report) => {
                total.passed.extend(report.passed);
                total.failed.extend(report.failed);
                total.skipped.extend(report.skipped);
            }
            Err(error) => {
                println!("error: {}: {error}", file.display());
                return ExitCode::from(2);
            }
        }
    }
    print(&total, list_skipped);
    if total.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn own_files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("cases");
    ["seed.json", "core.json", "numpy_pandas.json"].map(|name| folder.join(name)).into()
}

fn run_file(
    file: &std::path::Path,
    settings: &Settings,
) -> Result<Report, Box<dyn std::error::Error>> {
    let suite: Suite = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    run(&suite, settings)
}

fn print(report: &Report, list_skipped: bool) {
    for (id, problem) in &report.failed {
        println!("FAIL {id}: {problem}");
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (id, reason) in &report.skipped {
        if list_skipped {
            println!("SKIP {id}: {reason}");
        }
        *reasons.entry(reason).or_default() += 1;
    }
    for (reason, count) in reasons {
        println!("skipped {count}: {reason}");
    }
    let (passed, failed, skipped) =
        (report.passed.len(), report.failed.len(), report.skipped.len());
    println!("{passed} passed, {failed} failed, {skipped} skipped");
}
