//! Python environments with packages, for tests that need some.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

/// The interpreter of a virtual environment with these packages. It is made in a folder of this one where it
/// is not there yet; tests that want the same one at the same time wait for each other.
///
/// # Errors
/// Python cannot make environments, or the packages cannot be installed.
pub fn with_packages(folder: &Path, packages: &[&str]) -> Result<PathBuf, Box<dyn Error>> {
    let name = format!("python-{}", packages.join("-"));
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let environment = folder.join(name);
    std::fs::create_dir_all(folder)?;
    let lock = File::create(environment.with_extension("lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let python = environment.join("bin").join("python");
    let stamp = environment.join("complete");
    if !stamp.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
        if !packages.is_empty() {
            run(Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .args(packages))?;
        }
        File::create(stamp)?;
    }
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let output = command.output()?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(format!("{command:?} has failed: {said}").into())
        }
    }
}
