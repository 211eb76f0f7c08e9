//! Forking workers from the fork server of their pool, and what follows from its end.

use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group};
use snakebridge_pool::{PoolId, WorkerKey};

use super::super::loss::Loss;
use super::super::output::{Event, OutputEvent, Source};
use super::super::spawn::{self, Spawned};
use super::super::{WorkerId, platform};
use super::fork_server::{ForkServer, Told};
use super::origin::Origin;
use super::process::{Hello, Process, Refusal, Stage};
use super::starts::unfit;
use super::{Supervisor, take_last_events};
use crate::error::ErrorKind;

impl Supervisor {
    /// Asks for a worker, of a new fork server if there is none. Also which candidate it will run on.
    pub(super) fn fork(
        &mut self,
        python: &Path,
        key: WorkerKey,
        pool: PoolId,
        candidate: usize,
    ) -> io::Result<(Origin, Spawned, usize)> {
        let shared = Arc::clone(&self.shared);
        let settings = shared.config.pool(pool);
        let usable = |server: &ForkServer| server.candidate >= candidate;
        if !self.fork_server(pool).as_ref().is_some_and(usable) {
            self.lose_fork_server(pool, false);
            let server = self.start_fork_server(python, key, pool, candidate)?;
            *self.fork_server(pool) = Some(server);
        }
        let (theirs, spawned) = spawn::before_fork(settings, &shared.config)?;
        let Some(server) = self.fork_server(pool) else {
            return Err(io::Error::other("there is no fork server"));
        };
        let origin = Origin::Forked { number: server.fork(theirs), pid: None };
        Ok((origin, spawned, server.candidate))
    }

    fn start_fork_server(
        &self,
        python: &Path,
        key: WorkerKey,
        pool: PoolId,
        candidate: usize,
    ) -> io::Result<ForkServer> {
        let settings = self.shared.config.pool(pool);
        let (child, spawned) = spawn::spawn_fork_server(python, settings, &self.shared.config)?;
        let Spawned { control, stdout, stderr, .. } = spawned;
        let worker = WorkerId(key.slot);
        let deadline = Instant::now() + settings.start_limit;
        let server = ForkServer::new(child, control, candidate, worker, deadline);
        self.pump.add(Source::stdout(stdout, worker, &server.approval));
        self.pump.add(Source::stderr(stderr, worker, &server.approval, server.tail.clone()));
        Ok(server)
    }

    pub(super) fn check_fork_servers(&mut self) {
        for place in 0..self.fork_servers.len() {
            self.check_fork_server(PoolId(place as u16));
        }
    }

    /// Takes up what the fork server of a pool says, and takes leave of it if it has ended.
    pub(super) fn check_fork_server(&mut self, pool: PoolId) {
        let Some(server) = self.fork_server(pool) else { return };
        // First: what it has said before its end is read then.
        let ended = server.has_ended();
        server.read();
        server.flush();
        let mut refusal = None;
        while let Some(told) = self.fork_server(pool).as_mut().and_then(ForkServer::told) {
            match told {
                Told::Ready(hello) => self.fork_server_ready(pool, &hello),
                Told::Refused(why) => refusal = Some(why),
                Told::Forked(number, Ok(pid)) => self.forked(pool, number, pid),
                Told::Forked(number, Err(reason)) => self.not_forked(pool, number, &reason),
                // Of a worker that nobody waits for any more.
                Told::Ended(..) => {}
            }
        }
        if let Some(refusal) = refusal {
            self.refuse_starts(pool, &refusal);
        }
        let deadline = self.fork_server(pool).as_ref().and_then(ForkServer::deadline);
        let late = deadline.is_some_and(|deadline| deadline <= Instant::now());
        if ended || late {
            self.lose_fork_server(pool, late && !ended);
        }
    }

    /// Looks at a start that is still to be forked.
    pub(super) fn check_fork(&mut self, place: usize) {
        let Some(process) = &self.processes[place] else { return };
        let late = process.start_deadline().is_some_and(|deadline| deadline <= Instant::now());
        if late {
            // It should have answered long ago.
            self.lose_fork_server(process.pool, true);
        }
    }

