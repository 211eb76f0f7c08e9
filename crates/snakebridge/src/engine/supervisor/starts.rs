//! Starting workers: one interpreter after the other, until one will do.

use std::path::PathBuf;
use std::time::Instant;

use snakebridge_pool::{PoolId, WorkerKey};
use snakebridge_wire::{Deframer, Limits};
use snakebridge_worker::OLDEST_PYTHON;
use snakebridge_worker::interpreter::{Version, Wanted};

use super::super::output::{Source, Tail};
use super::super::placement::Loss;
use super::super::{PythonInfo, WorkerId, platform, spawn};
use super::Supervisor;
use super::process::{Hello, Process, Stage, Start};
use crate::error::{Error, ErrorKind};

/// Why a candidate did not do.
pub(super) struct Failure {
    python: String,
    reason: String,
    kind: ErrorKind,
}

impl Supervisor {
    pub(super) fn start_worker(&mut self, key: WorkerKey, pool: PoolId) {
        self.try_candidate(key, pool, 0, Vec::new());
    }

    /// Starts a worker on the first candidate from `candidate` on that can be run at all.
    fn try_candidate(
        &mut self,
        key: WorkerKey,
        pool: PoolId,
        candidate: usize,
        mut failures: Vec<Failure>,
    ) {
        let config = &self.shared.config;
        let settings = config.pool(pool);
        let known = self.pythons[usize::from(pool.0)].as_deref();
        for place in candidate.. {
            let found = settings.candidates.get(place).map(|found| found.path.as_path());
            let python = match (known, place, found) {
                (Some(known), 0, _) => known,
                (None, _, Some(found)) => found,
                _ => break,
            };
            match spawn::spawn(python, settings, &config.package) {
                Ok(spawned) => return self.watch(key, pool, spawned, place, failures),
                Err(error) => failures.push(Failure {
                    python: self.name_of(pool, place),
                    reason: cannot_run(&error),
                    kind: ErrorKind::Spawn,
                }),
            }
        }
        let error = self.start_error(pool, &failures);
        self.shared.placement.failed(key, error);
    }

    fn watch(
        &mut self,
        key: WorkerKey,
        pool: PoolId,
        spawned: spawn::Spawned,
        candidate: usize,
        failures: Vec<Failure>,
    ) {
        let tail = Tail::default();
        let worker = WorkerId(key.slot);
        self.pump.add(Source { fd: spawned.stdout, worker, stderr: None });
        self.pump.add(Source { fd: spawned.stderr, worker, stderr: Some(tail.clone()) });
        let start = Start {
            lane: spawned.lane,
            deadline: Instant::now() + self.shared.config.pool(pool).start_limit,
            candidate,
            refused: None,
            failures,
        };
        let mut process = Process {
            key,
            pool,
            child: spawned.child,
            control: spawned.control,
            end: None,
            deframer: Deframer::new(Limits::DEFAULT),
            tail,
            stage: Stage::Starting(Box::new(start)),
        };
        process.end = process.pid().and_then(platform::process_end);
        self.processes[key.slot as usize] = Some(process);
    }

    pub(super) fn hello(&mut self, place: usize, hello: &Hello) {
        let Some(process) = &mut self.processes[place] else { return };
        let (key, pool) = (process.key, process.pool);
        let unfit = unfit(hello, self.shared.config.pool(pool).wanted.as_ref());
        let Stage::Starting(start) = std::mem::replace(&mut process.stage, Stage::Running) else {
            return;
        };
        match unfit {
            None => {
                let found = self.found_python(pool, start.candidate, hello);
                let known = &mut self.pythons[usize::from(pool.0)];
                *known = known.take().or(found);
                let info = self.python_info(pool, start.candidate, hello);
                self.shared.placement.started(key, start.lane, info);
            }
            Some(reason) => {
                if let Some(process) = self.processes[place].take() {
                    process.destroy();
                }
                self.start_failed(key, pool, *start, reason, ErrorKind::Incompatible);
            }
        }
    }

