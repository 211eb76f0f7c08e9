//! `snakebridge eval`.

use clap::Args;

use super::Options;
use crate::python;
use crate::report::Failure;

/// Evaluate an expression and print its value, as Python shows it.
///
/// Statements may precede the expression, separated by `;` or lines. Modules that it names are imported
/// without a word: `math.sqrt(16)`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Eval {
    /// The expression
    #[arg(allow_hyphen_values = true)]
    expression: String,
}

const EXAMPLES: &str = "\
Examples:
  snakebridge eval 'math.factorial(20) // 7'
  snakebridge eval 'sys.version_info'
  snakebridge eval 'x = [3, 1, 2]; sorted(x)' --json";

impl Eval {
    pub(super) fn run(&self, options: &Options) -> Result<(), Failure> {
        options.print_result(|py| {
            python::load(py)?;
            Ok(py.call(python::CONSOLE, "evaluate", (&self.expression,)))
        })
    }
}
