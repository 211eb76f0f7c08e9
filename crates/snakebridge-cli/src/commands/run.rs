//! `snakebridge run`.

use std::path::PathBuf;

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
/// `sys.exit` otherwise. There is no time limit, unless `--timeout` sets one.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The file, or a folder or zip file with a `__main__.py` in it
    file: PathBuf,
    /// Arguments for it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Run {
    pub(super) fn run(&self, options: &Options) -> Result<(), Failure> {
        if !self.file.exists() {
            return Err(Failure::Usage(format!("there is no file `{}`", self.file.display())));
        }
        let unlimited = match options.timeout {
            Some(limit) => CallOptions::new().timeout(limit),
            None => CallOptions::new().no_timeout(),
        };
        let py = options.bridge()?;
        let code = python::load(&py).and_then(|()| {
            let file = self.file.to_string_lossy();
            let call = py.call(python::CONSOLE, "run_file", (file, &self.args));
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
