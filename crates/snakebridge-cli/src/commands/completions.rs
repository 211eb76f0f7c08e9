//! `snakebridge completions`.

use std::io::Write as _;

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::{Cli, written};
use crate::report::Failure;

/// Print the script that completes this command in a shell.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  snakebridge completions bash > ~/.local/share/bash-completion/completions/snakebridge
  snakebridge completions zsh > \"${fpath[1]}/_snakebridge\"
  snakebridge completions fish > ~/.config/fish/completions/snakebridge.fish";

impl Completions {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "snakebridge", &mut script);
        let mut out = std::io::stdout().lock();
        written(out.write_all(&script).and_then(|()| out.flush()))
    }
}
