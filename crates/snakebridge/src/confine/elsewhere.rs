//! Systems that cannot confine processes.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::{Confine, ConfineSupport};

pub(super) fn support() -> ConfineSupport {
    ConfineSupport::default()
}

/// Where nothing can be done, and that was said to be enough.
#[derive(Debug)]
pub(crate) struct Confined;

impl Confined {
    pub(super) fn new(_: Confine) -> Self {
        Self
    }

    pub(crate) fn interpreter(&self, python: &Path) -> PathBuf {
        python.to_owned()
    }

    pub(crate) fn spawn(&self, mut command: Command, _: &Path, _: &Path) -> io::Result<Child> {
        command.spawn()
    }
}
