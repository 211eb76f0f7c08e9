//! `snakebridge get`.

use clap::Args;

use super::Options;
use crate::report::Failure;

/// Read a name of a module and print it, as Python shows it.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The module, dotted where it is in a package: os.path
    module: String,
    /// The name, or a dotted name in the module: version_info.major
    name: String,
}

impl Get {
    pub(super) fn run(&self, options: &Options) -> Result<(), Failure> {
        options.print_result(|py| Ok(py.get(&self.module, &self.name)))
    }
}
