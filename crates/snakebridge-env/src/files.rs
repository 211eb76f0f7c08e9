//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
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
    let (beside, mut file) = make_new(
        |unique| path.with_extension(format!("{unique}.new")),
        |path| File::create_new(path),
    )?;
    let written = file.write_all(bytes).and_then(|()| fs::rename(&beside, path));
    written.inspect_err(|_| {
        // What matters is the first error.
        let _ = fs::remove_file(&beside);
    })
}

/// Makes something with a name that nothing else has. The number of the process is not enough for that:
/// containers that share a folder have processes of the same number.
fn make_new<T>(
    name: impl Fn(&str) -> PathBuf,
    make: impl Fn(&Path) -> io::Result<T>,
) -> io::Result<(PathBuf, T)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = name(&format!("{}-{count}", std::process::id()));
        match make(&path) {
            Ok(made) => return Ok((path, made)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// A folder for a moment.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(crate) fn new(parent: &Path) -> Result<Self, EnvError> {
        let made = fs::create_dir_all(parent).and_then(|()| {
            make_new(|unique| parent.join(format!("scratch-{unique}")), |path| fs::create_dir(path))
        });
        let failed = |error| EnvError::io("make a folder in", parent, &error);
        made.map(|(path, ())| Self { path }).map_err(failed)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_made_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let name = |unique: &str| folder.path().join(format!("scratch-{unique}"));
        let (first, ()) = make_new(name, |path| fs::create_dir(path)).unwrap();
        let (process, count) = first.to_str().unwrap().rsplit_once('-').unwrap();
        let count: u32 = count.parse().unwrap();
        // As a process of the same number in another container would.
        for count in count + 1..count + 20 {
            fs::write(format!("{process}-{count}"), "of somebody else").unwrap();
        }
        let scratch = Scratch::new(folder.path()).unwrap();
        scratch.write("file", "ours").unwrap();
        drop(scratch);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 20);
    }

    #[test]
    fn files_are_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/file.json");
        write_whole(&file, b"first").unwrap();
        write_whole(&file, b"second").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    }
}
