//! What an environment says about itself once it is complete. It is written last.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::EnvError;
use crate::files;

/// The content of the marker.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// What it was made for.
    pub(super) key: String,
    /// Where it was made. Environments cannot be moved: scripts in them name their interpreter.
    pub(super) folder: PathBuf,
    /// Its interpreter's version.
    pub(super) version: String,
    /// uv or pip.
    pub(super) installer: String,
    /// Where modules are, in the folder.
    site: PathBuf,
    /// What was there when it was complete.
    entries: Vec<String>,
}

/// The marker's name, in the folder of the environment.
const NAME: &str = "snakebridge.json";

/// What became of an environment.
#[derive(Debug)]
pub(super) enum Found {
    Complete(Marker),
    /// There is nothing.
    Missing,
    /// There is something that cannot be used, and why.
    Damaged(String),
}

pub(super) fn python(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}

/// Looks at an environment. This is all that happens at a start where there is one: a file is read,
/// a folder is listed, and nothing is run.
pub(super) fn look(folder: &Path, key: &str) -> Found {
    let Some(marker) = files::read_json::<Marker>(&folder.join(NAME)) else {
        return match folder.exists() {
            true => Found::Damaged("its making was interrupted".to_owned()),
            false => Found::Missing,
        };
    };
    match damage(&marker, folder, key) {
        None => Found::Complete(marker),
        Some(damage) => Found::Damaged(damage),
    }
}

fn damage(marker: &Marker, folder: &Path, key: &str) -> Option<String> {
    if marker.key != key {
        return Some("it is one for other packages".to_owned());
    }
    if marker.folder != folder {
        return Some(format!("it was moved here from `{}`", marker.folder.display()));
    }
    // Follows the link: the interpreter that it was made with is there too.
    if !python(folder).is_file() {
        return Some("its interpreter is gone".to_owned());
    }
    let Ok(entries) = fs::read_dir(folder.join(&marker.site)) else {
        return Some("its modules are gone".to_owned());
    };
    let found: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    let lost = marker.entries.iter().find(|name| !found.iter().any(|found| found == name.as_str()));
    lost.map(|name| format!("`{name}` is gone from it"))
}

impl Marker {
    /// Takes note of what there is, now that all is there.
    pub(super) fn write(
        folder: &Path,
        key: &str,
        version: &str,
        installer: &str,
    ) -> Result<Self, EnvError> {
        let lib = folder.join("lib");
        let failed = |path: &Path, error: &_| EnvError::io("read", path, error);
        let listed = names(&lib).map_err(|error| failed(&lib, &error))?;
        let site = listed.iter().find(|name| name.starts_with("python"));
        let site =
            Path::new("lib").join(site.map_or("python", String::as_str)).join("site-packages");
        let modules = folder.join(&site);
        let mut entries = names(&modules).map_err(|error| failed(&modules, &error))?;
        // Python writes and removes what is in there.
        entries.retain(|name| name != "__pycache__");
        let marker = Self {
            key: key.to_owned(),
            folder: folder.to_owned(),
            version: version.to_owned(),
            installer: installer.to_owned(),
            site,
            entries,
        };
        let file = folder.join(NAME);
        files::write_json(&file, &marker).map_err(|error| EnvError::io("write", &file, &error))?;
        Ok(marker)
    }

    /// The packages, each with its version: `numpy 2.1.0`.
    pub(super) fn packages(&self) -> Vec<(String, String)> {
        let info = self.entries.iter().filter_map(|name| name.strip_suffix(".dist-info"));
        let both = info.filter_map(|name| name.rsplit_once('-'));
        both.map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
    }
}

fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let mut names: Vec<String> =
        names.filter_map(std::io::Result::transpose).collect::<Result<_, _>>()?;
    names.sort_unstable();
    Ok(names)
}
