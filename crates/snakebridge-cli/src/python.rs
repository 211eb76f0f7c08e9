//! What commands have done within a worker: a Python package of our own, which is part of this program and
//! never installed.

use serde::Serialize;
use snakebridge::{Bridge, Result};

/// Its modules; those that others import come first.
const FILES: &[(&str, &str)] = &[
    ("snakebridge_cli", include_str!("../python/snakebridge_cli/__init__.py")),
    ("snakebridge_cli.console", include_str!("../python/snakebridge_cli/console.py")),
    ("snakebridge_cli.diagnosis", include_str!("../python/snakebridge_cli/diagnosis.py")),
    ("snakebridge_cli.inspection", include_str!("../python/snakebridge_cli/inspection.py")),
];

/// The file name of all code of ours, by which its frames are known.
pub(crate) const FILE: &str = "<snakebridge>";
pub(crate) const CONSOLE: &str = "snakebridge_cli.console";
pub(crate) const DIAGNOSIS: &str = "snakebridge_cli.diagnosis";
pub(crate) const INSPECTION: &str = "snakebridge_cli.inspection";

const LOADER: &str = "
import sys, types
for name, text in files:
    module = types.ModuleType(name)
    module.__file__ = file
    parent, _, last = name.rpartition('.')
    if parent:
        module.__package__ = parent
        setattr(sys.modules[parent], last, module)
    else:
        module.__package__, module.__path__ = name, []
    sys.modules[name] = module
    exec(compile(text, file, 'exec', dont_inherit=True), module.__dict__)
";

/// Puts the modules where the worker can import them. Of a bridge with one worker.
pub(crate) fn load(py: &Bridge) -> Result<()> {
    #[derive(Serialize)]
    struct Names {
        files: &'static [(&'static str, &'static str)],
        file: &'static str,
    }
    py.exec("builtins", "exec", (LOADER, Names { files: FILES, file: FILE })).wait()
}
