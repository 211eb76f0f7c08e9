//! The commands, and what they have in common.

mod bench;
mod call;
mod completions;
mod config;
mod doctor;
mod eval;
mod get;
mod helper;
mod inspect;
mod new;
mod repl;
mod run;
mod setup;
mod status;
mod version;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use snakebridge::{Bridge, BridgeBuilder, Call, CallOptions, Output, OutputEvent, Value};

use snakebridge::env::config::Config as Settings;

use crate::color::{self, Color};
use crate::report::Failure;
use crate::show;

/// Python from the command line: call it, look into it, and see whether all is well.
#[derive(Debug, Parser)]
#[command(
    name = "snakebridge",
    version,
    max_term_width = 100,
    after_help = EXIT_CODES,
    styles = color::HELP,
    subcommand_required = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    options: Options,
}

const EXIT_CODES: &str = "\
Exit codes: 0 success, 1 Python raised an exception, 2 wrong usage, 3 no usable Python,
4 the worker process was lost, 5 timeout, 6 anything else. `run` ends with the code of the program.";

#[derive(Debug, Subcommand)]
enum Command {
    Call(call::Call),
    Get(get::Get),
    Helper(helper::Helper),
    Eval(eval::Eval),
    Run(run::Run),
    Inspect(inspect::Inspect),
    Repl(repl::Repl),
    New(new::New),
    Setup(setup::Setup),
    Config(config::Config),
    Doctor(doctor::Doctor),
    Status(status::Status),
    Top(status::Top),
    Bench(bench::Bench),
    Completions(completions::Completions),
    Version(version::Version),
}

/// Options of all commands.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Options {
    /// The Python to use: a path, a command (`python3.12`) or a version (`3.12`).
    ///
    /// Default: what `snakebridge.toml` says, else the first one that is found and works; `snakebridge version`
    /// shows it.
    #[arg(long, global = true, value_name = "SPEC")]
    python: Option<String>,
    /// Use the settings of this pool of `snakebridge.toml`. Default: those at its top
    #[arg(long, global = true, value_name = "NAME")]
    pool: Option<String>,
    /// Add a folder in which Python looks for modules first; can be given several times.
    #[arg(long, global = true, value_name = "DIR")]
    path: Vec<PathBuf>,
    /// Print the result as JSON; what Python prints goes to standard error.
    ///
    /// What JSON has no form for is an object with one key: `$bytes` (base64), `$set`,
    /// `$frozenset`, `$dict` (pairs, for keys other than text), `$float` (nan, inf), `$complex`,
    /// `$date`, `$datetime`, `$time`, `$timedelta`, `$decimal`, `$uuid`, `$ref` (any other object:
    /// its class, and how Python shows it).
    #[arg(long, global = true)]
    json: bool,
    /// How long the call may take, in seconds. Default: 120.
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// When output has colors.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    #[arg(help = "When output has colors: auto, always, never")]
    color: Color,
}

impl Cli {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        self.options.color.apply();
        match &self.command {
            Command::Bench(command) => command.run(&self.options),
            Command::Call(command) => command.run(&self.options),
            Command::Completions(command) => command.run(),
            Command::Config(command) => command.run(&self.options),
            Command::Doctor(command) => command.run(&self.options),
            Command::Eval(command) => command.run(&self.options),
            Command::Get(command) => command.run(&self.options),
            Command::Helper(command) => command.run(&self.options),
            Command::Inspect(command) => command.run(&self.options),
            Command::New(command) => command.run(&self.options),
            Command::Repl(command) => command.run(&self.options),
            Command::Run(command) => command.run(&self.options),
            Command::Setup(command) => command.run(&self.options),
            Command::Status(command) => command.run(&self.options),
            Command::Top(command) => command.run(&self.options),
            Command::Version(command) => command.run(&self.options),
        }
    }
}

impl Options {
    /// A bridge with what files, variables and the command line say.
    fn bridge(&self) -> Result<Bridge, Failure> {
        Ok(self.builder()?.build()?)
    }

    fn builder(&self) -> Result<BridgeBuilder, Failure> {
        let settings = self.settings()?;
        let making = setup::Bar::new(false).attach(settings.options());
        // What commands put into a worker is in one only.
        let builder = Bridge::builder().config(&settings)?.environments(making).workers(1);
        Ok(self.apply(builder))
    }

    /// What files and variables say of the pool that is wanted, and of no other one.
    fn settings(&self) -> Result<Settings, Failure> {
        let settings = Settings::load().map_err(snakebridge::Error::from)?;
        config::complain(&settings);
        self.of_pool(&settings)
    }

    fn of_pool(&self, settings: &Settings) -> Result<Settings, Failure> {
        settings.of_pool(self.pool.as_deref()).ok_or_else(|| {
            let pools: Vec<String> =
                settings.pools().iter().map(|name| format!("`{name}`")).collect();
            let wanted = self.pool.as_deref().unwrap_or_default();
            let known = if pools.is_empty() { "none is".to_owned() } else { pools.join(", ") };
            Failure::Usage(format!("no pool `{wanted}` is declared; known: {known}"))
        })
    }

    /// What the command line says, which counts most.
    fn apply(&self, mut builder: BridgeBuilder) -> BridgeBuilder {
        if let Some(python) = &self.python {
            builder = builder.python(python);
        }
        for folder in &self.path {
            builder = builder.module_path(folder);
        }
        if self.json {
            // So that standard output is JSON and nothing else.
            builder = builder.output(Output::Handler(Arc::new(to_stderr)));
        }
        if let Some(limit) = self.timeout {
            builder = builder.defaults(CallOptions::new().timeout(limit));
        }
        builder
    }

    /// Makes the call that `prepare` puts together, and prints its result.
    fn print_result(
        &self,
        prepare: impl FnOnce(&Bridge) -> snakebridge::Result<Call<Value>>,
    ) -> Result<(), Failure> {
        let py = self.bridge()?;
        let shown = prepare(&py).and_then(|call| match self.json {
            true => show::json(&call.wait()?).map(|json| json.to_string()),
            false => show::text(&call.by_ref().wait()?),
        });
        // All that Python prints has been passed on once its worker has ended: it comes first.
        py.shutdown();
        print_line(&shown?)
    }
}

fn to_stderr(event: OutputEvent<'_>) {
    let mut stderr = io::stderr().lock();
    // Nobody is left to tell where standard error is closed.
    let _ = match event {
        OutputEvent::Printed(piece) => stderr.write_all(piece.data),
        OutputEvent::Log(record) => writeln!(stderr, "{record}"),
        OutputEvent::Warning(warning) => writeln!(stderr, "{warning}"),
        _ => Ok(()),
    };
}

/// Prints data, as it is.
fn print_line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// Prints text for people; its colors are left out where they are not wanted.
fn print_styled(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// A reader that goes away early is no error.
fn written(outcome: io::Result<()>) -> Result<(), Failure> {
    is_read(outcome).map(drop)
}

/// Whether there is still a reader.
fn is_read(outcome: io::Result<()>) -> Result<bool, Failure> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Output(error)),
    }
}

/// Says something that is no data.
fn say(text: &str) {
    // Nobody is left to tell where standard error is closed.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(limit) if !limit.is_zero() => Ok(limit),
        _ => Err("expected a number above 0".to_owned()),
    }
}
