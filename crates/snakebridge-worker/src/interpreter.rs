//! The search for a Python interpreter.
//!
//! A program may say which one it wants: a path, the name of a command, or a version such as
//! `3.12`. Where it says nothing, the places of [`search`] are tried in order, and the first
//! interpreter that a worker runs on is taken. Nothing is run here: that an interpreter is too old
//! shows when a worker starts on it.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Environment variable that says which interpreter to use: a path, a command or a version.
pub const PYTHON: &str = "SNAKEBRIDGE_PYTHON";

/// Which interpreter is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wanted {
    /// This file. Relative to the current folder.
    Path(PathBuf),
    /// The command of this name.
    Command(String),
    /// Any interpreter of this version: `3.12` takes every `3.12.x`.
    Version(Version),
}

/// A version of two or three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "complete by nature: the parts of a version")]
pub struct Version {
    /// 3, for all that can be used.
    pub major: u32,
    /// The feature version.
    pub minor: u32,
    /// The bugfix version, if it matters.
    pub patch: Option<u32>,
}

/// An interpreter that may be usable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete by nature: a file and how it was found")]
pub struct Candidate {
    /// The file to run.
    pub path: PathBuf,
    /// How it was found, for people: "`python3` on PATH".
    pub origin: String,
}

impl FromStr for Wanted {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.parse() {
            Ok(version) => Self::Version(version),
            Err(_) if text.contains('/') => Self::Path(text.into()),
            Err(_) => Self::Command(text.to_owned()),
        })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "`{}`", path.display()),
            Self::Command(name) => write!(f, "command `{name}`"),
            Self::Version(version) => write!(f, "version {version}"),
        }
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.').map(|part| match part.starts_with('+') {
            true => Err(()),
            false => part.parse().map_err(|_| ()),
        });
        let mut next = || parts.next().transpose();
        let (major, minor, patch) = (next()?.ok_or(())?, next()?.ok_or(())?, next()?);
        match parts.next() {
            None => Ok(Self { major, minor, patch }),
            Some(_) => Err(()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

impl Version {
    /// Whether a whole version is one of those that this one names.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
            && (self.patch.is_none() || self.patch == other.patch)
    }
}

/// What the search sees of the world, so that tests can show it another one.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "filled by this crate and its tests")]
pub struct Surroundings {
    /// The variables that matter, by name.
    pub vars: Vec<(&'static str, PathBuf)>,
    /// The current folder.
    pub current: PathBuf,
}

impl Surroundings {
    /// The real ones.
    #[must_use]
    pub fn of_process() -> Self {
        let names =
            [PYTHON, "VIRTUAL_ENV", "CONDA_PREFIX", "PATH", "PYENV_ROOT", "HOME", DATA_HOME];
        let vars = names
            .into_iter()
            .filter_map(|name| std::env::var_os(name).map(|value| (name, PathBuf::from(value))))
            .filter(|(_, value)| !value.as_os_str().is_empty())
            .collect();
        Self { vars, current: std::env::current_dir().unwrap_or_default() }
    }

    fn var(&self, name: &str) -> Option<&Path> {
        self.vars.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_path())
    }

    fn on_path(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        let path = self.var("PATH").map(Path::as_os_str).unwrap_or_default().to_owned();
        let current = self.current.clone();
        let found: Vec<PathBuf> = std::env::split_paths(&path)
            .filter(|folder| !folder.as_os_str().is_empty())
            .map(|folder| current.join(folder).join(name))
            .filter(|file| is_executable(file))
            .collect();
        found.into_iter()
    }

    /// Folders of interpreters that pyenv and uv installed, newest version first.
    fn managed(&self) -> Vec<(Version, PathBuf, &'static str)> {
        let home = self.var("HOME");
        let pyenv =
            self.var("PYENV_ROOT").map(Path::to_owned).or_else(|| home.map(|h| h.join(".pyenv")));
        let data = self
            .var(DATA_HOME)
            .map(Path::to_owned)
            .or_else(|| home.map(|h| h.join(".local/share")));
        let mut out = Vec::new();
        for (folder, manager) in [
            (pyenv.map(|p| p.join("versions")), "pyenv"),
            (data.map(|d| d.join("uv/python")), "uv"),
        ] {
            let Some(entries) = folder.and_then(|folder| fs::read_dir(folder).ok()) else {
                continue;
            };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let file = entry.path().join("bin/python3");
                let version = name.to_str().and_then(version_in_name);
                if let (Some(version), true) = (version, is_executable(&file)) {
                    out.push((version, file, manager));
                }
            }
        }
        out.sort_by(|a, b| b.cmp(a));
        out
    }
}

