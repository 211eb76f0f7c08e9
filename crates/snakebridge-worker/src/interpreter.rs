//! The search for a Python interpreter.
//!
//! A program may say which one it wants: a path, the name of a command, or a version such as
//! `3.12`, or a range of versions such as `>=3.10`. Where it says nothing, the places of [`search`] are tried in order, and the first
//! interpreter that a worker runs on is taken. Nothing is run here: that an interpreter is too old
//! shows when a worker starts on it.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use crate::version::{BadRange, Version, VersionRange};

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
    /// Any interpreter of a version in this range: `>=3.10,<3.14`. Which one it is, is searched for
    /// as if nothing were wanted.
    Range(VersionRange),
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

impl Wanted {
    /// Whether an interpreter of this whole version is one that is wanted.
    #[must_use]
    pub fn allows(&self, version: &Version) -> bool {
        match self {
            Self::Version(wanted) => wanted.covers(version),
            Self::Range(range) => range.contains(version),
            Self::Path(_) | Self::Command(_) => true,
        }
    }
}

impl FromStr for Wanted {
    type Err = BadRange;

    fn from_str(text: &str) -> Result<Self, BadRange> {
        if text.trim_start().starts_with(['<', '>', '=', '!', '~']) {
            return text.parse().map(Self::Range);
        }
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
            Self::Range(range) => write!(f, "version {range}"),
        }
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
    /// Folders in which systems have their Python, looked at last.
    pub system: Vec<PathBuf>,
}

impl Surroundings {
    /// The real ones.
    #[must_use]
    pub fn of_process() -> Self {
        let names = [
            PYTHON,
            "VIRTUAL_ENV",
            "CONDA_PREFIX",
            "PATH",
            "PYENV_ROOT",
            "HOME",
            DATA_HOME,
            UV_PYTHONS,
            "CONDA_EXE",
        ];
        let vars = names
            .into_iter()
            .filter_map(|name| std::env::var_os(name).map(|value| (name, PathBuf::from(value))))
            .filter(|(_, value)| !value.as_os_str().is_empty())
            .collect();
        let current = std::env::current_dir().unwrap_or_default();
        Self { vars, current, system: SYSTEM_FOLDERS.map(PathBuf::from).into() }
    }

    /// What the environment variable wants, where it says something that can be understood.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        self.var(PYTHON).and_then(|value| value.to_string_lossy().parse().ok())
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

    /// Interpreters that pyenv and uv installed, newest version first.
    fn managed(&self) -> Vec<(Version, PathBuf, &'static str)> {
        let in_home = |path: &str| self.var("HOME").map(|home| home.join(path));
        let var = |name: &str| self.var(name).map(Path::to_owned);
        let pyenv = var("PYENV_ROOT").or_else(|| in_home(".pyenv"));
        let data = var(DATA_HOME).or_else(|| in_home(".local/share"));
        let uv = var(UV_PYTHONS).or_else(|| data.map(|data| data.join("uv/python")));
        let mut out = Vec::new();
        for (folder, manager) in [(pyenv.map(|pyenv| pyenv.join("versions")), "pyenv"), (uv, "uv")]
        {
            let Some(entries) = folder.and_then(|folder| fs::read_dir(folder).ok()) else {
                continue;
            };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let version = name.to_str().and_then(version_in_name);
                if let (Some(version), Some(file)) = (version, in_environment(&entry.path())) {
                    out.push((version, file, manager));
                }
            }
        }
        out.sort_by(|a, b| b.cmp(a));
        out
    }

    /// The base environments of conda, where nothing is active: that of the command, and those in
    /// the folders that its installers propose.
    fn conda(&self) -> Vec<PathBuf> {
        let of_command = self.var("CONDA_EXE").and_then(|file| file.parent()?.parent());
        let home = self.var("HOME");
        let proposed = CONDA_FOLDERS.iter().filter_map(|name| home.map(|home| home.join(name)));
        let folders = of_command.map(Path::to_owned).into_iter().chain(proposed);
        folders.filter_map(|folder| in_environment(&folder)).collect()
    }
}

const DATA_HOME: &str = "XDG_DATA_HOME";
/// Where uv keeps its interpreters, if not in its folder for data.
const UV_PYTHONS: &str = "UV_PYTHON_INSTALL_DIR";

/// Where the installers of conda and its relatives put it, in the home folder.
const CONDA_FOLDERS: [&str; 4] = ["miniforge3", "miniconda3", "mambaforge", "anaconda3"];