    /// The fork server of a pool is gone, or is to go: so are the workers that it has forked. How it
    /// has ended.
    pub(super) fn lose_fork_server(&mut self, pool: PoolId, late: bool) -> Option<ExitStatus> {
        let mut server = self.fork_server(pool).take()?;
        let status = server.destroy();
        let with_fork_server = server.is_ready();
        if with_fork_server {
            let how = Loss { status, tail: server.tail.clone(), with_fork_server: false };
            let event = OutputEvent::ForkServerLost { worker: server.worker, how: how.describe() };
            self.pump.tell(Event { session: 0, event });
        }
        for mut process in self.take_forked(pool) {
            take_last_events(&mut process, &self.pump);
            // It dies with the fork server, but not what it has started. Nobody has its exit status.
            process.destroy(None);
            // Why a start has failed is what the fork server has said.
            let tail = if with_fork_server { &process.tail } else { &server.tail };
            let loss = Loss { status, tail: tail.clone(), with_fork_server };
            self.take_leave(process, loss, late);
        }
        status
    }

    pub(super) fn fork_server_has_ended(&mut self, pool: PoolId) -> bool {
        self.fork_server(pool).as_ref().is_some_and(ForkServer::has_ended)
    }

    pub(super) fn fork_server(&mut self, pool: PoolId) -> &mut Option<ForkServer> {
        &mut self.fork_servers[usize::from(pool.0)]
    }

    fn fork_server_ready(&mut self, pool: PoolId, hello: &Hello) {
        let unfit = unfit(hello, self.shared.config.pool(pool).wanted.as_ref());
        let Some(server) = self.fork_server(pool) else { return };
        let (candidate, approval) = (server.candidate, server.approval.clone());
        if let Some(reason) = unfit {
            server.destroy();
            *self.fork_server(pool) = None;
            for process in self.take_forked(pool) {
                self.could_not_start(process, &reason, ErrorKind::Incompatible);
            }
            return;
        }
        server.begin();
        self.pump.approve(&approval);
        let found = self.found_python(pool, candidate, hello);
        let known = &mut self.pythons[usize::from(pool.0)];
        *known = known.take().or(found);
    }

    /// Notes why the workers that are still to be forked will not be: they end with the fork server.
    fn refuse_starts(&mut self, pool: PoolId, refusal: &Refusal) {
        let forked = self.processes.iter_mut().flatten().filter(|process| process.pool == pool);
        for process in forked {
            if let Stage::Starting(start) = &mut process.stage {
                start.refused = Some(refusal.clone());
            }
        }
    }

    fn forked(&mut self, pool: PoolId, number: u64, pid: Pid) {
        if let Some(place) = self.place_of_fork(pool, number)
            && let Some(process) = &mut self.processes[place]
        {
            process.origin = Origin::Forked { number, pid: Some(pid) };
            process.end = platform::process_end(pid);
            return;
        }
        // It was given up before it was there.
        let _ = kill_process_group(pid, Signal::KILL);
        if let Some(server) = self.fork_server(pool) {
            server.reap_later(pid);
        }
    }

    fn not_forked(&mut self, pool: PoolId, number: u64, reason: &str) {
        let Some(place) = self.place_of_fork(pool, number) else { return };
        let Some(process) = self.processes[place].take() else { return };
        let reason = format!("could not be forked ({reason})");
        self.could_not_start(process, &reason, ErrorKind::Spawn);
    }

    fn could_not_start(&mut self, process: Process, reason: &str, kind: ErrorKind) {
        if let Stage::Starting(start) = process.stage {
            let (key, pool) = (process.key, process.pool);
            self.start_failed(key, pool, *start, reason.to_owned(), kind, String::new());
        }
    }

    fn place_of_fork(&self, pool: PoolId, wanted: u64) -> Option<usize> {
        self.processes.iter().position(|process| match process {
            Some(Process { pool: its, origin: Origin::Forked { number, .. }, .. }) => {
                (*its, *number) == (pool, wanted)
            }
            _ => false,
        })
    }

    /// All that were asked of the fork server of a pool.
    fn take_forked(&mut self, pool: PoolId) -> Vec<Process> {
        let is_forked = |process: &mut Process| process.pool == pool && process.origin.is_forked();
        self.processes.iter_mut().filter_map(|place| place.take_if(is_forked)).collect()
    }
}
