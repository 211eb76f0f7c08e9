//! `snakebridge new`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Options, print_line, say};
use crate::color::GOOD;
use crate::report::Failure;

/// Write a small program that calls Python, ready for `cargo run`.
///
/// Nothing that exists is changed: the folder must be new, or empty.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The folder to write it to
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The name of the package. Default: that of the folder
    #[arg(long)]
    name: Option<String>,
    /// Depend on a checkout of SnakeBridge rather than on its repository
    #[arg(long, value_name = "DIR")]
    snakebridge: Option<PathBuf>,
}

impl New {
    pub(super) fn run(&self, options: &Options) -> Result<(), Failure> {
        let name = self.package_name()?;
        let is_free = fs::read_dir(&self.folder).map_or(true, |mut found| found.next().is_none());
        if !is_free || self.folder.is_file() {
            let message = format!("`{}` is there already, and not empty", self.folder.display());
            return Err(Failure::Usage(message));
        }
        let files = [
            ("Cargo.toml", self.manifest(&name)?),
            (".gitignore", "/target\n__pycache__/\n".to_owned()),
            ("src/main.rs", include_str!("../../templates/main.rs").to_owned()),
            ("python/hello.py", include_str!("../../templates/hello.py").to_owned()),
        ];
        for (file, text) in &files {
            write(&self.folder.join(file), text)?;
        }
        if options.json {
            let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
            let folder = self.folder.to_string_lossy();
            return print_line(
                &json!({"name": name, "folder": folder, "files": names}).to_string(),
            );
        }
        let folder = self.folder.display();
        say(&format!("{GOOD}created{GOOD:#} the program `{name}` in {folder}; next:"));
        say(&format!("  cd {folder}\n  cargo run"));
        Ok(())
    }

    fn package_name(&self) -> Result<String, Failure> {
        let of_folder = || {
            let folder = std::path::absolute(&self.folder).ok()?;
            Some(folder.file_name()?.to_str()?.to_owned())
        };
        let name = self.name.clone().or_else(of_folder).unwrap_or_default();
        let is_plain = |each: char| each.is_ascii_alphanumeric() || matches!(each, '-' | '_');
        if name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.chars().all(is_plain)
        {
            return Ok(name);
        }
        Err(Failure::Usage(format!(
            "`{name}` cannot be the name of a package: say one with `--name`, of letters, digits, `-` and `_`"
        )))
    }

    fn manifest(&self, name: &str) -> Result<String, Failure> {
        let source = match &self.snakebridge {
            None => format!("git = {:?}", env!("CARGO_PKG_REPOSITORY")),
            Some(checkout) => {
                let library = checkout.join("crates/snakebridge");
                let path = library.canonicalize().map_err(|error| {
                    Failure::Usage(format!("there is no `{}`: {error}", library.display()))
                })?;
                format!("path = {:?}", path.to_string_lossy())
            }
        };
        Ok(format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
             [dependencies]\nsnakebridge = {{ {source} }}\n"
        ))
    }
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(file, text))
        .map_err(|error| Failure::other(format!("cannot write `{}`: {error}", file.display())))
}
