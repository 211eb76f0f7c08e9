//! What cargo and git know about the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Result;

/// The workspace, as `cargo metadata` describes it.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One of our crates.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// What one of our crates names in its manifest.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// One of our crates too.
    pub(crate) is_ours: bool,
}

/// A file that git keeps.
#[derive(Debug)]
pub(crate) struct File {
    /// From the root, with `/`.
    pub(crate) name: String,
    /// None if it is no text.
    pub(crate) text: Option<String>,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let args = ["metadata", "--no-deps", "--format-version", "1", "--locked"];
        let metadata: Value = serde_json::from_str(&run(&mut cargo(&args))?)?;
        let packages = items(&metadata["packages"]).map(Package::read).collect();
        Ok(Self { root: text(&metadata["workspace_root"]).into(), packages })
    }

    /// All that a crate is built from on this system, itself not included, with versions.
    pub(crate) fn tree(&self, package: &str) -> Result<Vec<(String, String)>> {
        let args = ["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--package"];
        let listing = run(cargo(&args).arg(package).current_dir(&self.root))?;
        let mut found: Vec<(String, String)> = listing
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(" v"))
            .map(|(name, rest)| {
                let version = rest.split(' ').next().unwrap_or_default();
                (name.to_owned(), version.to_owned())
            })
            .collect();
        found.sort();
        found.dedup();
        Ok(found)
    }

    pub(crate) fn files(&self) -> Result<Vec<File>> {
        let listing = run(Command::new("git").args(["ls-files", "-z"]).current_dir(&self.root))?;
        let names = listing.split('\0').filter(|name| !name.is_empty());
        let files = names.map(|name| File {
            name: name.to_owned(),
            text: std::fs::read_to_string(self.root.join(name)).ok(),
        });
        Ok(files.collect())
    }

    pub(crate) fn python_folder(&self) -> PathBuf {
        self.root.join(Path::new("crates/snakebridge-worker/python"))
    }
}

impl Package {
    fn read(package: &Value) -> Self {
        let dependencies = items(&package["dependencies"]).map(|dependency| Dependency {
            name: text(&dependency["name"]),
            is_ours: dependency["path"].is_string(),
        });
        Self { name: text(&package["name"]), dependencies: dependencies.collect() }
    }
}

/// Runs a command to its end and gives what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?} failed:\n{said}").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

fn items(array: &Value) -> impl Iterator<Item = &Value> {
    array.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