const DATA_HOME: &str = "XDG_DATA_HOME";

/// Newest version whose command is looked for by name.
const NEWEST_NAMED: u32 = 14;

/// The interpreters to try, best first.
///
/// Where nothing is wanted:
/// 1. `$SNAKEBRIDGE_PYTHON`, and then nothing else;
/// 2. the active virtual environment (`$VIRTUAL_ENV`), then the active conda environment
///    (`$CONDA_PREFIX`);
/// 3. `.venv` in the current folder or the nearest folder above it;
/// 4. `python3`, then `python` on `PATH`;
/// 5. `python3.14` down to `python3.9` on `PATH`;
/// 6. the interpreters of pyenv and uv, newest first.
///
/// For a version: the command `pythonX.Y` on `PATH`, those of pyenv and uv, then 2 to 4.
#[must_use]
pub fn search(wanted: Option<&Wanted>, around: &Surroundings) -> Vec<Candidate> {
    let mut out = Vec::new();
    match wanted {
        Some(Wanted::Path(path)) => {
            out.push(Candidate { path: around.current.join(path), origin: "as given".to_owned() });
        }
        Some(Wanted::Command(name)) => commands(around, name, &mut out),
        Some(Wanted::Version(version)) => by_version(around, version, &mut out),
        None => match around.var(PYTHON) {
            Some(value) => {
                let text = value.to_string_lossy();
                let Ok(wanted) = text.parse();
                out = search(Some(&wanted), around);
                for candidate in &mut out {
                    candidate.origin = format!("{PYTHON}={text}");
                }
            }
            None => usual(around, &mut out),
        },
    }
    let mut seen = Vec::new();
    out.retain(|candidate| {
        // One folder may have two names, as `/bin` and `/usr/bin`. What a file links to does not
        // count: the interpreter of an environment is mostly a link to another one.
        let path = &candidate.path;
        let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
        let place = folder.unwrap_or_default().join(path.file_name().unwrap_or_default());
        let new = !seen.contains(&place);
        seen.push(place);
        new
    });
    out
}

fn usual(around: &Surroundings, out: &mut Vec<Candidate>) {
    environments(around, out);
    commands(around, "python3", out);
    commands(around, "python", out);
    let oldest = crate::OLDEST_PYTHON.1;
    for minor in (oldest..=NEWEST_NAMED).rev() {
        commands(around, &format!("python3.{minor}"), out);
    }
    for (version, path, manager) in around.managed() {
        if (version.major, version.minor) >= crate::OLDEST_PYTHON {
            out.push(Candidate { path, origin: format!("Python {version} of {manager}") });
        }
    }
}

fn by_version(around: &Surroundings, version: &Version, out: &mut Vec<Candidate>) {
    commands(around, &format!("python{}.{}", version.major, version.minor), out);
    for (found, path, manager) in around.managed() {
        if version.covers(&found) {
            out.push(Candidate { path, origin: format!("Python {found} of {manager}") });
        }
    }
    environments(around, out);
    commands(around, "python3", out);
    commands(around, "python", out);
}

