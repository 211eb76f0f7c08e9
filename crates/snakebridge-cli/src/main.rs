//! The `snakebridge` command: calls Python from the command line.

#![forbid(unsafe_code)]

mod commands;
mod exit_code;
mod literal;
mod report;
mod show;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let code = match commands::Cli::parse().run() {
        Ok(()) => exit_code::SUCCESS,
        Err(failure) => report::report(&failure),
    };
    ExitCode::from(code)
}
