//! The Python side of SnakeBridge: the source of the worker, the folder in which it is kept, and
//! the search for an interpreter that can run it.
//!
//! The crate has no stable API of its own: depend on `snakebridge`.

#![forbid(unsafe_code)]

pub mod cache;
pub mod interpreter;
mod source;
mod version;

use std::ffi::OsString;
use std::path::Path;

pub use source::fingerprint;

/// The oldest Python that a worker runs on.
pub const OLDEST_PYTHON: (u32, u32) = (3, 9);

/// Arguments for the interpreter that make it a worker whose package lies in `folder`.
///
/// The code is understood by every Python since 2.6, so that an old one can say which it is.
/// `-c` rather than a file: children that `multiprocessing` spawns do not run it again. The
/// current folder is not on the module path, as with `python -P`. The cache folder is ours, so
/// bytecode is written there also where `PYTHONDONTWRITEBYTECODE` is set, as in most containers: a
/// start takes twice as long without it.
#[must_use]
pub fn arguments(folder: &Path) -> [OsString; 3] {
    arguments_for("main", folder)
}

/// The same for a fork server: the process that workers are forked from.
#[must_use]
pub fn fork_server_arguments(folder: &Path) -> [OsString; 3] {
    arguments_for("fork_server", folder)
}

fn arguments_for(module: &str, folder: &Path) -> [OsString; 3] {
    let (major, minor) = OLDEST_PYTHON;
    let code = format!(
        "import sys
if sys.path and sys.path[0] == '': del sys.path[0]
if sys.version_info < ({major}, {minor}):
    import os, struct
    v = ('%d.%d.%d' % tuple(sys.version_info[:3])).encode('ascii')
    os.write(0, struct.pack('<BBHIQ', 1, 98, 0, 0, len(v)) + v)
    sys.exit(0)
sys.path.insert(0, sys.argv[1])
keep = sys.dont_write_bytecode
sys.dont_write_bytecode = False
from snakebridge_worker.{module} import main
sys.dont_write_bytecode = keep
del sys.path[0]
main()"
    );
    [OsString::from("-c"), OsString::from(code), folder.as_os_str().to_owned()]
}
