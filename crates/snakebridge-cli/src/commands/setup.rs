//! `snakebridge setup`.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value as Json, json};
use snakebridge::Error;
use snakebridge::env::config::Config as Settings;
use snakebridge::env::{
    Environment, Environments, Options as Making, Progress, ProgressEvent, Requirements, State,
};

use super::{Options, config, print_line, print_styled, say};
use crate::color::{FAINT, GOOD, HINT, WARNING};
use crate::exit_code;
use crate::report::{self, Failure};

/// Make the environments with the packages that are declared, unless they are there.
///
/// What is declared are the `packages` of `snakebridge.toml`, of `[package.metadata.snakebridge]` in `Cargo.toml`, and of
/// SNAKEBRIDGE_PACKAGES; `snakebridge config` shows it. A program makes its environments by itself when it
/// starts; this is for doing it beforehand, and for looking at it. One that cannot be made does not keep the others
/// from being made. With `--pool`, only that of this pool is looked at.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Setup {
    /// Only see whether they are there; the exit code is 6 if one is not
    #[arg(long)]
    check: bool,
    /// Make them anew, with the newest packages that will do
    #[arg(long, conflicts_with = "check")]
    upgrade: bool,
    /// Write `snakebridge.lock`, with exact versions and hashes, also where there is none yet
    #[arg(long, conflicts_with = "check")]
    lock: bool,
    /// Use no network
    #[arg(long)]
    offline: bool,
    /// Show what uv or pip print
    #[arg(short, long)]
    verbose: bool,
}

const EXAMPLES: &str = "\
Examples:
  snakebridge setup
  snakebridge setup --check --json
  SNAKEBRIDGE_PACKAGES='numpy>=2' snakebridge setup";

/// Beside the file with the settings.
const LOCK_FILE: &str = "snakebridge.lock";

const LOCKED: &str = "`environment.locked` or `CI` says that the lock file must fit, so the versions stay those in it; \
                      with `--lock` it is written anew";

/// What came of a pool.
struct Outcome {
    pool: String,
    state: &'static str,
    environment: Option<Environment>,
    damage: Option<String>,
    error: Option<String>,
}

impl Setup {
    pub(super) fn run(&self, options: &Options) -> Result<(), Failure> {
        let settings = Settings::load().map_err(Error::from)?;
        config::complain(&settings);
        let pools = match &options.pool {
            Some(pool) => options.of_pool(&settings).map(|_| vec![Some(pool.as_str())])?,
            None => std::iter::once(None).chain(settings.pools().into_iter().map(Some)).collect(),
        };
        let pools = pools.into_iter();
        let wanted: Vec<Requirements> =
            pools.filter_map(|pool| requirements(&settings, pool, options)).collect();
        let (outcomes, failed) = self.outcomes(&settings, &wanted)?;
        if options.json {
            let pools: Vec<Json> = outcomes.iter().map(Outcome::to_json).collect();
            print_line(&json!({"pools": pools}).to_string())?;
        } else if wanted.is_empty() {
            say("no packages are declared");
            say(&format!("\n{HINT}hint:{HINT:#} add `packages = [\"numpy\"]` to snakebridge.toml"));
        } else {
            print_styled(&outcomes.iter().map(Outcome::to_text).collect::<String>())?;
        }
        match failed {
            Some(code) => Err(Failure::Exit(code)),
            None if outcomes.iter().all(|outcome| outcome.environment.is_some()) => Ok(()),
            None => Err(Failure::Exit(exit_code::OTHER)),
        }
    }

    /// What comes of each pool, whatever comes of the others; with the code of the first that failed,
    /// all of which are reported.
    fn outcomes(
        &self,
        settings: &Settings,
        wanted: &[Requirements],
    ) -> Result<(Vec<Outcome>, Option<u8>), Failure> {
        let making = self.making(settings);
        if self.upgrade && making.locked {
            say(&format!("{WARNING}warning:{WARNING:#} {LOCKED}"));
        }
        let bar = Bar::new(self.verbose);
        let environments = Environments::new(bar.attach(making)).map_err(Error::from)?;
        let (mut outcomes, mut failed) = (Vec::new(), None);
        for wanted in wanted {
            let outcome = self.outcome(&environments, wanted);
            bar.clear();
            outcomes.push(outcome.unwrap_or_else(|error| {
                let outcome =
                    Outcome { error: Some(error.to_string()), ..Outcome::new(wanted, "failed") };
                let code = report::report(&Failure::Call(error.into()));
                failed.get_or_insert(code);
                outcome
            }));
        }
        Ok((outcomes, failed))
    }
}

impl Setup {
    /// How environments are made: as the settings have it, and the command line.
    fn making(&self, settings: &Settings) -> Making {
        let mut making = settings.options();
        making.offline |= self.offline;
        if self.lock {
            let beside = settings.files().first().and_then(|file| file.parent());
            let file = making.lock_file.take();
            making.lock_file = Some(
                file.unwrap_or_else(|| beside.unwrap_or_else(|| Path::new("")).join(LOCK_FILE)),
            );
            making.locked = false;
        }
        making
    }

