//! One process at a time.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{EnvError, EnvErrorKind};

/// Waits until nobody else has the lock, and takes it. It is given back when the file is closed, by
/// this process and by all that have inherited it, however they end.
pub(crate) fn acquire(
    path: &Path,
    until: Instant,
    waiting: impl FnOnce(),
) -> Result<File, EnvError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| EnvError::io("make", folder, &error))?;
    }
    let file = File::options().create(true).append(true).read(true).open(path);
    let file = file.map_err(|error| EnvError::io("write", path, &error))?;
    let mut waiting = Some(waiting);
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(error) => return Err(EnvError::io("lock", path, &error.into())),
        }
        if let Some(waiting) = waiting.take() {
            waiting();
        }
        if Instant::now() >= until {
            let kind = EnvErrorKind::Timeout;
            let message = format!("another process has held `{}` for too long", path.display());
            return Err(EnvError::new(kind, message).with_hint(
                "see what it is doing: uv or pip may still run for a program that was killed",
            ));
        }
        // There is no waiting for a lock with a limit of time. What is waited for takes seconds.
        std::thread::sleep(LOOK_AGAIN);
    }
}

const LOOK_AGAIN: Duration = Duration::from_millis(50);
