//! The tools of the Python side.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{Workspace, run};
use crate::{Problems, Result};

/// The tools, each of one version, so that the same source passes everywhere.
const TOOLS: &[&str] = &["ruff==0.17.6", "mypy==2.4.1"];

/// Runs ruff and mypy on all Python of ours, and its tests.
pub(crate) fn lint(workspace: &Workspace) -> Result {
    let bin = tools(&workspace.root.join(".tools/python"))?;
    for folder in [workspace.python_folder(), workspace.root.join("crates/snakebridge-cli/python")]
    {
        lint_folder(&bin, &folder)?;
    }
    Ok(())
}

fn lint_folder(bin: &Path, folder: &Path) -> Result {
    for (tool, args) in [("ruff", &["check"][..]), ("ruff", &["format", "--check"]), ("mypy", &[])]
    {
        println!("{tool} {}", args.join(" "));
        let status = Command::new(bin.join(tool)).args(args).current_dir(folder).status()?;
        if !status.success() {
            return Err(format!("{tool} is not content with {}", folder.display()).into());
        }
    }
    Ok(())
}

/// The folder of the tools' commands; installs them where they are missing or of other versions.
fn tools(environment: &Path) -> Result<PathBuf> {
    let bin = environment.join("bin");
    let stamp = environment.join("tools.txt");
    let wanted = TOOLS.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(bin);
    }
    println!("installing {} in {}", TOOLS.join(", "), environment.display());
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(environment))?;
    run(Command::new(bin.join("python")).args(["-m", "pip", "install", "--quiet"]).args(TOOLS))?;
    std::fs::write(stamp, wanted)?;
    Ok(bin)
}

/// Whether the vectors that a worker writes are those that are written down. What the host writes
/// is seen to by its own tests.
pub(crate) fn check_vectors(workspace: &Workspace) -> Result<Problems> {
    if !workspace.root.join("spec/vectors").is_dir() {
        return Ok(Problems::new());
    }
    let tests = Command::new("python3")
        .args(["-B", "-m", "unittest", "tests.test_vectors"])
        .current_dir(workspace.python_folder())
        .output()?;
    if tests.status.success() {
        return Ok(Problems::new());
    }
    let said = String::from_utf8_lossy(&tests.stderr).into_owned();
    Ok(vec![format!("they are out of date; write them anew with `tests/make_vectors.py`:\n{said}")])
}