/// Where systems and Homebrew have their Python, for programs whose `PATH` leaves it out, as that of
/// many services.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"];

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
/// 6. the interpreters of pyenv and uv, newest first;
/// 7. the base environment of conda;
/// 8. `python3` in the folders of the system.
///
/// For a range the same, without what is known to lie outside of it. For a version: the command
/// `pythonX.Y` on `PATH`, those of pyenv and uv, then 2 to 4, 7 and 8. A path may also be the folder
/// of an environment.
#[must_use]
pub fn search(wanted: Option<&Wanted>, around: &Surroundings) -> Vec<Candidate> {
    let mut out = Vec::new();
    match wanted {
        Some(Wanted::Path(path)) => {
            let path = around.current.join(path);
            let path = in_environment(&path).unwrap_or(path);
            out.push(Candidate { path, origin: "as given".to_owned() });
        }
        Some(Wanted::Command(name)) => commands(around, name, &mut out),
        Some(Wanted::Version(version)) => by_version(around, version, &mut out),
        None | Some(Wanted::Range(_)) => match around.var(PYTHON) {
            Some(value) => out = by_variable(around, &value.to_string_lossy()),
            None => usual(around, wanted, &mut out),
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

fn by_variable(around: &Surroundings, text: &str) -> Vec<Candidate> {
    let wanted = match text.parse() {
        // The variable is not looked at again.
        Ok(Wanted::Range(range)) => {
            let mut out = Vec::new();
            usual(around, Some(&Wanted::Range(range)), &mut out);
            return with_origin(out, text);
        }
        Ok(wanted) => wanted,
        // There is no command of such a name, and the error shows it.
        Err(_) => Wanted::Command(text.to_owned()),
    };
    with_origin(search(Some(&wanted), around), text)
}

fn with_origin(mut candidates: Vec<Candidate>, text: &str) -> Vec<Candidate> {
    for candidate in &mut candidates {
        candidate.origin = format!("{PYTHON}={text}");
    }
    candidates
}

fn usual(around: &Surroundings, wanted: Option<&Wanted>, out: &mut Vec<Candidate>) {
    environments(around, out);
    commands(around, "python3", out);
    commands(around, "python", out);
    let (major, oldest) = crate::OLDEST_PYTHON;
    for minor in (oldest..=NEWEST_NAMED).rev() {
        let may_fit = match wanted {
            Some(Wanted::Range(range)) => range.may_contain(major, minor),
            _ => true,
        };
        if may_fit {
            commands(around, &format!("python{major}.{minor}"), out);
        }
    }
    for (version, path, manager) in around.managed() {
        let fits = wanted.is_none_or(|wanted| wanted.allows(&version));
        if fits && (version.major, version.minor) >= crate::OLDEST_PYTHON {
            out.push(Candidate { path, origin: format!("Python {version} of {manager}") });
        }
    }
    last_resorts(around, out);
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
    last_resorts(around, out);
}

/// What neither the environment nor `PATH` names.
fn last_resorts(around: &Surroundings, out: &mut Vec<Candidate>) {
    for path in around.conda() {
        out.push(Candidate { path, origin: "base environment of conda".to_owned() });
    }
    for path in around.system.iter().map(|folder| folder.join("python3")) {
        if is_executable(&path) {
            out.push(Candidate { path, origin: "`python3` of the system".to_owned() });
        }
    }
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
            "home/miniforge3/bin/python",
            "system/python3",
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
                ("HOME", root.join("home")),
            ],
            current: root.join("project/src"),
            system: vec![root.join("system")],
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
                "base environment of conda",
                "`python3` of the system",
            ]
        );
        assert_eq!(origins(Some("3.8"), &around)[0], "Python 3.8.1 of pyenv");
        assert_eq!(origins(Some("3.13"), &around)[0], "Python 3.13.0 of pyenv");
        assert_eq!(origins(Some("python3.9"), &around), ["`python3.9` on PATH"]);
        let in_range = origins(Some(">=3.10,<3.14"), &around);
        assert!(in_range.contains(&"`python3.12` on PATH".to_owned()), "{in_range:?}");
        assert!(in_range.contains(&"Python 3.13.0 of pyenv".to_owned()), "{in_range:?}");
        assert!(!in_range.contains(&"`python3.9` on PATH".to_owned()), "{in_range:?}");
        assert!(!in_range.contains(&"Python 3.14.2 of uv".to_owned()), "{in_range:?}");
        let folder = search(Some(&Wanted::Path(root.join("project/.venv"))), &around);
        assert!(folder[0].path.ends_with(".venv/bin/python3"), "{folder:?}");
        around.vars.push((PYTHON, "3.12".into()));
        assert!(origins(None, &around).iter().all(|origin| origin == "SNAKEBRIDGE_PYTHON=3.12"));
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        let temp = tempfile::tempdir().unwrap();
        let around = Surroundings { current: temp.path().to_owned(), ..Surroundings::default() };
        assert_eq!(search(None, &around), []);
        let path = search(Some(&Wanted::Path("bin/python".into())), &around);
        assert_eq!(path[0].path, temp.path().join("bin/python"));
    }
}
