//! The threads that start confined processes.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::linux::restrict;
pub(super) use super::linux::support;
use super::{Confine, Limits, places};

/// Starts the processes of a pool confined.
#[derive(Debug)]
pub(crate) struct Confined {
    settings: Confine,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Scripts that look for an interpreter, with what they have found.
    interpreters: Vec<(PathBuf, PathBuf)>,
    /// By the interpreter that each of them starts. They end when this is dropped.
    threads: Vec<(PathBuf, Sender<Job>)>,
}

/// A process to start, and where to say what came of it.
type Job = (Command, SyncSender<io::Result<Child>>);

impl Confined {
    pub(super) fn new(settings: Confine) -> Self {
        Self { settings, known: Mutex::default() }
    }

    /// The interpreter itself, where this is a script that looks for one. It may look anywhere, so that
    /// is not confined; no code of an environment runs.
    pub(crate) fn interpreter(&self, python: &Path) -> PathBuf {
        if python.parent().is_none_or(|folder| !folder.ends_with("shims")) {
            return python.to_owned();
        }
        let mut known = self.lock();
        if let Some((_, found)) = known.interpreters.iter().find(|(script, _)| script == python) {
            return found.clone();
        }
        let found = places::interpreter_of(python).unwrap_or_else(|| python.to_owned());
        known.interpreters.push((python.to_owned(), found.clone()));
        found
    }

    /// Starts a process of this interpreter, which may read `package` too.
    ///
    /// # Errors
    /// It cannot be started, or not be confined.
    pub(crate) fn spawn(
        &self,
        command: Command,
        python: &Path,
        package: &Path,
    ) -> io::Result<Child> {
        let gone = || io::Error::other("the thread that starts confined processes is gone");
        let (answer, answered) = sync_channel(1);
        let thread = self.thread(&command, python, package)?;
        thread.send((command, answer)).map_err(|_| gone())?;
        let mut child = answered.recv().map_err(|_| gone())??;
        if let Err(error) = limit(&child, &self.settings.limits) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(io::Error::other(format!("its limits cannot be set: {error}")));
        }
        Ok(child)
    }

    fn thread(&self, command: &Command, python: &Path, package: &Path) -> io::Result<Sender<Job>> {
        let mut known = self.lock();
        if let Some((_, thread)) = known.threads.iter().find(|(of, _)| of == python) {
            return Ok(thread.clone());
        }
        let mut needed = places::of_python(python, command.get_envs());
        needed.push(package.to_owned());
        let thread = start(self.settings.clone(), needed)?;
        known.threads.push((python.to_owned(), thread.clone()));
        Ok(thread)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a thread that confines itself and then starts processes.
fn start(settings: Confine, needed: Vec<PathBuf>) -> io::Result<Sender<Job>> {
    let (jobs, queue) = channel::<Job>();
    let (ready, is_ready) = sync_channel(1);
    std::thread::Builder::new().name("snakebridge-confined".to_owned()).spawn(move || {
        let restricted = restrict(&settings, &needed);
        let is_restricted = restricted.is_ok();
        // Whoever has started it waits for this.
        let _ = ready.send(restricted);
        if is_restricted {
            queue.into_iter().for_each(|(mut command, answer)| drop(answer.send(command.spawn())));
        }
    })?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(jobs),
        Ok(Err(why)) => Err(io::Error::other(format!("it cannot be confined: {why}"))),
        Err(_) => Err(io::Error::other("the thread that was to confine it has ended")),
    }
}

/// Sets the limits of a process that has read nothing from its host yet.
fn limit(child: &Child, limits: &Limits) -> io::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let seconds = limits.cpu_time.map(|limit| limit.as_secs().max(1));
    let all = [
        (Resource::Nofile, limits.open_files),
        (Resource::Nproc, limits.processes),
        (Resource::Fsize, limits.file_size),
        (Resource::Cpu, seconds),
    ];
    for (resource, value) in all {
        if value.is_some() {
            prlimit(pid, resource, Rlimit { current: value, maximum: value })?;
        }
    }
    Ok(())
}
