//! `snakebridge call`.

use clap::Args;
use snakebridge::Bridge;

use super::Options;
use crate::literal;
use crate::report::Failure;

/// Call a function and print what it returns, as Python shows it.
///
/// An argument is JSON if it can be read as JSON: 16, "text", [1, 2], {"a": null}, true. Else it is
/// a Python literal if it can be read as one: None, (1, 2), {1: 'x'}, {1, 2}, b'abc', 1+2j. Else it
/// is text, as it stands. So the text 16 is written '"16"'.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Call {
    /// The module, dotted where it is in a package: os.path
    module: String,
    /// The function, a class, or a dotted name in the module: Path.cwd
    function: String,
    #[command(flatten)]
    arguments: Arguments,
}

/// What a function is called with.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The arguments: JSON, else a Python literal, else text
    #[arg(allow_negative_numbers = true)]
    args: Vec<String>,
    /// A keyword argument; the value is written as the arguments are. Can be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = keyword)]
    kw: Vec<(String, String)>,
}

const EXAMPLES: &str = "\
Examples:
  snakebridge call math sqrt 16
  snakebridge call builtins round 3.14159 --kw ndigits=2
  snakebridge call statistics mean '[1, 2, 3.5]'
  snakebridge call zlib crc32 \"b'abc'\"";

impl Call {
    pub(super) fn run(&self, options: &Options) -> Result<(), Failure> {
        self.arguments.check()?;
        options.print_result(|py| {
            Ok(py.call(&self.module, &self.function, self.arguments.values(py)?))
        })
    }
}

impl Arguments {
    pub(super) fn check(&self) -> Result<(), Failure> {
        for (place, (name, _)) in self.kw.iter().enumerate() {
            if self.kw[..place].iter().any(|(earlier, _)| earlier == name) {
                return Err(Failure::Usage(format!("keyword argument repeated: {name}")));
            }
        }
        Ok(())
    }

    /// As Python reads them.
    pub(super) fn values(&self, py: &Bridge) -> snakebridge::Result<snakebridge::Args> {
        let mut args = snakebridge::Args::new();
        for text in &self.args {
            args = args.arg(literal::value(py, text)?);
        }
        for (name, text) in &self.kw {
            args = args.kwarg(name, literal::value(py, text)?);
        }
        Ok(args)
    }
}

fn keyword(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}