    /// The process of a start has ended, or was too slow.
    pub(super) fn start_ended(
        &mut self,
        key: WorkerKey,
        pool: PoolId,
        start: Start,
        loss: &Loss,
        late: bool,
    ) {
        let (reason, kind) = match &start.refused {
            Some(version) => (too_old(version), ErrorKind::Incompatible),
            None if late => {
                let limit = self.shared.config.pool(pool).start_limit;
                (format!("did not start within {limit:?}"), ErrorKind::Spawn)
            }
            None => (ended_early(loss), ErrorKind::Spawn),
        };
        self.start_failed(key, pool, start, reason, kind);
    }

    /// A start has not worked: goes on with the next candidate.
    fn start_failed(
        &mut self,
        key: WorkerKey,
        pool: PoolId,
        start: Start,
        reason: String,
        kind: ErrorKind,
    ) {
        let mut failures = start.failures;
        failures.push(Failure { python: self.name_of(pool, start.candidate), reason, kind });
        self.try_candidate(key, pool, start.candidate + 1, failures);
    }

    /// The interpreter to use from now on: what a shim of pyenv led to, else what was run.
    fn found_python(&self, pool: PoolId, candidate: usize, hello: &Hello) -> Option<PathBuf> {
        let path = &self.shared.config.pool(pool).candidates.get(candidate)?.path;
        let is_shim = path.parent().is_some_and(|folder| folder.ends_with("shims"));
        let executable = PathBuf::from(&hello.executable);
        Some(if is_shim && executable.is_file() { executable } else { path.clone() })
    }

    fn python_info(&self, pool: PoolId, candidate: usize, hello: &Hello) -> PythonInfo {
        let found = self.shared.config.pool(pool).candidates.get(candidate);
        PythonInfo {
            version: hello.version.clone(),
            implementation: hello.implementation.clone(),
            executable: PathBuf::from(&hello.executable),
            origin: found.map(|found| found.origin.clone()).unwrap_or_default(),
        }
    }

    fn name_of(&self, pool: PoolId, candidate: usize) -> String {
        let known = &self.pythons[usize::from(pool.0)];
        match (known, self.shared.config.pool(pool).candidates.get(candidate)) {
            (Some(python), _) => format!("`{}`", python.display()),
            (None, Some(found)) => format!("`{}` ({})", found.path.display(), found.origin),
            (None, None) => "no interpreter".to_owned(),
        }
    }

    fn start_error(&self, pool: PoolId, failures: &[Failure]) -> Error {
        let all_incompatible = failures.iter().all(|f| f.kind == ErrorKind::Incompatible);
        let kind = match all_incompatible && !failures.is_empty() {
            true => ErrorKind::Incompatible,
            false => ErrorKind::Spawn,
        };
        let tried: Vec<String> =
            failures.iter().map(|f| format!("{} {}", f.python, f.reason)).collect();
        let what = match &self.shared.config.pool(pool).wanted {
            Some(wanted @ Wanted::Version(_)) => {
                format!("no worker could be started with Python {wanted}")
            }
            _ => "no worker could be started".to_owned(),
        };
        let (major, minor) = OLDEST_PYTHON;
        Error::new(kind, format!("{what}: {}", tried.join("; "))).with_hint(format!(
            "install Python {major}.{minor} or newer, or say which one to use: \
             `Bridge::builder().python(..)` or the environment variable SNAKEBRIDGE_PYTHON"
        ))
    }
}

/// Why a worker that could be started must not be used.
fn unfit(hello: &Hello, wanted: Option<&Wanted>) -> Option<String> {
    let version: Version = hello.version.parse().ok()?;
    match wanted {
        Some(Wanted::Version(wanted)) if !wanted.covers(&version) => {
            Some(format!("is Python {version}"))
        }
        _ => None,
    }
}

fn too_old(version: &str) -> String {
    let (major, minor) = OLDEST_PYTHON;
    format!("is Python {version}, and {major}.{minor} is the oldest that can be used")
}

fn cannot_run(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        std::io::ErrorKind::PermissionDenied => "may not be run".to_owned(),
        _ => format!("cannot be run ({error})"),
    }
}

fn ended_early(loss: &Loss) -> String {
    // A traceback ends with what it is about; other programs begin with it.
    let mut lines = loss.stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = match loss.stderr.contains("Traceback (most recent call last)") {
        true => lines.next_back(),
        false => lines.next(),
    };
    let said = said.unwrap_or_default();
    match said {
        "" => format!("{} before it was ready", loss.describe()),
        said => format!("{} before it was ready, saying `{said}`", loss.describe()),
    }
}