    fn outcome(
        &self,
        environments: &Environments,
        wanted: &Requirements,
    ) -> Result<Outcome, snakebridge::env::EnvError> {
        let there = |state, environment| Outcome {
            environment: Some(environment),
            ..Outcome::new(wanted, state)
        };
        if self.upgrade {
            return Ok(there("made", environments.renew(wanted)?));
        }
        Ok(match environments.state(wanted)? {
            State::Ready(environment) => there("ready", environment),
            _ if !self.check => there("made", environments.get(wanted)?),
            State::Damaged { damage, .. } => {
                Outcome { damage: Some(damage), ..Outcome::new(wanted, "damaged") }
            }
            _ => Outcome::new(wanted, "missing"),
        })
    }
}

/// What a pool declares; nothing, if it declares no packages or has them installed by somebody else.
pub(super) fn requirements(
    settings: &Settings,
    pool: Option<&str>,
    options: &Options,
) -> Option<Requirements> {
    let mut wanted = settings.requirements(pool)?;
    wanted.python = options.python.clone().or(wanted.python);
    Some(wanted)
}

impl Outcome {
    fn new(wanted: &Requirements, state: &'static str) -> Self {
        let pool = wanted.pool.clone();
        Self { pool, state, environment: None, damage: None, error: None }
    }

    fn to_text(&self) -> String {
        let Self { pool, state, environment, damage, error } = self;
        match environment {
            _ if error.is_some() => format!("{WARNING}{state:7}{WARNING:#}  pool `{pool}`\n"),
            Some(environment) => {
                let packages: Vec<String> = environment
                    .packages
                    .iter()
                    .map(|(name, version)| format!("{name} {version}"))
                    .collect();
                format!(
                    "{GOOD}{state:7}{GOOD:#}  pool `{pool}`: Python {}, {}\n         {FAINT}{}{FAINT:#}\n",
                    environment.version,
                    packages.join(", "),
                    environment.folder.display()
                )
            }
            None => {
                let why = damage.as_ref().map(|damage| format!(": {damage}")).unwrap_or_default();
                format!(
                    "{WARNING}{state:7}{WARNING:#}  pool `{pool}`{why}; `snakebridge setup` makes it\n"
                )
            }
        }
    }

    fn to_json(&self) -> Json {
        let environment = self.environment.as_ref();
        json!({
            "pool": self.pool,
            "state": self.state,
            "damage": self.damage,
            "error": self.error,
            "python": environment.map(|it| it.python.to_string_lossy()),
            "version": environment.map(|it| &it.version),
            "folder": environment.map(|it| it.folder.to_string_lossy()),
            "installer": environment.map(|it| &it.installer),
            "packages": environment.map(|it| {
                it.packages.iter().map(|(name, version)| json!({"name": name, "version": version})).collect::<Vec<_>>()
            }),
        })
    }
}

/// What happens, on standard error: a line that moves on a terminal, lines one below the other elsewhere.
#[derive(Clone)]
pub(super) struct Bar {
    line: Option<ProgressBar>,
    verbose: bool,
}

impl Bar {
    pub(super) fn new(verbose: bool) -> Self {
        let line = std::io::stderr().is_terminal().then(|| {
            // indicatif draws to standard error, and nothing before the first message.
            let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}");
            ProgressBar::no_length()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self { line, verbose }
    }

    pub(super) fn attach(&self, making: Making) -> Making {
        let bar = self.clone();
        making.progress(Progress::new(move |event| bar.show(event)))
    }

    fn show(&self, event: &ProgressEvent<'_>) {
        match (event, &self.line) {
            (ProgressEvent::Line(line), _) if self.verbose => {
                self.above(&format!("{FAINT}{line}{FAINT:#}"))
            }
            // The last line that was printed says how far it is.
            (ProgressEvent::Line(line), Some(bar)) => bar.set_message((*line).to_owned()),
            (ProgressEvent::Line(_), None) => {}
            (ProgressEvent::Made { .. } | ProgressEvent::Found { .. }, Some(bar)) => {
                bar.finish_and_clear();
                say(&event.to_string());
            }
            (_, Some(bar)) => {
                if bar.is_finished() {
                    // Of another environment.
                    bar.reset();
                }
                bar.set_message(event.to_string());
                bar.enable_steady_tick(Duration::from_millis(100));
            }
            (_, None) => say(&event.to_string()),
        }
    }

    /// Takes the line away, which an error does not end.
    fn clear(&self) {
        if let Some(bar) = &self.line {
            bar.finish_and_clear();
        }
    }

    /// A line of its own, above what moves.
    pub(super) fn above(&self, text: &str) {
        match &self.line {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }
}
