//! uv: where it is, and how it is told what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{Job, Run, UV_VARIABLE, index_options, not_found, pip, set_indexes};
use crate::error::{EnvError, EnvErrorKind};
use crate::files::Scratch;
use crate::progress::{Progress, ProgressEvent};

/// A file of uv that can be run.
#[derive(Debug)]
pub(crate) struct Uv {
    file: PathBuf,
}

impl Uv {
    /// Finds uv: `$SNAKEBRIDGE_UV`, `PATH`, the one that was fetched before, the one that is installed
    /// in the interpreter. Else fetches it from the package index.
    pub(super) fn find_or_fetch(job: &Job<'_>) -> Result<Self, EnvError> {
        if let Some(found) = Self::find(job.tools)? {
            return Ok(found);
        }
        if let Some(found) = of_interpreter(&job.python.executable) {
            return Ok(found);
        }
        fetch(job)
    }

    /// Finds uv without running anything.
    pub(crate) fn find(tools: &Path) -> Result<Option<Self>, EnvError> {
        if let Some(file) = std::env::var_os(UV_VARIABLE).filter(|file| !file.is_empty()) {
            let file = PathBuf::from(file);
            return match file.is_file() {
                true => Ok(Some(Self { file: std::path::absolute(&file).unwrap_or(file) })),
                false => Err(not_found(format!(
                    "{UV_VARIABLE} names `{}`, which is no file",
                    file.display()
                ))),
            };
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).map(|folder| folder.join("uv"));
        let fetched = fetched(tools);
        Ok(on_path
            .chain([fetched])
            .find(|file| file.is_absolute() && file.is_file())
            .map(|file| Self { file }))
    }

    pub(super) fn create(&self, job: &Job<'_>, folder: &Path) -> Result<(), EnvError> {
        job.step("making an environment with uv");
        let mut uv = self.command(job, &["venv", "--no-project"], &job.python.executable);
        job.run("make an environment with uv", uv.arg(folder)).map(|_| ())
    }

    pub(super) fn install(
        &self,
        job: &Job<'_>,
        python: &Path,
        requirements: &Path,
        hashes: bool,
    ) -> Result<(), EnvError> {
        let mut uv = self.index_command(job, &["pip", "install", "--compile-bytecode"], python);
        if hashes {
            // All that is needed is in the file.
            uv.args(["--require-hashes", "--no-deps"]);
        }
        job.run("install packages with uv", uv.arg("-r").arg(requirements)).map(|_| ())
    }

    pub(super) fn resolve(
        &self,
        job: &Job<'_>,
        packages: &[String],
        old: Option<&str>,
    ) -> Result<String, EnvError> {
        let scratch = Scratch::new(job.folder)?;
        let wanted = scratch.write("requirements.in", &(packages.join("\n") + "\n"))?;
        // uv keeps the versions of the file that it is to write.
        let found = scratch.write("locked.txt", old.unwrap_or_default())?;
        let (major, minor) = job.python.feature_version();
        let begin = ["pip", "compile", "--universal"];
        let mut uv = self.index_command(job, &begin, &job.python.executable);
        uv.args(["--generate-hashes", "--no-header", "--no-annotate", "--quiet"])
            .args(["--python-version", &format!("{major}.{minor}")]);
        uv.arg(&wanted).arg("--output-file").arg(&found);
        job.run("resolve the packages with uv", &mut uv)?;
        fs::read_to_string(&found).map_err(|error| EnvError::io("read", &found, &error))
    }

    /// Has uv download a Python.
    pub(crate) fn download_python(
        &self,
        wanted: &str,
        until: Instant,
        progress: &Progress,
    ) -> Result<(), EnvError> {
        progress.tell(&ProgressEvent::Step(&format!("downloading Python {wanted} with uv")));
        let mut uv = Command::new(&self.file);
        uv.args(["python", "install", "--no-progress", "--color", "never", wanted]);
        let what = &format!("download Python {wanted}");
        Run { what, lock: None, until, progress }.run(&mut uv).map(|_| ())
    }

