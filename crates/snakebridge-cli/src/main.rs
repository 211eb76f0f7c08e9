//! The `snakebridge` command: Python from the command line.

#![forbid(unsafe_code)]

mod color;
mod commands;
mod exit_code;
mod literal;
mod python;
mod report;
mod show;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use color::Color;
use commands::Cli;

fn main() -> ExitCode {
    let color = Color::of_args(std::env::args_os());
    color.apply();
    let matches = Cli::command().color(color.for_clap()).get_matches();
    let code = match Cli::from_arg_matches(&matches) {
        Ok(cli) => match cli.run() {
            Ok(()) => exit_code::SUCCESS,
            Err(failure) => report::report(&failure),
        },
        Err(error) => error.exit(),
    };
    ExitCode::from(code)
}
