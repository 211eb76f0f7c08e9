//! Starting workers: one interpreter after the other, until one will do.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use snakebridge_pool::{PoolId, WorkerKey};
use snakebridge_wire::Deframer;
use snakebridge_worker::OLDEST_PYTHON;
use snakebridge_worker::interpreter::{Version, Wanted};

use super::super::loss::{LastWords, Loss};
use super::super::output::{Approval, Source, TAIL_LIMIT, Tail};
use super::super::{PythonInfo, WorkerId, platform, spawn};
use super::Supervisor;
use super::origin::Origin;
use super::outbox::Outbox;
use super::process::{CONTROL_LIMITS, Hello, Process, Refusal, Stage, Start};
use crate::error::{Error, ErrorKind};

/// Why a candidate did not do.
pub(super) struct Failure {
    python: String,
    reason: String,
    kind: ErrorKind,
    /// The last that it wrote to its standard error.
    said: String,
}

/// A process that has ended before it was a worker. Why it did is the last that it wrote, which may
/// still be on its way: nobody waits for that, least of all the supervisor.
pub(super) struct EndedStart {
    key: WorkerKey,
    pool: PoolId,
    start: Box<Start>,
    loss: Loss,
    late: bool,
    pub(super) until: Instant,
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
        let shared = Arc::clone(&self.shared);
        let settings = shared.config.pool(pool);
        let known = self.pythons[usize::from(pool.0)].clone();
        for place in candidate.. {
            let found = settings.candidates.get(place).map(|found| found.path.as_path());
            let python = match (known.as_deref(), place, found) {
                (Some(known), 0, _) => known,
                (None, _, Some(found)) => found,
                _ => break,
            };
            let started = match settings.fork_server {
                true => self.fork(python, key, pool, place),
                false => spawn::spawn(python, settings, &shared.config)
                    .map(|(child, spawned)| (Origin::Child(child), spawned, place)),
            };
            match started {
                Ok((origin, spawned, place)) => {
                    return self.watch(key, pool, origin, spawned, place, failures);
                }
                Err(error) => failures.push(Failure {
                    python: self.name_of(pool, place),
                    reason: cannot_run(&error),
                    kind: ErrorKind::Spawn,
                    said: String::new(),
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
        origin: Origin,
        spawned: spawn::Spawned,
        candidate: usize,
        failures: Vec<Failure>,
    ) {
        let (tail, approval) = (Tail::default(), Approval::default());
        let worker = WorkerId(key.slot);
        self.pump.add(Source::stdout(spawned.stdout, worker, &approval));
        self.pump.add(Source::stderr(spawned.stderr, worker, &approval, tail.clone()));
        let start = Start {
            lanes: spawned.lanes,
            approval,
            deadline: Instant::now() + self.shared.config.pool(pool).start_limit,
            candidate,
            refused: None,
            failures,
        };
        let mut process = Process {
            key,
            pool,
            origin,
            control: spawned.control,
            is_open: true,
            end: None,
            deframer: Deframer::new(CONTROL_LIMITS),
            outbox: Outbox::default(),
            background: HashMap::new(),
            tail,
            stage: Stage::Starting(Box::new(start)),
        };
        process.end = process.pid().and_then(platform::process_end);
        self.processes[key.slot as usize] = Some(process);
    }

    /// Takes a worker into service. None if its Python will not do.
    pub(super) fn hello(&mut self, place: usize, hello: &Hello) -> Option<()> {
        let process = self.processes[place].as_mut()?;
        let (key, pool) = (process.key, process.pool);
        let unfit = unfit(hello, self.shared.config.pool(pool).wanted.as_ref());
        let Stage::Starting(start) = std::mem::replace(&mut process.stage, Stage::Running) else {
            return Some(()); // It was said before.
        };
        match unfit {
            None => {
                self.pump.approve(&start.approval);
                let found = self.found_python(pool, start.candidate, hello);
                let known = &mut self.pythons[usize::from(pool.0)];
                *known = known.take().or(found);
                let info = self.python_info(pool, start.candidate, hello);
                self.shared.placement.started(key, start.lanes, info);
                Some(())
            }
            Some(reason) => {
                if let Some(mut process) = self.processes[place].take() {
                    process.destroy(self.fork_server(pool).as_mut());
                }
                let kind = ErrorKind::Incompatible;
                self.start_failed(key, pool, *start, reason, kind, String::new());
                None
            }
        }
    }

    /// The process of a start has ended, or was too slow.
    pub(super) fn start_ended(
        &mut self,
        key: WorkerKey,
        pool: PoolId,
        start: Box<Start>,
        loss: Loss,
        late: bool,
    ) {
        let until = Instant::now() + TAIL_LIMIT;
        self.ended_starts.push(EndedStart { key, pool, start, loss, late, until });
    }

    /// Goes on after starts that have failed, once all is there that the process had to say.
    pub(super) fn check_ended_starts(&mut self) {
        let now = Instant::now();
        let is_complete =
            |ended: &mut EndedStart| ended.loss.tail.has_ended() || ended.until <= now;
        let complete: Vec<_> = self.ended_starts.extract_if(.., is_complete).collect();
        for ended in complete {
            let EndedStart { key, pool, start, loss, late, .. } = ended;
            let said = loss.tail.text();
            let (reason, kind) = match &start.refused {
                Some(Refusal::Unforkable(module, reason)) => {
                    // Another Python would do the same.
                    self.shared.placement.failed(key, unforkable(module, reason));
                    continue;
                }
                Some(Refusal::TooOld(version)) => (too_old(version), ErrorKind::Incompatible),
                None if late => {
                    let limit = self.shared.config.pool(pool).start_limit;
                    (format!("did not start within {limit:?}"), ErrorKind::Spawn)
                }
                None => (ended_early(&loss, &said), ErrorKind::Spawn),
            };
            self.start_failed(key, pool, *start, reason, kind, said);
        }
    }

    /// This worker is not wanted any more.
    pub(super) fn forget_ended_start(&mut self, worker: WorkerKey) -> Option<Loss> {
        let place = self.ended_starts.iter().position(|ended| ended.key == worker)?;
        Some(self.ended_starts.swap_remove(place).loss)
    }

    /// A start has not worked: goes on with the next candidate.
    pub(super) fn start_failed(
        &mut self,
        key: WorkerKey,
        pool: PoolId,
        start: Start,
        reason: String,
        kind: ErrorKind,
        said: String,
    ) {
        let mut failures = start.failures;
        failures.push(Failure { python: self.name_of(pool, start.candidate), reason, kind, said });
        self.try_candidate(key, pool, start.candidate + 1, failures);
    }

    /// The interpreter to use from now on: what a shim of pyenv led to, else what was run.
    pub(super) fn found_python(
        &self,
        pool: PoolId,
        candidate: usize,
        hello: &Hello,
    ) -> Option<PathBuf> {
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
            Some(wanted @ (Wanted::Version(_) | Wanted::Range(_))) => {
                format!("no worker could be started with Python {wanted}")
            }
            _ => "no worker could be started".to_owned(),
        };
        let (major, minor) = OLDEST_PYTHON;
        let error = Error::new(kind, format!("{what}: {}", tried.join("; "))).with_hint(format!(
            "install Python {major}.{minor} or newer, or say which one to use: \
             `Bridge::builder().python(..)` or the environment variable SNAKEBRIDGE_PYTHON"
        ));
        // A line of it is in the message already.
        match failures.iter().rfind(|failure| failure.said.contains('\n')) {
            Some(failure) => error.with_source(LastWords(failure.said.clone())),
            None => error,
        }
    }
}

/// Why a worker that could be started must not be used.
pub(super) fn unfit(hello: &Hello, wanted: Option<&Wanted>) -> Option<String> {
    let version: Version = hello.version.parse().ok()?;
    match wanted {
        Some(wanted) if !wanted.allows(&version) => Some(format!("is Python {version}")),
        _ => None,
    }
}

fn unforkable(module: &str, reason: &str) -> Error {
    let message = format!("`{module}`, which the fork server was to preload, {reason}");
    Error::new(ErrorKind::Config, message).with_hint(
        "do not preload it, or have it do that when it is first called; numeric libraries start no \
         threads with `Pool::threads(1)`; or leave `Pool::fork_server` out",
    )
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

fn ended_early(loss: &Loss, said: &str) -> String {
    // A traceback ends with what it is about; other programs begin with it.
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = match said.contains("Traceback (most recent call last)") {
        true => lines.next_back(),
        false => lines.next(),
    };
    match said {
        None => format!("{} before it was ready", loss.describe()),
        Some(said) => format!("{} before it was ready, saying `{said}`", loss.describe()),
    }
}
