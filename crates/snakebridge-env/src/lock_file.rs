//! The lock file: exact versions and hashes of what was declared, to be kept with the program.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{EnvError, EnvErrorKind};
use crate::files;
use crate::interpreter::Interpreter;
use crate::requirements::Requirements;

/// Its usual name.
pub const NAME: &str = "snakebridge.lock";

/// The content of a lock file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LockFile {
    /// An empty file is one that is to be filled.
    #[serde(default = "version")]
    version: u32,
    #[serde(default)]
    pool: BTreeMap<String, Locked>,
}

/// What the requirements of a pool have come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Locked {
    /// What was declared.
    packages: Vec<String>,
    /// For this feature version of Python; and all later ones, if it is for any platform.
    python: String,
    /// For which extension modules, or [`ANY`].
    platform: String,
    /// All packages with their versions and hashes, as pip and uv take them.
    pub(crate) requirements: String,
}

/// The platform of what was resolved for all.
pub(crate) const ANY: &str = "any";

/// The format that is understood.
const VERSION: u32 = 1;

const fn version() -> u32 {
    VERSION
}

const HEADING: &str = "\
# Made by SnakeBridge: exact versions of the packages that the program declares, with their hashes.
# Keep it with the program. It is made anew when what is declared has changed.
";

/// What a lock file says about some requirements.
#[derive(Debug)]
pub(crate) enum Lock {
    /// Exactly what to install. None: there is no lock file, and anything fits.
    Fits(Option<Locked>),
    /// Nothing that can be used, and why; and what it was.
    Stale(String, Option<Locked>),
}

impl LockFile {
    /// Reads a lock file; an empty one where there is none.
    pub(crate) fn read(path: &Path) -> Result<Self, EnvError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(EnvError::io("read", path, &error)),
        };
        let wrong = |what: String| {
            EnvError::new(EnvErrorKind::Lock, format!("`{}` {what}", path.display()))
                .with_hint("remove it to have it made anew")
        };
        let read: Self = toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            wrong(format!("is no lock file: line {line}: {}", error.message()))
        })?;
        match read.version {
            VERSION => Ok(read),
            other => Err(wrong(format!("has version {other}, and {VERSION} is understood"))),
        }
    }

    /// What it says about these requirements on this Python.
    pub(crate) fn look(&self, wanted: &Requirements, python: &Interpreter) -> Lock {
        let Some(locked) = self.pool.get(&wanted.pool) else {
            return Lock::Stale(format!("has nothing for the pool `{}`", wanted.pool), None);
        };
        match locked.difference(wanted, python) {
            None => Lock::Fits(Some(locked.clone())),
            Some(difference) => Lock::Stale(difference, Some(locked.clone())),
        }
    }

    /// Takes up what the requirements of a pool have come to, and writes it.
    pub(crate) fn update(path: &Path, pool: &str, locked: Locked) -> Result<(), EnvError> {
        let mut all = Self::read(path)?;
        all.version = VERSION;
        all.pool.insert(pool.to_owned(), locked);
        let failed = |error: io::Error| EnvError::io("write", path, &error);
        let text = toml::to_string_pretty(&all).map_err(|error| failed(io::Error::other(error)))?;
        files::write_whole(path, format!("{HEADING}{text}").as_bytes()).map_err(failed)
    }
}

impl Locked {
    /// `platform` is [`ANY`], or none for that of the interpreter alone.
    pub(crate) fn new(
        wanted: &Requirements,
        python: &Interpreter,
        is_for_any: bool,
        requirements: String,
    ) -> Result<Self, EnvError> {
        if let Some(line) = without_hash(&requirements) {
            let message = format!("cannot lock `{line}`: there is no hash of it");
            return Err(EnvError::new(EnvErrorKind::Lock, message).with_hint(
                "packages of version control or of folders have none: take one from an index or an \
                 archive, or use no lock file",
            ));
        }
        let (major, minor) = python.feature_version();
        let platform = if is_for_any { ANY } else { &python.abi };
        Ok(Self {
            packages: sorted(&wanted.packages),
            python: format!("{major}.{minor}"),
            platform: platform.to_owned(),
            requirements,
        })
    }