fn environments(around: &Surroundings, out: &mut Vec<Candidate>) {
    for name in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        if let Some(python) = around.var(name).and_then(in_environment) {
            out.push(Candidate { path: python, origin: format!("environment in ${name}") });
        }
    }
    let beside =
        around.current.ancestors().find_map(|folder| in_environment(&folder.join(".venv")));
    if let Some(path) = beside {
        out.push(Candidate { path, origin: "`.venv` of the current folder".to_owned() });
    }
}

fn commands(around: &Surroundings, name: &str, out: &mut Vec<Candidate>) {
    for path in around.on_path(name) {
        out.push(Candidate { path, origin: format!("`{name}` on PATH") });
    }
}

fn in_environment(folder: &Path) -> Option<PathBuf> {
    ["bin/python3", "bin/python"]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|f| is_executable(f))
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// `3.12.1` of pyenv; `cpython-3.12.1-linux-x86_64-gnu` of uv.
fn version_in_name(name: &str) -> Option<Version> {
    let version = name
        .strip_prefix("cpython-")
        .map_or(name, |rest| rest.split_once('-').map_or(rest, |(version, _)| version));
    version.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, name: &str) -> PathBuf {
        let file = root.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    fn origins(wanted: Option<&str>, around: &Surroundings) -> Vec<String> {
        let wanted = wanted.map(|text| text.parse().unwrap());
        search(wanted.as_ref(), around).into_iter().map(|found| found.origin).collect()
    }

    #[test]
    fn what_is_wanted() {
        let version = |major, minor, patch| Wanted::Version(Version { major, minor, patch });
        for (text, wanted) in [
            ("3.12", version(3, 12, None)),
            ("3.12.1", version(3, 12, Some(1))),
            ("python3.12", Wanted::Command("python3.12".to_owned())),
            ("3", Wanted::Command("3".to_owned())),
            ("./env/bin/python", Wanted::Path("./env/bin/python".into())),
        ] {
            assert_eq!(text.parse::<Wanted>().unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn the_usual_order() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        for file in [
            "venv/bin/python3",
            "conda/bin/python",
            "project/.venv/bin/python3",
            "bin/python3",
            "bin/python",
            "bin/python3.9",
            "bin/python3.12",
            "pyenv/versions/3.13.0/bin/python3",
            "pyenv/versions/3.8.1/bin/python3",
            "data/uv/python/cpython-3.14.2-linux-x86_64-gnu/bin/python3",
        ] {
            touch(root, file);
        }
        let mut around = Surroundings {
            vars: vec![
                ("VIRTUAL_ENV", root.join("venv")),
                ("CONDA_PREFIX", root.join("conda")),
                ("PATH", root.join("bin")),
                ("PYENV_ROOT", root.join("pyenv")),
                (DATA_HOME, root.join("data")),
            ],
            current: root.join("project/src"),
        };
        assert_eq!(
            origins(None, &around),
            [
                "environment in $VIRTUAL_ENV",
                "environment in $CONDA_PREFIX",
                "`.venv` of the current folder",
                "`python3` on PATH",
                "`python` on PATH",
                "`python3.12` on PATH",
                "`python3.9` on PATH",
                "Python 3.14.2 of uv",
                "Python 3.13.0 of pyenv",
            ]
        );
        assert_eq!(origins(Some("3.8"), &around)[0], "Python 3.8.1 of pyenv");
        assert_eq!(origins(Some("3.13"), &around)[0], "Python 3.13.0 of pyenv");
        assert_eq!(origins(Some("python3.9"), &around), ["`python3.9` on PATH"]);
        around.vars.push((PYTHON, "3.12".into()));
        assert!(origins(None, &around).iter().all(|origin| origin == "SNAKEBRIDGE_PYTHON=3.12"));
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        let temp = tempfile::tempdir().unwrap();
        let around = Surroundings { vars: Vec::new(), current: temp.path().to_owned() };
        assert_eq!(search(None, &around), []);
        let path = search(Some(&Wanted::Path("bin/python".into())), &around);
        assert_eq!(path[0].path, temp.path().join("bin/python"));
    }
}
