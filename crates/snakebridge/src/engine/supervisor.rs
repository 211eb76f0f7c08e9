//! The thread that starts workers, watches them, stops calls and ends workers.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use snakebridge_wire::{Deframer, Encoder, Frame, Header, Kind, Limits, Tape};
use snakebridge_worker::OLDEST_PYTHON;
use snakebridge_worker::interpreter::{Version, Wanted};

use super::lane::Lane;
use super::output::{Pump, Source, Tail};
use super::placement::{Grant, Loss};
use super::{Command, GRACE, PythonInfo, START_LIMIT, Shared, WorkerKey, platform, spawn};
use crate::error::{Error, ErrorKind};

pub(crate) fn start(shared: Arc<Shared>, bell: OwnedFd) -> std::io::Result<JoinHandle<()>> {
    let pump = Pump::start(shared.config.output.clone())?;
    let supervisor = Supervisor {
        workers: (0..shared.config.workers).map(|_| None).collect(),
        shared,
        bell,
        pump,
        python: None,
        stopping: Vec::new(),
        flush_at: None,
    };
    std::thread::Builder::new()
        .name("snakebridge-supervisor".to_owned())
        .spawn(move || supervisor.run())
}

struct Supervisor {
    shared: Arc<Shared>,
    bell: OwnedFd,
    pump: Pump,
    /// By slot; none while a slot has no process.
    workers: Vec<Option<Worker>>,
    /// The interpreter that was found to work.
    python: Option<PathBuf>,
    stopping: Vec<Stopping>,
    flush_at: Option<Instant>,
}

struct Worker {
    key: WorkerKey,
    child: Child,
    control: OwnedFd,
    end: Option<OwnedFd>,
    deframer: Deframer,
    tail: Tail,
    stage: Stage,
}

enum Stage {
    Starting(Box<Start>),
    Running,
}

/// What is known of a start until it has worked.
struct Start {
    lane: Box<Lane>,
    deadline: Instant,
    /// Which of the candidates it runs on.
    candidate: usize,
    refused: Option<String>,
    /// Why those before it did not do.
    failures: Vec<Failure>,
}

struct Failure {
    python: String,
    reason: String,
    kind: ErrorKind,
}

/// A call that is being stopped after its time was over.
struct Stopping {
    worker: WorkerKey,
    session: u32,
    lane: Box<Lane>,
    kill_at: Instant,
}

/// Refs that are released while no call is made wait this long, so that many go at once.
const FLUSH_AFTER: Duration = Duration::from_millis(50);
/// Numbers in one frame of releases. Such a frame has less than 4096 bytes (`PIPE_BUF`), so that it
/// is written whole or not at all.
const RELEASES_AT_ONCE: usize = 200;
/// How long workers may take to end by themselves when the bridge is shut down.
const END_LIMIT: Duration = Duration::from_secs(2);

impl Supervisor {
    fn run(mut self) {
        for slot in 0..self.shared.config.workers {
            self.start_slot(WorkerKey {
                slot,
                generation: 0,
            });
        }
        loop {
            self.wait();
            for command in self.shared.take_commands() {
                match command {
                    Command::Stop {
                        worker,
                        session,
                        lane,
                    } => {
                        self.stop_call(worker, session, lane);
                    }
                    Command::Kill(worker) => self.kill(worker),
                    Command::Start(slot) => self.start_again(slot),
                    Command::Flush => self.flush_at = Some(Instant::now() + FLUSH_AFTER),
                    Command::Shutdown => return self.shutdown(),
                }
            }
            self.check_workers();
            self.check_stopping();
            self.flush();
        }
    }

