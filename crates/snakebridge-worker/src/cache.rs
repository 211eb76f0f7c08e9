//! The folder in which the worker's source is kept, so that interpreters can import it and keep
//! their compiled form of it.
//!
//! Each version of the source has a folder of its own, named by its hash:
//!
//! 1. `$SNAKEBRIDGE_CACHE_DIR`, if it is set: there or nowhere;
//! 2. `$XDG_CACHE_HOME/snakebridge`, or `$HOME/.cache/snakebridge`;
//! 3. `snakebridge-<user id>` in the folder for temporary files, if the others cannot be written.
//!
//! Files are written under other names and then renamed, so that any number of programs can do it
//! at once, and one that is killed half-way leaves nothing that could be taken for the source.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::source::{FILES, PACKAGE, hash};

/// Environment variable that names the cache folder.
pub const CACHE_DIR: &str = "SNAKEBRIDGE_CACHE_DIR";

/// No folder could be found that holds what is kept.
#[derive(Debug)]
pub struct CacheError {
    /// Each folder that was tried, and what went wrong there.
    pub tried: Vec<(PathBuf, io::Error)>,
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no folder can be used as a cache")?;
        for (place, (folder, error)) in self.tried.iter().enumerate() {
            let separator = if place == 0 { ": " } else { "; " };
            write!(f, "{separator}`{}`: {error}", folder.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for CacheError {}

/// Makes sure that the source is in the cache, and gives the folder to put on the module path.
///
/// # Errors
/// No folder of the list can be written.
pub fn install() -> Result<PathBuf, CacheError> {
    install_into(&folders(|name| std::env::var_os(name).map(PathBuf::from)))
}

/// The first of the folders that is there, or can be made. What it holds may still be read only.
///
/// # Errors
/// There is none.
pub fn root() -> Result<PathBuf, CacheError> {
    let mut tried = Vec::new();
    for folder in folders(|name| std::env::var_os(name).map(PathBuf::from)) {
        let made = match folder.shared {
            true => make_private(&folder.path),
            false => fs::create_dir_all(&folder.path),
        };
        match made.and_then(|()| std::path::absolute(&folder.path)) {
            Ok(path) => return Ok(path),
            Err(error) => tried.push((folder.path, error)),
        }
    }
    Err(CacheError { tried })
}

/// A folder that may hold the source.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Folder {
    path: PathBuf,
    /// Others can write beside it, so it must be ours alone.
    shared: bool,
}

fn folders(var: impl Fn(&str) -> Option<PathBuf>) -> Vec<Folder> {
    let own = |path| Folder { path, shared: false };
    if let Some(path) = var(CACHE_DIR) {
        return vec![own(path)];
    }
    let home = || var("HOME").map(|home| home.join(".cache"));
    let cache = var("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(home);
    let user = rustix::process::getuid().as_raw();
    let temporary = std::env::temp_dir().join(format!("snakebridge-{user}"));
    let mut out = Vec::new();
    out.extend(cache.map(|cache| own(cache.join("snakebridge"))));
    out.push(Folder { path: temporary, shared: true });
    out
}

fn install_into(folders: &[Folder]) -> Result<PathBuf, CacheError> {
    let mut tried = Vec::new();
    for folder in folders {
        let place = folder.path.join(format!("worker-{:016x}", hash()));
        match ensure(folder, &place.join(PACKAGE)) {
            Ok(()) => return Ok(place),
            Err(error) => tried.push((place, error)),
        }
    }
    Err(CacheError { tried })
}

fn ensure(folder: &Folder, package: &Path) -> io::Result<()> {
    if folder.shared {
        make_private(&folder.path)?;
    }
    if FILES.iter().all(|(name, text)| is_current(&package.join(name), text)) {
        return Ok(());
    }
    fs::create_dir_all(package)?;
    for (name, text) in FILES {
        let path = package.join(name);
        if !is_current(&path, text) {
            write_whole(&path, text)?;
        }
    }
    Ok(())
}

fn is_current(path: &Path, text: &str) -> bool {
    fs::read(path).is_ok_and(|found| found == text.as_bytes())
}

fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_extension(format!("{}-{count}.new", std::process::id()));
    fs::write(&beside, text)?;
    fs::rename(&beside, path).inspect_err(|_| {
        // What matters is the error of the rename; the leftover has a name that nobody imports.
        let _ = fs::remove_file(&beside);
    })
}

/// Makes a folder in a place where others can write too, and checks that it is ours alone:
/// whoever can write to it decides what the worker runs.
fn make_private(folder: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(folder)?;
    let user = rustix::process::getuid().as_raw();
    if !found.is_dir() || found.uid() != user || found.mode() & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the folder belongs to another user, or others can write to it",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn own(path: impl Into<PathBuf>) -> Folder {
        Folder { path: path.into(), shared: false }
    }

    #[test]
    fn the_source_is_written_once_and_mended() {
        let temp = tempfile::tempdir().unwrap();
        let folders = [own(temp.path())];
        let place = install_into(&folders).unwrap();
        let main = place.join(PACKAGE).join("main.py");
        let written = fs::metadata(&main).unwrap().modified().unwrap();
        assert_eq!(install_into(&folders).unwrap(), place);
        assert_eq!(fs::metadata(&main).unwrap().modified().unwrap(), written);

        fs::write(&main, "raise SystemExit('damaged')").unwrap();
        install_into(&folders).unwrap();
        assert!(is_current(&main, FILES.iter().find(|file| file.0 == "main.py").unwrap().1));
    }

    #[test]
    fn many_at_once_all_get_the_whole_source() {
        let temp = tempfile::tempdir().unwrap();
        let folders = [own(temp.path())];
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let place = install_into(&folders).unwrap();
                    for (name, text) in FILES {
                        assert!(is_current(&place.join(PACKAGE).join(name), text));
                    }
                });
            }
        });
        let left = fs::read_dir(install_into(&folders).unwrap().join(PACKAGE)).unwrap().count();
        assert_eq!(left, FILES.len(), "no temporary files are left");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_passed_over() {
        let temp = tempfile::tempdir().unwrap();
        let blocked = temp.path().join("a file, not a folder");
        fs::write(&blocked, "").unwrap();
        let second = temp.path().join("second");
        let place = install_into(&[own(&blocked), own(&second)]).unwrap();
        assert!(place.starts_with(&second));
        let error = install_into(&[own(&blocked)]).unwrap_err().to_string();
        assert!(error.contains("a file, not a folder"), "{error}");
    }

    #[test]
    fn a_shared_folder_must_be_ours_alone() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder { path: temp.path().join("snakebridge"), shared: true };
        install_into(std::slice::from_ref(&folder)).unwrap();
        fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o777)).unwrap();
        let error = install_into(&[folder]).unwrap_err().to_string();
        assert!(error.contains("others can write"), "{error}");
    }

    #[test]
    fn the_order_of_folders() {
        let vars = |name: &str| match name {
            "HOME" => Some(PathBuf::from("/home/ada")),
            _ => None,
        };
        let found = folders(vars);
        assert_eq!(found[0], own("/home/ada/.cache/snakebridge"));
        assert!(found[1].shared);
        let set = folders(|name| (name == CACHE_DIR).then(|| PathBuf::from("/x")));
        assert_eq!(set, [own("/x")]);
    }
}
