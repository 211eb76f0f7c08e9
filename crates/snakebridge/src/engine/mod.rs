//! What runs below the API: processes, lanes, and who gets which.
//!
//! ```text
//!  caller's thread            supervisor (one thread)        output (one thread)
//!  Call::wait                 starts and ends workers        forwards what workers print
//!   -> placement: lease       watches control channels
//!   -> lane: write, read      drains lanes of callers
//!   -> placement: give back     that have gone away
//! ```
//!
//! The way of a call goes through the caller's thread alone.

pub(crate) mod lane;
pub(crate) mod output;
pub(crate) mod placement;
mod platform;
pub(crate) mod sessions;
mod spawn;
pub(crate) mod supervisor;

use std::ffi::OsString;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use snakebridge_worker::interpreter::{Candidate, Wanted};

use crate::error::{Error, ErrorKind, Result};
use lane::Lane;
use output::Output;
use placement::{Grant, Placement, Want};
use sessions::Sessions;

/// Names a worker of a bridge: a process of its own, or the one that has taken its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub(crate) u32);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}", self.0)
    }
}

/// One life of a worker: refs are bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WorkerKey {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl WorkerKey {
    pub(crate) fn id(self) -> WorkerId {
        WorkerId(self.slot)
    }
}

/// The Python that the workers of a bridge run on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PythonInfo {
    /// Its version: `3.12.1`.
    pub version: String,
    /// Its implementation: `cpython`.
    pub implementation: String,
    /// The file that runs, as Python itself names it.
    pub executable: PathBuf,
    /// How it was found, for people: "`python3` on PATH".
    pub origin: String,
}

/// Settings of a bridge, checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) wanted: Option<Wanted>,
    pub(crate) candidates: Vec<Candidate>,
    /// The folder that holds the worker's package.
    pub(crate) package: PathBuf,
    pub(crate) workers: u32,
    pub(crate) module_path: Vec<String>,
    pub(crate) env: Vec<(OsString, Option<OsString>)>,
    pub(crate) current_dir: Option<PathBuf>,
    pub(crate) output: Output,
}

/// How long a worker may take to start, site packages and all.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(30);
/// How long an interrupted call may go on before its worker is killed.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// Something for the supervisor to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// The caller of this lane has its answer already, a timeout: stop the call.
    Stop {
        worker: WorkerKey,
        session: u32,
        lane: Box<Lane>,
    },
    /// This worker cannot be used any more.
    Kill(WorkerKey),
    /// Try again to start a worker that could not be started.
    Start(u32),
    /// There are refs to release.
    Flush,
    /// End everything.
    Shutdown,
}

/// What the callers and the supervisor share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) placement: Placement,
    commands: Mutex<Vec<Command>>,
    /// Refs wait for release, and the supervisor knows of it.
    flushing: AtomicBool,
    wake: OwnedFd,
}

impl Shared {
    pub(crate) fn send(&self, command: Command) {
        self.commands
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(command);
        platform::ring(&self.wake);
    }

    fn take_commands(&self) -> Vec<Command> {
        std::mem::take(&mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A running bridge. Ends with its last handle.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) sessions: Sessions,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    pub(crate) fn start(config: Config) -> Result<Arc<Self>> {
        let (wake_reader, wake) =
            platform::bell().map_err(|error| system_error("cannot make a pipe", error))?;
        let shared = Arc::new(Shared {
            placement: Placement::new(config.workers),
            config,
            commands: Mutex::default(),
            flushing: AtomicBool::new(false),
            wake,
        });
        let supervisor = supervisor::start(Arc::clone(&shared), wake_reader)
            .map_err(|error| system_error("cannot start a thread", error))?;
        let sessions = Sessions::default();
        Ok(Arc::new(Self {
            shared,
            sessions,
            supervisor: Mutex::new(Some(supervisor)),
        }))
    }

    /// Gets a lane for a call; waits for one if it must.
    pub(crate) fn lease(&self, want: &Want<'_>, deadline: Option<Instant>) -> Result<Grant> {
        let (outcome, restart) = self.shared.placement.lease(want, deadline);
        for slot in restart {
            self.shared.send(Command::Start(slot));
        }
        // A worker that is being started again answers the second time.
        match outcome {
            Some(outcome) => outcome,
            None => self.shared.placement.wait(want, deadline),
        }
    }

    /// Notes that a ref is not needed any more. Never blocks for long and never fails.
    pub(crate) fn release(&self, worker: WorkerKey, session: u32, id: u64) {
        if self.shared.placement.release(worker, session, id) {
            self.flush_later();
        }
    }

    /// Notes that a session has ended, on all workers.
    pub(crate) fn release_session(&self, session: u32) {
        self.shared.placement.release_everywhere(session);
        self.flush_later();
    }

    fn flush_later(&self) {
        // Only the first of many drops rings: the supervisor goes on looking until all are sent.
        if !self.shared.flushing.swap(true, Ordering::AcqRel) {
            self.shared.send(Command::Flush);
        }
    }

    /// Ends all workers and waits until they have ended.
    pub(crate) fn shutdown(&self) {
        self.shared.placement.close();
        self.shared.send(Command::Shutdown);
        let supervisor = self
            .supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(supervisor) = supervisor
            && supervisor.thread().id() != std::thread::current().id()
        {
            // A panic there was printed by the thread itself, and there is nothing to undo.
            let _ = supervisor.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shutdown();
    }
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the bridge was shut down")
        .with_hint("keep a `Bridge` alive as long as its refs and sessions are used")
}

pub(crate) fn system_error(what: &str, error: impl Into<std::io::Error>) -> Error {
    let error = error.into();
    Error::new(ErrorKind::Spawn, format!("{what}: {error}")).with_source(error)
}