    /// Waits until there is something to do.
    fn wait(&self) {
        let workers = self.workers.iter().flatten();
        let controls = workers.clone().map(|worker| worker.control.as_fd());
        let ends = workers
            .filter_map(|worker| worker.end.as_ref())
            .map(|end| end.as_fd());
        let lanes = self
            .stopping
            .iter()
            .map(|stopping| stopping.lane.reply_end().as_fd());
        let mut polled: Vec<PollFd<'_>> = [self.bell.as_fd()]
            .into_iter()
            .chain(controls)
            .chain(ends)
            .chain(lanes)
            .map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN))
            .collect();
        let left = self
            .next_timer()
            .map(|at| at.saturating_duration_since(Instant::now()));
        let limit = left.and_then(|left| Timespec::try_from(left).ok());
        // An error is an interruption by a signal: the checks that follow are cheap.
        let _ = poll(&mut polled, limit.as_ref());
        platform::silence(&self.bell);
    }

    fn next_timer(&self) -> Option<Instant> {
        let starts = self
            .workers
            .iter()
            .flatten()
            .filter_map(|worker| match &worker.stage {
                Stage::Starting(start) => Some(start.deadline),
                Stage::Running => None,
            });
        let stops = self.stopping.iter().map(|stopping| stopping.kill_at);
        starts.chain(stops).chain(self.flush_at).min()
    }

    // Starting.

    fn start_slot(&mut self, key: WorkerKey) {
        self.try_candidate(key, 0, Vec::new());
    }

    fn start_again(&mut self, slot: u32) {
        if self.workers[slot as usize].is_none()
            && let Some(key) = self.shared.placement.current(slot)
        {
            self.start_slot(key);
        }
    }

    /// Starts a worker on the first candidate from `candidate` on that can be run at all.
    fn try_candidate(&mut self, key: WorkerKey, candidate: usize, mut failures: Vec<Failure>) {
        let config = &self.shared.config;
        let known = self.python.as_deref();
        for place in candidate.. {
            let found = config
                .candidates
                .get(place)
                .map(|found| found.path.as_path());
            let python = match (known, place) {
                (Some(known), 0) => known,
                (Some(_), _) => break,
                (None, _) => match found {
                    Some(found) => found,
                    None => break,
                },
            };
            match spawn::spawn(python, config) {
                Ok(spawned) => return self.watch(key, spawned, place, failures),
                Err(error) => failures.push(Failure {
                    python: self.name_of(place),
                    reason: cannot_run(&error),
                    kind: ErrorKind::Spawn,
                }),
            }
        }
        let error = self.start_error(&failures);
        self.shared.placement.failed(key, &error);
    }

    fn watch(
        &mut self,
        key: WorkerKey,
        spawned: spawn::Spawned,
        candidate: usize,
        failures: Vec<Failure>,
    ) {
        let tail = Tail::default();
        let worker = key.id();
        self.pump.add(Source {
            fd: spawned.stdout,
            worker,
            stderr: None,
        });
        self.pump.add(Source {
            fd: spawned.stderr,
            worker,
            stderr: Some(tail.clone()),
        });
        let end = pid_of(&spawned.child).and_then(platform::process_end);
        let start = Start {
            lane: spawned.lane,
            deadline: Instant::now() + START_LIMIT,
            candidate,
            refused: None,
            failures,
        };
        self.workers[key.slot as usize] = Some(Worker {
            key,
            child: spawned.child,
            control: spawned.control,
            end,
            deframer: Deframer::new(Limits::DEFAULT),
            tail,
            stage: Stage::Starting(Box::new(start)),
        });
    }

    /// A start has not worked: goes on with the next candidate.
    fn start_failed(&mut self, key: WorkerKey, start: Start, reason: String, kind: ErrorKind) {
        let mut failures = start.failures;
        failures.push(Failure {
            python: self.name_of(start.candidate),
            reason,
            kind,
        });
        self.try_candidate(key, start.candidate + 1, failures);
    }

    fn name_of(&self, candidate: usize) -> String {
        match (&self.python, self.shared.config.candidates.get(candidate)) {
            (Some(python), _) => format!("`{}`", python.display()),
            (None, Some(found)) => format!("`{}` ({})", found.path.display(), found.origin),
            (None, None) => "no interpreter".to_owned(),
        }
    }

    fn start_error(&self, failures: &[Failure]) -> Error {
        let all_incompatible = failures.iter().all(|f| f.kind == ErrorKind::Incompatible);
        let kind = match all_incompatible && !failures.is_empty() {
            true => ErrorKind::Incompatible,
            false => ErrorKind::Spawn,
        };
        let tried: Vec<String> = failures
            .iter()
            .map(|f| format!("{} {}", f.python, f.reason))
            .collect();
        let what = match &self.shared.config.wanted {
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

    // Watching.

    fn check_workers(&mut self) {
        for slot in 0..self.workers.len() {
            self.check_worker(slot);
        }
    }

    fn check_worker(&mut self, slot: usize) {
        let Some(worker) = &mut self.workers[slot] else {
            return;
        };
        let open = worker.read_control();
        if let Some(hello) = worker.take_hello() {
            self.hello(slot, &hello);
            return;
        }
        let ended = !open || worker.has_ended();
        let late =
            matches!(&worker.stage, Stage::Starting(start) if start.deadline <= Instant::now());
        if ended || late {
            self.worker_ended(slot, late && !ended);
        }
    }

    fn hello(&mut self, slot: usize, hello: &Hello) {
        let Some(worker) = &mut self.workers[slot] else {
            return;
        };
        let unfit = unfit(hello, self.shared.config.wanted.as_ref());
        let Stage::Starting(start) = std::mem::replace(&mut worker.stage, Stage::Running) else {
            return;
        };
        let key = worker.key;
        match unfit {
            None => {
                if self.python.is_none() {
                    self.python = self.found_python(start.candidate, hello);
                }
                self.shared
                    .placement
                    .set_python(self.python_info(start.candidate, hello));
                self.shared.placement.started(key, start.lane);
            }
            Some(reason) => {
                if let Some(worker) = self.workers[slot].take() {
                    worker.destroy();
                }
                self.start_failed(key, *start, reason, ErrorKind::Incompatible);
            }
        }
    }

    fn python_info(&self, candidate: usize, hello: &Hello) -> PythonInfo {
        let found = self.shared.config.candidates.get(candidate);
        PythonInfo {
            version: hello.version.clone(),
            implementation: hello.implementation.clone(),
            executable: PathBuf::from(&hello.executable),
            origin: found.map(|found| found.origin.clone()).unwrap_or_default(),
        }
    }

    /// The interpreter to use from now on: what a shim of pyenv led to, else what was run.
    fn found_python(&self, candidate: usize, hello: &Hello) -> Option<PathBuf> {
        let path = &self.shared.config.candidates.get(candidate)?.path;
        let is_shim = path
            .parent()
            .is_some_and(|folder| folder.ends_with("shims"));
        let executable = PathBuf::from(&hello.executable);
        Some(if is_shim && executable.is_file() {
            executable
        } else {
            path.clone()
        })
    }

    /// A worker has ended, or will never be ready: cleans up and starts another one.
    fn worker_ended(&mut self, slot: usize, late: bool) {
        let Some(mut worker) = self.workers[slot].take() else {
            return;
        };
        let stage = std::mem::replace(&mut worker.stage, Stage::Running);
        let (key, tail) = (worker.key, worker.tail.clone());
        let status = worker.destroy();
        self.stopping.retain(|stopping| stopping.worker != key);
        match stage {
            Stage::Starting(start) => {
                let (reason, kind) = match &start.refused {
                    Some(version) => (too_old(version), ErrorKind::Incompatible),
                    None if late => (
                        format!("did not start within {START_LIMIT:?}"),
                        ErrorKind::Spawn,
                    ),
                    None => {
                        let loss = Loss {
                            status,
                            stderr: tail.text(),
                        };
                        (ended_early(&loss), ErrorKind::Spawn)
                    }
                };
                self.start_failed(key, *start, reason, kind);
            }
            Stage::Running => {
                let loss = Loss {
                    status,
                    stderr: tail.text(),
                };
                if let Some(successor) = self.shared.placement.lost(key, loss) {
                    self.start_slot(successor);
                }
            }
        }
    }

    // Stopping.

    /// Interrupts a call whose caller has gone, and waits for the lane to become free.
    fn stop_call(&mut self, worker: WorkerKey, session: u32, lane: Box<Lane>) {
        let Some(running) = self.worker(worker) else {
            return;
        };
        if let Some(pid) = pid_of(&running.child) {
            // It may have ended in this moment, which is noticed elsewhere.
            let _ = kill_process(pid, Signal::INT);
        }
        let kill_at = Instant::now() + GRACE;
        self.stopping.push(Stopping {
            worker,
            session,
            lane,
            kill_at,
        });
    }

    fn check_stopping(&mut self) {
        let now = Instant::now();
        let mut left = Vec::new();
        for mut stopping in std::mem::take(&mut self.stopping) {
            match stopping.lane.drain() {
                Ok(Some(reply)) => {
                    self.shared
                        .release_unseen(stopping.worker, stopping.session, &reply);
                    match stopping.lane.finish() {
                        true => self
                            .shared
                            .placement
                            .give_back(stopping.worker, stopping.lane),
                        false => self.kill(stopping.worker),
                    }
                }
                Ok(None) if stopping.kill_at > now => left.push(stopping),
                Ok(None) | Err(_) => self.kill(stopping.worker),
            }
        }
        self.stopping.extend(left);
    }

    /// Kills a worker with all that it has started; that it has ended is noticed like any end.
    fn kill(&mut self, worker: WorkerKey) {
        if self.worker(worker).is_some() {
            self.worker_ended(worker.slot as usize, false);
        }
    }

    fn worker(&mut self, key: WorkerKey) -> Option<&mut Worker> {
        self.workers[key.slot as usize]
            .as_mut()
            .filter(|worker| worker.key == key)
    }

    // Releasing.

    fn flush(&mut self) {
        if self.flush_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        loop {
            let (grant, more) = self.shared.placement.take_for_releases();
            let Some(grant) = grant else {
                // Busy workers release with their next request; look again until they have.
                self.flush_at = more.then(|| Instant::now() + FLUSH_AFTER);
                if !more {
                    self.shared.flushing.store(false, Ordering::Release);
                    // A ref may have been dropped between the look and the store.
                    if self.shared.placement.has_releases() {
                        self.shared.flushing.store(true, Ordering::Release);
                        self.flush_at = Some(Instant::now() + FLUSH_AFTER);
                    }
                }
                return;
            };
            if self.release(grant).is_none() {
                // The worker is busy with a destructor, perhaps for long.
                self.flush_at = Some(Instant::now() + FLUSH_AFTER);
                return;
            }
        }
    }

    /// Sends what is to be released, as far as the worker takes it at once; `None` if it does not
    /// take all.
    fn release(&mut self, mut grant: Grant) -> Option<()> {
        let mut sent = 0;
        for chunk in grant.releases.chunks(RELEASES_AT_ONCE) {
            match grant.lane.write_at_once(&release_frame(chunk)) {
                Ok(true) => sent += chunk.len(),
                Ok(false) => break,
                Err(_) => {
                    self.kill(grant.worker);
                    return Some(());
                }
            }
        }
        grant.releases.drain(..sent);
        let all = grant.releases.is_empty();
        self.shared.placement.give_back_unused(grant);
        all.then_some(())
    }

    // Ending.

    /// Ends all workers: lets them end by themselves, and kills those that do not.
    fn shutdown(mut self) {
        // The lanes of calls that still run are closed with their callers.
        self.stopping.clear();
        let (mut workers, starting): (Vec<Worker>, Vec<Worker>) = self
            .workers
            .iter_mut()
            .filter_map(Option::take)
            .partition(|worker| matches!(worker.stage, Stage::Running));
        for worker in starting {
            worker.destroy();
        }
        let deadline = Instant::now() + END_LIMIT;
        while Instant::now() < deadline {
            workers.retain_mut(|worker| !worker.has_ended());
            if workers.is_empty() {
                break;
            }
            wait_for_ends(&workers, deadline);
        }
        for worker in workers {
            worker.destroy();
        }
    }
}

impl Shared {
    /// Releases the refs of a reply that nobody will read.
    pub(crate) fn release_unseen(&self, worker: WorkerKey, session: u32, reply: &Frame<'_>) {
        let tape = match reply.header.kind {
            Kind::Ref => Tape::scan_ref(reply.body, Limits::DEFAULT),
            Kind::Value => Tape::scan(reply.body, Limits::DEFAULT),
            _ => return,
        };
        let Ok(tape) = tape else { return };
        for (id, ..) in tape.refs() {
            self.placement.release(worker, session, id);
        }
    }
}

impl Worker {
    /// Reads what has come. False if the worker closed its end.
    fn read_control(&mut self) -> bool {
        loop {
            let buffer = self.deframer.buffer();
            let flags = rustix::net::RecvFlags::DONTWAIT;
            let room = rustix::buffer::spare_capacity(buffer);
            match rustix::net::recv(&self.control, room, flags) {
                Ok((_, 0)) => return false,
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
    }

    fn take_hello(&mut self) -> Option<Hello> {
        let frame = self.deframer.frame().ok().flatten()?;
        let hello = match frame.header.kind {
            Kind::Hello => Hello::parse(frame.body),
            Kind::Refused => {
                let version = String::from_utf8_lossy(frame.body).into_owned();
                if let Stage::Starting(start) = &mut self.stage {
                    start.refused = Some(version);
                }
                None
            }
            _ => None,
        };
        self.deframer.advance();
        hello
    }

    fn has_ended(&mut self) -> bool {
        // An error means that someone else in this program has waited for the process.
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills the process and all that it has started, and takes its exit status.
    fn destroy(mut self) -> Option<std::process::ExitStatus> {
        // One that has ended by itself keeps its own exit status.
        let ended = self.child.try_wait().ok().flatten();
        if let Some(pid) = pid_of(&self.child) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        ended.or_else(|| self.child.wait().ok())
    }
}

/// What a worker says of itself when it is ready.
struct Hello {
    version: String,
    implementation: String,
    executable: String,
}

impl Hello {
    fn parse(body: &[u8]) -> Option<Self> {
        let tape = Tape::scan(body, Limits::DEFAULT).ok()?;
        let (version, implementation, executable, _pid, _prefix): (_, _, _, u32, String) =
            tape.decode().ok()?;
        Some(Self {
            version,
            implementation,
            executable,
        })
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
    let said = loss.stderr.lines().last().unwrap_or_default();
    match said {
        "" => format!("{} before it was ready", loss.describe()),
        said => format!("{} before it was ready, saying `{said}`", loss.describe()),
    }
}

/// A frame that releases refs: session and id in turn.
pub(crate) fn release_frame(pairs: &[u64]) -> Vec<u8> {
    let mut encoder = Encoder::new(vec![0; snakebridge_wire::frame::HEADER_LEN]);
    encoder.begin_tuple();
    for number in pairs {
        encoder.unsigned(*number);
    }
    encoder.end_tuple();
    let mut frame = encoder.finish();
    let len = frame.len() - snakebridge_wire::frame::HEADER_LEN;
    let header = Header {
        kind: Kind::Release,
        flags: 0,
        session: 0,
        len: len as u64,
    };
    frame[..snakebridge_wire::frame::HEADER_LEN].copy_from_slice(&header.to_bytes());
    frame
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Waits until one of the workers has ended, or closed its control channel.
fn wait_for_ends(workers: &[Worker], deadline: Instant) {
    let ends = workers
        .iter()
        .map(|worker| worker.end.as_ref().unwrap_or(&worker.control));
    let mut polled: Vec<PollFd<'_>> = ends.map(|end| PollFd::new(end, PollFlags::IN)).collect();
    // The end of a control channel comes a moment before that of the process.
    let step = Duration::from_millis(5);
    let has_all = workers.iter().all(|worker| worker.end.is_some());
    let left = deadline.saturating_duration_since(Instant::now());
    let limit = Timespec::try_from(if has_all { left } else { left.min(step) });
    let _ = poll(&mut polled, limit.ok().as_ref());
}
