//! How environments are made.

use std::path::PathBuf;
use std::time::Duration;

use crate::installer::Installer;
use crate::progress::Progress;

/// How environments are made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// With what.
    pub installer: Installer,
    /// Without network.
    pub offline: bool,
    /// How long it may take, waiting for others included.
    pub timeout: Duration,
    /// Who is told what happens.
    pub progress: Progress,
    /// Where environments are kept. None: in the cache folder of the user.
    pub cache_dir: Option<PathBuf>,
    /// The lock file, if there is to be one.
    pub lock_file: Option<PathBuf>,
    /// The lock file must be there and fit, and is not changed.
    pub locked: bool,
    /// Whether uv may download a Python where none is the one that is wanted.
    pub python_download: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            installer: Installer::Auto,
            offline: false,
            timeout: Duration::from_secs(600),
            progress: Progress::default(),
            cache_dir: None,
            lock_file: None,
            locked: false,
            python_download: true,
        }
    }
}

impl Options {
    /// uv where it can be had, with network, within ten minutes, and nobody is told.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With what environments are made. Default: [`Installer::Auto`].
    #[must_use]
    pub fn installer(mut self, installer: Installer) -> Self {
        self.installer = installer;
        self
    }

    /// Makes environments without network: uv from what it has kept and from local folders, pip from
    /// local folders alone.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// How long the making may take, waiting for others included. Default: ten minutes.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Who is told what happens. Default: nobody.
    #[must_use]
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Where environments are kept. Default: the cache folder of the user, or that which
    /// `SNAKEBRIDGE_CACHE_DIR` names.
    #[must_use]
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(folder.into());
        self
    }

    /// The file with exact versions and hashes. Where it is not there, or what it is about has changed, it
    /// is made anew. Default: there is none, and what is made has the newest versions of that time.
    #[must_use]
    pub fn lock_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.lock_file = Some(file.into());
        self
    }

    /// Takes a lock file that is not there, or that does not fit what is declared, for an error.
    #[must_use]
    pub fn locked(mut self, locked: bool) -> Self {
        self.locked = locked;
        self
    }

    /// Whether uv may download a Python where none is the one that is wanted. Default: yes.
    #[must_use]
    pub fn python_download(mut self, allowed: bool) -> Self {
        self.python_download = allowed;
        self
    }
}
