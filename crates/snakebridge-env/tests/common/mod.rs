//! What the tests of environments share.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use snakebridge_env::{EnvError, Environment, Environments, Options, Progress, Requirements};
use tempfile::TempDir;

/// A cache folder of one test. uv is fetched once for all of them.
pub(crate) struct Cache {
    folder: TempDir,
    events: Arc<Mutex<Vec<String>>>,
}

impl Cache {
    pub(crate) fn new() -> Self {
        let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("environments/tools");
        fs::create_dir_all(&tools).unwrap();
        let folder = tempfile::tempdir().unwrap();
        symlink(&tools, folder.path().join("tools")).unwrap();
        Self { folder, events: Arc::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn options(&self) -> Options {
        let events = Arc::clone(&self.events);
        let take = move |event: &snakebridge_env::ProgressEvent<'_>| {
            events.lock().unwrap().push(event.to_string());
        };
        Options::new().cache_dir(self.path()).progress(Progress::new(take))
    }

    pub(crate) fn environments(&self) -> Environments {
        Environments::new(self.options()).unwrap()
    }

    pub(crate) fn get(&self, packages: &[&str]) -> Result<Environment, EnvError> {
        self.environments().get(&wanted(packages))
    }

    /// What has happened since this was asked.
    pub(crate) fn events(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }

    /// How often an environment was made since this was asked.
    pub(crate) fn count_made(&self) -> usize {
        self.events()
            .iter()
            .filter(|event| {
                event.starts_with("making ")
                    && !event.contains(" with uv")
                    && !event.contains(" with venv")
            })
            .count()
    }
}

pub(crate) fn wanted(packages: &[&str]) -> Requirements {
    Requirements::new(packages.iter().copied())
}

/// Whether a module can be imported.
pub(crate) fn has(environment: &Environment, module: &str) -> bool {
    let mut python = Command::new(&environment.python);
    python.args(["-I", "-c", &format!("import {module}")]).stderr(Stdio::null());
    python.status().unwrap().success()
}

/// An address at which nobody listens.
pub(crate) fn closed_index() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/simple", listener.local_addr().unwrap())
}

pub(crate) fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let file = folder.join(name);
    fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}
