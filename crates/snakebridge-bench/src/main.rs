//! Measures SnakeBridge against the floors of the machine it runs on, and holds the results
//! against the bars of the project.
//!
//! ```text
//! cargo run --release -p snakebridge-bench               # a table
//! cargo run --release -p snakebridge-bench -- --json     # one JSON object
//! cargo run --release -p snakebridge-bench -- --quick --check --only calls
//! ```
//!
//! Times say little on a machine that does other things too. So whatever is compared is measured
//! in turn, in many rounds of one run, and a ratio is the median of the ratios within each round.
//!
//! The bars on times are judged with all processes of a measurement on one core. That is where
//! they are strictest, because it leaves nothing but the work itself: across cores the wake-up of
//! an idle core is added to both sides. The figures that end in `_unpinned` are those without.

#![forbid(unsafe_code)]

mod arrays;
mod awaited;
mod callbacks;
mod calls;
mod cores;
mod environments;
mod floors;
mod forks;
mod hot;
mod memory;
mod pipelines;
mod records;
mod report;
mod scale;
mod sidecar;
mod start;
mod stats;
mod stops;
mod streams;
mod tables;
mod threads;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread::available_parallelism;

use clap::{Parser, ValueEnum};
use snakebridge::{Bridge, BridgeBuilder};
use tempfile::TempDir;

use report::Report;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Environment variable that keeps Python from writing bytecode. Container images often set it.
const NO_BYTECODE: &str = "PYTHONDONTWRITEBYTECODE";

/// Measures SnakeBridge against the floors of the machine.
#[derive(Debug, Parser)]
struct Options {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Measure in fewer rounds: 10 to 20 seconds in all
    #[arg(long)]
    quick: bool,
    /// End with code 1 if a bar is not held
    #[arg(long)]
    check: bool,
    /// The interpreter: a path, a command or a version
    #[arg(long, value_name = "PYTHON")]
    python: Option<String>,
    /// Measure these groups only
    #[arg(long, value_name = "GROUP", num_args = 1..)]
    only: Vec<Group>,
    /// Be the other process of a floor: send back what comes on standard input
    #[arg(long = floors::ECHO_FLAG, hide = true)]
    echo: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    /// The floors, a call, a method
    Calls,
    /// Calls that follow each other closely, with a free core and without
    Hot,
    /// A call that is awaited
    Awaited,
    /// A call that calls back
    Callbacks,
    /// Calls of a pipeline
    Pipelines,
    /// Items of streams
    Streams,
    /// Ten thousand records
    Records,
    /// Arrays of numpy
    Arrays,
    /// Tables of Arrow
    Tables,
    /// The same beside a process that is sent lines of JSON
    Sidecar,
    /// From nothing to a first result
    Start,
    /// From nothing to a first result, with packages declared
    Environments,
    /// One more worker, forked and not
    Forks,
    /// An idle worker
    Memory,
    /// Eight threads, two workers
    Threads,
    /// Many sessions, many refs
    Scale,
    /// How long it takes to stop Python, and to go on after a loss
    Stops,
}

/// What all measurements need to know.
#[derive(Debug)]
struct Setup {
    /// The Python to measure with: a virtual environment with nothing in it. What is installed
    /// beside the interpreter may run code at its start, which adds to both sides of a comparison
    /// and so makes it look better than it is.
    python: PathBuf,
    version: String,
    quick: bool,
    /// Holds the environment, and what the measurements write.
    folder: TempDir,
}

impl Setup {
    fn new(options: &Options) -> Result<Self> {
        let builder = match &options.python {
            Some(python) => Bridge::builder().python(python),
            None => Bridge::builder(),
        };
        // What is run may be a shim that only finds the interpreter.
        let found = builder.build()?.ready()?;
        let folder = tempfile::tempdir()?;
        let environment = folder.path().join("environment");
        let made = Command::new(&found.executable)
            .args(["-I", "-m", "venv", "--without-pip"])
            .arg(&environment)
            .status()?;
        if !made.success() {
            return Err(format!("cannot make a virtual environment: {made}").into());
        }
        Ok(Self {
            python: environment.join("bin").join("python"),
            version: found.version,
            quick: options.quick,
            folder,
        })
    }

    /// Settings for a bridge on the Python of this run. Its bytecode is kept, whatever the
    /// program's own environment says about that.
    fn bridge(&self) -> BridgeBuilder {
        Bridge::builder().python(self.python.to_string_lossy()).env_remove(NO_BYTECODE)
    }

    /// How often to measure, in a quick run and in a full one.
    fn rounds(&self, quick: usize, full: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it is what the program is for")]
fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.echo {
        true => floors::echo().map(|()| Report::default()).map_err(Into::into),
        false => measure(&options).inspect(|report| match options.json {
            true => println!("{}", report.to_json()),
            false => print!("{report}"),
        }),
    };
    match done {
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
        Ok(report) if options.check && !report.is_ok() => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
    }
}

fn measure(options: &Options) -> Result<Report> {
    let mut report = Report::default();
    let setup = Setup::new(options)?;
    report.fact("python_version", setup.version.as_str());
    report.fact("cores", available_parallelism()?.get());
    for (group, run) in [
        (Group::Calls, calls::run as fn(&Setup, &mut Report) -> Result<()>),
        (Group::Hot, hot::run),
        (Group::Awaited, awaited::run),
        (Group::Callbacks, callbacks::run),
        (Group::Pipelines, pipelines::run),
        (Group::Streams, streams::run),
        (Group::Records, records::run),
        (Group::Arrays, arrays::run),
        (Group::Tables, tables::run),
        (Group::Sidecar, sidecar::run),
        (Group::Start, start::run),
        (Group::Environments, environments::run),
        (Group::Forks, forks::run),
        (Group::Memory, memory::run),
        (Group::Threads, threads::run),
        (Group::Scale, scale::run),
        (Group::Stops, stops::run),
    ] {
        if options.only.is_empty() || options.only.contains(&group) {
            run(&setup, &mut report)?;
        }
    }
    Ok(report)
}