    fn difference(&self, wanted: &Requirements, python: &Interpreter) -> Option<String> {
        let declared = sorted(&wanted.packages);
        if let Some(new) = declared.iter().find(|package| !self.packages.contains(package)) {
            return Some(format!("lacks `{new}`"));
        }
        if let Some(old) = self.packages.iter().find(|package| !declared.contains(package)) {
            return Some(format!("has `{old}`, which is not declared"));
        }
        let mut numbers = self.python.split('.').map(|part| part.parse().unwrap_or_default());
        let of_lock = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        let found = python.feature_version();
        let fits = match self.platform == ANY {
            true => of_lock <= found,
            false => of_lock == found && self.platform == python.abi,
        };
        let of_lock = (&self.python, &self.platform);
        (!fits).then(|| {
            format!("is for Python {} on {}, not for {}", of_lock.0, of_lock.1, python.version)
        })
    }
}

/// The first requirement without a hash.
fn without_hash(requirements: &str) -> Option<String> {
    let joined = requirements.replace("\\\n", " ");
    let mut lines = joined.lines().map(str::trim);
    let lost = lines.find(|line| {
        !line.is_empty() && !line.starts_with(['#', '-']) && !line.contains("--hash=")
    });
    lost.map(str::to_owned)
}

fn sorted(packages: &[String]) -> Vec<String> {
    let mut out: Vec<String> = packages.iter().map(|package| package.trim().to_owned()).collect();
    out.sort_unstable();
    out.dedup();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "idna==3.7 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n";

    fn wanted(packages: &[&str]) -> Requirements {
        Requirements::new(packages.iter().copied())
    }

    fn stale(lock: &LockFile, wanted: &Requirements, python: &str) -> String {
        match lock.look(wanted, &Interpreter::made_up(python)) {
            Lock::Fits(_) => "fits".to_owned(),
            Lock::Stale(why, _) => why,
        }
    }

    #[test]
    fn what_is_locked_is_found_again() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(NAME);
        let python = Interpreter::made_up("3.11.2");
        let mut other = wanted(&["six"]);
        other.pool = "other".to_owned();
        for (wanted, any) in [(wanted(&["idna", " a "]), true), (other.clone(), false)] {
            let locked = Locked::new(&wanted, &python, any, TEXT.to_owned()).unwrap();
            LockFile::update(&path, &wanted.pool, locked).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# Made by SnakeBridge"), "{text}");
        assert!(text.contains("\nidna==3.7 \\\n    --hash=sha256:aa"), "{text}");

        let lock = LockFile::read(&path).unwrap();
        assert_eq!(stale(&lock, &wanted(&["a", "idna"]), "3.11.9"), "fits");
        assert_eq!(stale(&lock, &wanted(&["a", "idna"]), "3.13.0"), "fits");
        assert_eq!(stale(&lock, &wanted(&["a", "idna", "b"]), "3.11.2"), "lacks `b`");
        assert_eq!(stale(&lock, &wanted(&["a"]), "3.11.2"), "has `idna`, which is not declared");
        assert_eq!(
            stale(&lock, &wanted(&["a", "idna"]), "3.10.2"),
            "is for Python 3.11 on any, not for 3.10.2"
        );
        assert_eq!(stale(&lock, &other, "3.11.2"), "fits");
        assert_eq!(
            stale(&lock, &other, "3.12.2"),
            "is for Python 3.11 on cpython-linux-gnu, not for 3.12.2"
        );
        other.pool = "third".to_owned();
        assert_eq!(stale(&lock, &other, "3.11.2"), "has nothing for the pool `third`");
    }

    #[test]
    fn what_is_no_lock_file() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(NAME);
        for (text, expected) in [
            ("version = 1\ncolour = 2\n", "is no lock file: line 2: unknown field `colour`"),
            ("version = 7\n", "has version 7, and 1 is understood"),
            ("version = \n", "is no lock file: line 1: "),
        ] {
            fs::write(&path, text).unwrap();
            let error = LockFile::read(&path).unwrap_err();
            assert_eq!(error.kind(), EnvErrorKind::Lock);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn an_empty_file_is_one_to_be_filled() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(NAME);
        fs::write(&path, "").unwrap();
        let lock = LockFile::read(&path).unwrap();
        assert_eq!(stale(&lock, &wanted(&["a"]), "3.11.2"), "has nothing for the pool `default`");
    }

    #[test]
    fn what_has_no_hash_cannot_be_locked() {
        let text = format!("{TEXT}pkg @ git+https://example.org/pkg.git\n");
        let python = Interpreter::made_up("3.11.2");
        let error = Locked::new(&wanted(&["idna"]), &python, true, text).unwrap_err();
        assert!(error.to_string().contains("`pkg @ git+https"), "{error}");
    }
}
