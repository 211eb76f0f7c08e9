//! Files that are there whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::EnvError;

/// What a file says; none where it cannot be read, or says something else.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    write_whole(path, &serde_json::to_vec_pretty(value)?)
}

/// Writes a file under another name, and then gives it its own.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension(format!("{}.new", unique()));
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    written.inspect_err(|_| {
        // What matters is the first error.
        let _ = fs::remove_file(&beside);
    })
}

/// What nobody else has in a name.
fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A folder for a moment.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(crate) fn new(parent: &Path) -> Result<Self, EnvError> {
        let path = parent.join(format!("scratch-{}", unique()));
        fs::create_dir_all(&path).map_err(|error| EnvError::io("make", &path, &error))?;
        Ok(Self { path })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, EnvError> {
        let file = self.file(name);
        fs::write(&file, text).map_err(|error| EnvError::io("write", &file, &error))?;
        Ok(file)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It is in the cache, and in nobody's way.
        let _ = fs::remove_dir_all(&self.path);
    }
}
