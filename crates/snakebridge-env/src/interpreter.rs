//! Which interpreter an environment is made with.
//!
//! What an interpreter is, only it can say, and asking takes as long as a start of Python. So the
//! answer is kept, and counts as long as the files are the same: the one that was asked and the one
//! that it named.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use snakebridge_worker::OLDEST_PYTHON;
use snakebridge_worker::interpreter::{Candidate, Surroundings, Version, Wanted, search};

use crate::error::{EnvError, EnvErrorKind};
use crate::files;

/// An interpreter that environments can be made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Interpreter {
    /// The file to run: no environment's own, but the one that environments are made of.
    pub executable: PathBuf,
    /// Its version: `3.12.1`.
    pub version: String,
    /// What extension modules are for: `cpython-312-x86_64-linux-gnu`.
    pub abi: String,
    /// `cpython`.
    implementation: String,
}

impl Interpreter {
    /// What an environment depends on. Bugfix versions are alike.
    pub(crate) fn key(&self) -> String {
        let (major, minor) = self.feature_version();
        format!("{} {major}.{minor} {}", self.executable.display(), self.abi)
    }

    pub(crate) fn feature_version(&self) -> (u32, u32) {
        let mut numbers = self.version.split('.').map(|part| part.parse().unwrap_or_default());
        (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
    }

    #[cfg(test)]
    pub(crate) fn made_up(version: &str) -> Self {
        Self {
            executable: "/usr/bin/python3".into(),
            version: version.to_owned(),
            abi: "cpython-linux-gnu".to_owned(),
            implementation: "cpython".to_owned(),
        }
    }
}

/// The first interpreter that is wanted. `cache` is where answers are kept.
pub(crate) fn choose(
    wanted: Option<&Wanted>,
    around: &Surroundings,
    cache: &Path,
) -> Result<Interpreter, EnvError> {
    let mut tried = Vec::new();
    let by_variable = around.wanted();
    let checks = [wanted, by_variable.as_ref().filter(|_| wanted.is_none())];
    for candidate in search(wanted, around) {
        let name = format!("`{}` ({})", candidate.path.display(), candidate.origin);
        match ask(&candidate, around, cache).and_then(|found| fits(&found, &checks).map(|()| found))
        {
            Ok(found) => return Ok(found),
            Err(reason) => tried.push(format!("{name} {reason}")),
        }
    }
    let what = wanted.map_or_else(|| "a Python".to_owned(), |wanted| format!("Python {wanted}"));
    let message = match tried[..] {
        [] => format!("found no Python to make an environment with: {what} is nowhere"),
        _ => format!("found no Python to make an environment with: {}", tried.join("; ")),
    };
    let (major, minor) = OLDEST_PYTHON;
    Err(EnvError::new(EnvErrorKind::NoPython, message).with_hint(format!(
        "install Python {major}.{minor} or newer, or say which one to use: `python` in the settings \
         or the environment variable SNAKEBRIDGE_PYTHON"
    )))
}

fn fits(found: &Interpreter, checks: &[Option<&Wanted>]) -> Result<(), String> {
    if found.implementation != "cpython" {
        return Err(format!("is {}", found.implementation));
    }
    let (oldest, version) = (OLDEST_PYTHON, &found.version);
    if found.feature_version() < oldest {
        let (major, minor) = oldest;
        return Err(format!(
            "is Python {version}, and {major}.{minor} is the oldest that can be used"
        ));
    }
    // Releases to come, as `3.15.0a1`, are compared without that.
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    let whole: Option<Version> = version[..end].parse().ok();
    let is_wanted = |wanted: &Wanted| whole.as_ref().is_none_or(|version| wanted.allows(version));
    match checks.iter().flatten().all(|wanted| is_wanted(wanted)) {
        true => Ok(()),
        false => Err(format!("is Python {version}")),
    }
}

/// An answer that is kept, and what it is about.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    asked: PathBuf,
    file: Stamp,
    /// What a script decides by which interpreter it runs.
    choices: String,
    found: Interpreter,
    found_file: Stamp,
}

/// Whether a file is still the same.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    seconds: i64,
    nanoseconds: i64,
    size: u64,
    inode: u64,
}

fn ask(candidate: &Candidate, around: &Surroundings, cache: &Path) -> Result<Interpreter, String> {
    let asked = &candidate.path;
    let file = Stamp::of(asked).ok_or("does not exist")?;
    let choices = if is_script(asked) { choices_of_shims(around) } else { String::new() };
    let name = format!("{}\n{choices}", asked.display());
    let name = format!("{:016x}.json", snakebridge_worker::fingerprint(name.as_bytes()));
    let kept = cache.join(name);
    let known: Option<Answer> = files::read_json(&kept);
    if let Some(known) = known
        && (&known.asked, &known.file, &known.choices) == (asked, &file, &choices)
        && Stamp::of(&known.found.executable).as_ref() == Some(&known.found_file)
    {
        return Ok(known.found);
    }
    let found = question(asked)?;
    let found_file = Stamp::of(&found.executable)
        .ok_or_else(|| format!("names `{}`, which does not exist", found.executable.display()))?;
    let answer = Answer { asked: asked.clone(), file, choices, found, found_file };
    // Where it cannot be kept, it is asked again.
    let _ = files::write_json(&kept, &answer);
    Ok(answer.found)
}

