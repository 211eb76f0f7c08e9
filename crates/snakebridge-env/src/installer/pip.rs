//! `venv` and pip, which come with Python.

use std::path::Path;
use std::process::Command;

use super::{Job, index_options};
use crate::error::EnvError;

pub(super) fn create(job: &Job<'_>, folder: &Path) -> Result<(), EnvError> {
    job.step("making an environment with venv");
    let what = "make an environment";
    let mut venv = Command::new(&job.python.executable);
    // pip is installed in a step of its own, since venv keeps to itself why that does not work.
    job.run(what, venv.args(["-I", "-m", "venv", "--without-pip"]).arg(folder))?;
    let mut ensurepip = Command::new(folder.join("bin/python"));
    let done = job.run(what, ensurepip.args(["-I", "-m", "ensurepip", "--default-pip"]));
    done.map(|_| ()).map_err(|error| match error.said().is_some_and(lacks_ensurepip) {
        true => error.with_hint(
            "this Python has been installed without the module ensurepip: install it (on Debian the \
             package python3-venv), or uv",
        ),
        false => error,
    })
}

fn lacks_ensurepip(said: &str) -> bool {
    ["No module named ensurepip", "ensurepip is disabled"].iter().any(|sign| said.contains(sign))
}

pub(super) fn install(
    job: &Job<'_>,
    python: &Path,
    requirements: &Path,
    hashes: bool,
) -> Result<(), EnvError> {
    let mut command = pip(job, python, "install");
    if hashes {
        // All that is needed is in the file.
        command.args(["--require-hashes", "--no-deps"]);
    }
    job.run("install packages with pip", command.arg("-r").arg(requirements)).map(|_| ())
}

/// A command of pip, with the options that all of them have here.
pub(super) fn pip(job: &Job<'_>, python: &Path, command: &str) -> Command {
    let mut pip = Command::new(python);
    pip.args(["-I", "-m", "pip", command, "--no-input", "--no-color"])
        .args(["--disable-pip-version-check", "--progress-bar", "off"])
        .args(index_options(job.index, INDEX_OPTIONS));
    if job.offline {
        pip.arg("--no-index");
    }
    pip
}

const INDEX_OPTIONS: [&str; 4] = ["--index-url", "--extra-index-url", "--find-links", "--no-index"];
