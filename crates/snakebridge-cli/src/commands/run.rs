//! `snakebridge run`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::Args;
use serde_json::json;
use snakebridge::CallOptions;

use super::{Options, print_line};
use crate::python;
use crate::report::Failure;

/// Run a Python file as a program, in a worker.
///
/// It sees its arguments in `sys.argv` and its own folder on the module path; its standard input is empty. The
/// exit code is that of the program, as with Python itself: 1 if an exception ends it, that of
/// `sys.exit` otherwise. There is no time limit, unless `--timeout` sets one. Options of this command come before
/// the file: what comes after it is for the program.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The file, or a folder or zip file with a `__main__.py` in it; then what is for the program
    // One list, so that no option that comes after the file is taken for one of this command.
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, value_names = ["FILE", "ARGS"])]
    program: Vec<OsString>,
}

impl Run {
    pub(super) fn run(&self, options: &Options) -> Result<(), Failure> {
        let Some((file, args)) = self.program.split_first() else {
            return Err(Failure::Usage("no file to run".to_owned()));
        };
        if !Path::new(file).exists() {
            return Err(Failure::Usage(format!("there is no file `{}`", file.display())));
        }
        let file = text(file)?;
        let args = args.iter().map(|arg| text(arg)).collect::<Result<Vec<_>, _>>()?;
        let unlimited = match options.timeout {
            Some(limit) => CallOptions::new().timeout(limit),
            None => CallOptions::new().no_timeout(),
        };
        let py = options.bridge()?;
        let code = python::load(&py).and_then(|()| {
            let call = py.call(python::CONSOLE, "run_file", (file, args));
            call.options(&unlimited).wait()
        });
        // All that it prints has been passed on once its worker has ended.
        py.shutdown();
        let code = code?;
        if options.json {
            print_line(&json!({"exit_code": code}).to_string())?;
        }
        match code {
            0 => Ok(()),
            code => Err(Failure::Exit(code)),
        }
    }
}

/// Python has text only: what is none is not to be changed into some.
fn text(word: &OsStr) -> Result<&str, Failure> {
    let not_valid = || Failure::Usage(format!("`{}` is no valid Unicode", word.display()));
    word.to_str().ok_or_else(not_valid)
}