/// Runs an interpreter. Nothing of the user's or of the site is imported.
fn question(python: &Path) -> Result<Interpreter, String> {
    let mut command = Command::new(python);
    command.args(["-I", "-S", "-c", QUESTION]).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("cannot be run ({error})"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing");
        return Err(format!("ended with {}, saying `{}`", output.status, last.trim()));
    }
    let found: Result<Interpreter, _> = serde_json::from_slice(&output.stdout);
    let mut found = found.map_err(|_| "does not answer as a Python does".to_owned())?;
    // Of what a link points to: the link may point to another version later.
    found.executable = found.executable.canonicalize().unwrap_or(found.executable);
    Ok(found)
}

const QUESTION: &str = "\
import json, sys, sysconfig
print(json.dumps({
    'executable': getattr(sys, '_base_executable', None) or sys.executable,
    'version': '%d.%d.%d' % sys.version_info[:3] + {'final': ''}.get(sys.version_info[3], sys.version_info[3]),
    'abi': sysconfig.get_config_var('SOABI') or sysconfig.get_platform(),
    'implementation': sys.implementation.name,
}))";

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            seconds: found.mtime(),
            nanoseconds: found.mtime_nsec(),
            size: found.size(),
            inode: found.ino(),
        })
    }
}

fn is_script(path: &Path) -> bool {
    let mut begin = [0; 2];
    fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut begin).is_ok())
        && begin == *b"#!"
}

/// What the shims of pyenv, asdf and mise go by.
fn choices_of_shims(around: &Surroundings) -> String {
    let mut out = String::new();
    for name in ["PYENV_VERSION", "ASDF_PYTHON_VERSION", "MISE_PYTHON_VERSION"] {
        let value = std::env::var_os(name).unwrap_or_default();
        out += &format!("{name}={}\n", value.to_string_lossy());
    }
    let in_project = around.current.ancestors().flat_map(|folder| {
        [".python-version", ".tool-versions", "mise.toml"].map(|name| folder.join(name))
    });
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let pyenv = pyenv.or_else(|| home.map(|home| home.join(".pyenv")));
    for file in in_project.chain(pyenv.map(|pyenv| pyenv.join("version"))) {
        if let Ok(text) = fs::read_to_string(&file) {
            out += &format!("{}={text}\n", file.display());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A script that answers as Python does, and counts how often it is asked.
    fn fake(folder: &Path, version: &str) -> PathBuf {
        let file = folder.join("python3");
        let answer = serde_json::to_string(&Interpreter {
            executable: file.clone(),
            ..Interpreter::made_up(version)
        });
        let text = format!(
            "#!/bin/sh\necho asked >> {}\necho '{}'\n",
            folder.join("asked").display(),
            answer.unwrap()
        );
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    fn asked(folder: &Path) -> usize {
        fs::read_to_string(folder.join("asked")).map_or(0, |text| text.lines().count())
    }

    fn around(folder: &Path) -> Surroundings {
        let vars = vec![("PATH", folder.to_owned())];
        Surroundings { vars, current: folder.to_owned(), ..Surroundings::default() }
    }

    #[test]
    fn an_interpreter_is_asked_once() {
        let temp = tempfile::tempdir().unwrap();
        let (folder, cache) = (temp.path(), temp.path().join("cache"));
        fake(folder, "3.12.1");
        let found = choose(None, &around(folder), &cache).unwrap();
        assert_eq!(found.version, "3.12.1");
        assert_eq!(choose(None, &around(folder), &cache).unwrap(), found);
        assert_eq!(asked(folder), 1);

        fake(folder, "3.13.10");
        assert_eq!(choose(None, &around(folder), &cache).unwrap().version, "3.13.10");
        assert_eq!(asked(folder), 2, "the file is another one");

        fs::write(folder.join(".python-version"), "3.11").unwrap();
        choose(None, &around(folder), &cache).unwrap();
        assert_eq!(asked(folder), 3, "a shim may decide for another one");
    }

    #[test]
    fn what_does_not_fit_is_passed_over_and_named() {
        let temp = tempfile::tempdir().unwrap();
        let (folder, cache) = (temp.path(), temp.path().join("cache"));
        fake(folder, "3.12.1");
        let choose = |wanted: &str| choose(Some(&wanted.parse().unwrap()), &around(folder), &cache);
        assert_eq!(choose(">=3.10").unwrap().version, "3.12.1");
        assert_eq!(choose("3.12").unwrap().version, "3.12.1");
        let error = choose(">=3.13").unwrap_err();
        assert_eq!(error.kind(), EnvErrorKind::NoPython);
        assert!(error.to_string().ends_with("(`python3` on PATH) is Python 3.12.1"), "{error}");

        fake(folder, "3.8.2");
        let error = choose(">=3.8").unwrap_err().to_string();
        assert!(error.contains("3.9 is the oldest"), "{error}");
        fs::write(folder.join("python3"), "#!/bin/sh\necho oh no >&2; exit 3\n").unwrap();
        let error = choose(">=3.8").unwrap_err().to_string();
        assert!(error.contains("exit status: 3, saying `oh no`"), "{error}");
    }
}