    fn command(&self, job: &Job<'_>, begin: &[&str], python: &Path) -> Command {
        let mut uv = Command::new(&self.file);
        uv.args(begin).args(["--no-progress", "--color", "never", "--no-python-downloads"]);
        uv.arg("--python").arg(python);
        if job.offline {
            uv.arg("--offline");
        }
        uv
    }

    /// A command that looks at package indexes.
    ///
    /// Who has told pip where packages are means uv too: what is said for pip counts where nothing is
    /// said for uv, neither here nor in its own variables.
    pub(super) fn index_command(&self, job: &Job<'_>, begin: &[&str], python: &Path) -> Command {
        let mut uv = self.command(job, begin, python);
        uv.args(index_options(job.index));
        let is_said = |names: &[&str]| names.iter().any(|name| std::env::var_os(name).is_some());
        let has_index = job.index.url.is_some() || job.index.none;
        let (mut url, mut extra) = (job.index.url.clone(), job.index.extra.clone());
        for (name, value) in pip::config(&job.python.executable).unwrap_or_default() {
            let option = match name.as_str() {
                "index-url" if !has_index && !is_said(&["UV_INDEX_URL", "UV_DEFAULT_INDEX"]) => {
                    url = Some(value);
                    continue;
                }
                "extra-index-url"
                    if !has_index && !is_said(&["UV_EXTRA_INDEX_URL", "UV_INDEX"]) =>
                {
                    extra.extend(value.split_whitespace().map(str::to_owned));
                    continue;
                }
                "find-links" if !is_said(&["UV_FIND_LINKS"]) => "--find-links",
                "trusted-host" if !is_said(&["UV_INSECURE_HOST"]) => "--allow-insecure-host",
                "cert" if !is_said(&["SSL_CERT_FILE"]) => {
                    uv.env("SSL_CERT_FILE", &value);
                    continue;
                }
                "proxy" if !is_said(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY"]) => {
                    uv.env("ALL_PROXY", &value);
                    continue;
                }
                _ => continue,
            };
            for value in value.split_whitespace() {
                uv.args([option, value]);
            }
        }
        set_indexes(&mut uv, ["UV_DEFAULT_INDEX", "UV_INDEX"], url.as_deref(), &extra);
        uv
    }

    #[cfg(test)]
    pub(super) fn made_up() -> Self {
        Self { file: PathBuf::from("/nowhere/uv") }
    }
}

fn fetched(tools: &Path) -> PathBuf {
    tools.join("uv/bin/uv")
}

/// The uv that is installed as a package.
fn of_interpreter(python: &Path) -> Option<Uv> {
    let code = "import uv; print(uv.find_uv_bin())";
    let output =
        Command::new(python).args(["-I", "-c", code]).stdin(Stdio::null()).output().ok()?;
    let file = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    (output.status.success() && file.is_file()).then_some(Uv { file })
}

/// Fetches uv from the package index into an environment of its own. Whoever comes second at the same
/// time waits for the first, and finds it there.
fn fetch(job: &Job<'_>) -> Result<Uv, EnvError> {
    if job.offline {
        return Err(not_found("uv is not installed, and without network it cannot be fetched"));
    }
    let (folder, file) = (job.tools.join("uv"), fetched(job.tools));
    let lock = crate::environments::lock::acquire(&job.tools.join("uv.lock"), job.until, || ())?;
    if file.is_file() {
        return Ok(Uv { file });
    }
    job.step("fetching uv from the package index");
    let beside = job.tools.join("uv.new");
    let job = Job { lock: Some(&lock), ..*job };
    for left in [&folder, &beside] {
        crate::environments::remove(left)?;
    }
    pip::create(&job, &beside)?;
    let mut install = pip::pip(&job, &beside.join("bin/python"), "install");
    job.run("fetch uv", install.args(["--only-binary", ":all:", "uv"]))?;
    // It is run by itself, without the environment that it came in; and is there whole or not at all.
    fs::rename(&beside, &folder).map_err(|error| EnvError::io("move", &beside, &error))?;
    match file.is_file() {
        true => Ok(Uv { file }),
        false => Err(EnvError::new(EnvErrorKind::Other, "the package uv came without its program")),
    }
}
