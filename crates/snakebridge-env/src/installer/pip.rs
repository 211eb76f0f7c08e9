//! `venv` and pip, which come with Python.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::{Job, index_options, set_indexes};
use crate::error::{EnvError, EnvErrorKind};
use crate::files::{self, Scratch};

pub(super) fn create(job: &Job<'_>, folder: &Path) -> Result<(), EnvError> {
    job.step("making an environment with venv");
    let what = "make an environment";
    let mut venv = Command::new(&job.python.executable);
    // pip is installed in a step of its own, since venv keeps to itself why that does not work.
    job.run(what, venv.args(["-I", "-m", "venv", "--without-pip"]).arg(folder))?;
    let mut ensurepip = Command::new(folder.join("bin/python"));
    let done = job.run(what, ensurepip.args(["-I", "-m", "ensurepip", "--default-pip"]));
    done.map(|_| ()).map_err(|error| match error.said().is_some_and(lacks_ensurepip) {
        true => error.with_hint(
            "this Python has been installed without the module ensurepip: install it (on Debian the \
             package python3-venv), or uv",
        ),
        false => error,
    })
}

fn lacks_ensurepip(said: &str) -> bool {
    ["No module named ensurepip", "ensurepip is disabled"].iter().any(|sign| said.contains(sign))
}

pub(super) fn install(
    job: &Job<'_>,
    python: &Path,
    requirements: &Path,
    hashes: bool,
) -> Result<(), EnvError> {
    let mut command = pip(job, python, "install");
    if hashes {
        // All that is needed is in the file.
        command.args(["--require-hashes", "--no-deps"]);
    }
    job.run("install packages with pip", command.arg("-r").arg(requirements)).map(|_| ())
}

/// The exact versions that pip would install, with the hashes of the files that it would take.
pub(super) fn resolve(job: &Job<'_>, packages: &[String]) -> Result<String, EnvError> {
    let scratch = Scratch::new(job.folder)?;
    let wanted = scratch.write("requirements.in", &(packages.join("\n") + "\n"))?;
    let report = scratch.file("report.json");
    let mut command = pip(job, &job.python.executable, "install");
    command.args(["--dry-run", "--ignore-installed", "--report"]).arg(&report);
    let done = job.run("resolve the packages with pip", command.arg("-r").arg(wanted));
    done.map_err(|error| {
        let said = error.said().unwrap_or_default();
        if said.contains("No module named pip") {
            return error.with_hint("this Python has no pip: install it, or uv");
        }
        match said.contains("no such option") {
            true => error.with_hint(TOO_OLD),
            false => error,
        }
    })?;
    let report: Report = files::read_json(&report).ok_or_else(|| {
        EnvError::new(EnvErrorKind::Other, "the report of pip cannot be understood")
            .with_hint(TOO_OLD)
    })?;
    let mut lines: Vec<String> = report.install.iter().map(Item::requirement).collect();
    lines.sort_unstable();
    Ok(lines.concat())
}

const TOO_OLD: &str = "pip 22.2 or newer is needed to lock versions, or uv";

/// What pip reports, as far as it matters.
#[derive(Debug, Deserialize)]
struct Report {
    install: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    metadata: Metadata,
    download_info: Download,
    is_direct: bool,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    version: String,
}

#[derive(Debug, Deserialize)]
struct Download {
    url: String,
    archive_info: Option<Archive>,
}

#[derive(Debug, Deserialize)]
struct Archive {
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

impl Item {
    fn requirement(&self) -> String {
        let Metadata { name, version } = &self.metadata;
        let mut out = match self.is_direct {
            true => format!("{name} @ {}", self.download_info.url),
            false => format!("{name}=={version}"),
        };
        let hashes = self.download_info.archive_info.iter().flat_map(|archive| &archive.hashes);
        for (kind, hash) in hashes {
            out += &format!(" \\\n    --hash={kind}:{hash}");
        }
        out + "\n"
    }
}

/// A command of pip, with the options that all of them have here.
pub(super) fn pip(job: &Job<'_>, python: &Path, command: &str) -> Command {
    let mut pip = Command::new(python);
    pip.args(["-I", "-m", "pip", command, "--no-input", "--no-color"])
        .args(["--disable-pip-version-check", "--progress-bar", "off"])
        .args(index_options(job.index));
    let mut extra = job.index.extra.clone();
    if !extra.is_empty() {
        // Those that pip has been told of would no longer count.
        let said = config(python).unwrap_or_default();
        let more = said.iter().filter(|(name, _)| name == "extra-index-url");
        extra.extend(more.flat_map(|(_, value)| value.split_whitespace()).map(str::to_owned));
    }
    let url = job.index.url.as_deref();
    set_indexes(&mut pip, ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"], url, &extra);
    if job.offline {
        pip.arg("--no-index");
    }
    pip
}

/// What pip's files and variables say, in its own names: `index-url`. None without pip.
pub(super) fn config(python: &Path) -> Option<Vec<(String, String)>> {
    let mut pip = Command::new(python);
    pip.args(["-I", "-m", "pip", "config", "list", "--disable-pip-version-check"]);
    let output = pip.stdin(Stdio::null()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    Some(settings(&String::from_utf8_lossy(&output.stdout)))
}

/// Lines such as `global.index-url='https://example.org/simple'`, with the name of a command in the
/// place of `global`, or `:env:` for a variable. Each name once, with the value that counts.
fn settings(text: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for wanted in [":env:", "install", "global"] {
        for line in text.lines() {
            let Some((name, value)) = line.split_once('=') else { continue };
            let Some((section, name)) = name.rsplit_once('.') else { continue };
            if section == wanted && !out.iter().any(|(other, _)| other == name) {
                let value = value.trim_matches(['\'', '"']).replace("\\n", " ");
                out.push((name.to_owned(), value));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_pip() {
        let item = |text: &str| serde_json::from_str::<Item>(text).unwrap().requirement();
        assert_eq!(
            item(
                r#"{"metadata": {"name": "six", "version": "1.17.0", "summary": ""}, "is_direct": false,
                    "download_info": {"url": "https://example.org/six.whl",
                    "archive_info": {"hash": "sha256=aa", "hashes": {"sha256": "aa"}}}}"#
            ),
            "six==1.17.0 \\\n    --hash=sha256:aa\n"
        );
        assert_eq!(
            item(
                r#"{"metadata": {"name": "pkg", "version": "1"}, "is_direct": true,
                    "download_info": {"url": "git+https://example.org/pkg", "vcs_info": {}}}"#
            ),
            "pkg @ git+https://example.org/pkg\n"
        );
    }

    #[test]
    fn settings_of_pip_are_read() {
        let found = settings(
            "global.index-url='https://example.org/simple'\n:env:.find-links='/a\\n/b'\n\
             global.cert='weaker'\ninstall.cert='stronger'\ndownload.proxy='x'\nnothing",
        );
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            found,
            [
                pair("find-links", "/a /b"),
                pair("cert", "stronger"),
                pair("index-url", "https://example.org/simple"),
            ]
        );
    }
}
