//! The thread that starts workers, watches them, stops calls and ends workers.

mod background;
mod fork_server;
mod forks;
mod memory;
mod monitor;
mod origin;
mod outbox;
mod process;
mod releases;
mod segments;
mod starts;
mod stops;

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use snakebridge_pool::WorkerKey;
use snakebridge_wire::{Header, Kind};

use super::loss::Loss;
use super::monitor::Monitor;
use super::output::Pump;
use super::{Command, Shared, WorkerId, platform};
use fork_server::ForkServer;
use process::{Message, Process, Stage};
pub(crate) use releases::release_frame;
use starts::EndedStart;
use stops::Stopping;

/// Starts the threads of a bridge: the supervisor, and the one that passes output on.
pub(crate) fn start(
    shared: Arc<Shared>,
    bell: OwnedFd,
    monitor: Option<Monitor>,
) -> std::io::Result<(JoinHandle<()>, ThreadId)> {
    let pump = Pump::start(Arc::clone(&shared))?;
    let output = pump.thread().ok_or_else(|| std::io::Error::other("no thread for output"))?;
    let places = shared.config.pools.iter().map(|pool| pool.schedule.max).sum();
    let supervisor = Supervisor {
        processes: (0..places).map(|_: u32| None).collect(),
        pythons: shared.config.pools.iter().map(|_| None).collect(),
        fork_servers: shared.config.pools.iter().map(|_| None).collect(),
        shared,
        bell,
        pump,
        stopping: Vec::new(),
        ended_starts: Vec::new(),
        flush_at: None,
        measure_at: None,
        monitor,
        age_at: None,
    };
    let thread = std::thread::Builder::new()
        .name("snakebridge-supervisor".to_owned())
        .spawn(move || supervisor.run())?;
    Ok((thread, output))
}

struct Supervisor {
    shared: Arc<Shared>,
    bell: OwnedFd,
    pump: Pump,
    /// By the place of the worker; none while there is no process.
    processes: Vec<Option<Process>>,
    /// By pool: the interpreter that was found to work.
    pythons: Vec<Option<PathBuf>>,
    /// By pool: the process that its workers are forked from, where it wants that.
    fork_servers: Vec<Option<ForkServer>>,
    stopping: Vec<Stopping>,
    ended_starts: Vec<EndedStart>,
    flush_at: Option<Instant>,
    /// When memory is looked at next, where a pool asks for that.
    measure_at: Option<Instant>,
    /// By which other programs ask what the bridge is doing, where that is switched on.
    monitor: Option<Monitor>,
    /// When memory is looked for that stays unused; none while there is none.
    age_at: Option<Instant>,
}

/// How long workers may take to end by themselves when the bridge is shut down.
const END_LIMIT: Duration = Duration::from_secs(2);

/// How often the control channel of a worker is read at its end. A socket holds less than that.
const MOST_LAST_READS: usize = 256;

impl Supervisor {
    fn run(mut self) {
        self.measure_later();
        loop {
            for command in self.shared.placement.take_commands() {
                match command {
                    Command::Start(worker, pool) => self.start_worker(worker, pool),
                    Command::Stop { worker, session, lane } => {
                        self.stop_call(worker, session, lane);
                        // What is in the box of the lane already will not ring.
                        self.check_stopping();
                    }
                    Command::Kill(worker) => self.kill(worker),
                    Command::Flush => self.flush_later(),
                    Command::LookAt(session) => self.shared.look_at_session(session),
                    Command::Look => {}
                    Command::DumpStacks { worker, into } => self.dump_stacks(worker, into),
                    Command::Tell { worker, number, frame, refs } => {
                        self.tell(worker, number, frame, refs);
                    }
                    Command::Introduce(worker, introductions, forgotten) => {
                        self.introduce(worker, introductions, &forgotten);
                    }
                    Command::FreeSegment(worker, id) => self.free_segment(worker, id),
                    // Whoever asked may have gone.
                    Command::Answer(answer) => drop(answer.try_send(())),
                    Command::Shutdown => return self.shutdown(),
                }
            }
            self.wait();
            // They end before their workers do.
            self.check_fork_servers();
            self.check_processes();
            self.check_ended_starts();
            self.check_stopping();
            self.flush();
            self.measure();
            self.answer_monitors();
            self.age_memory();
            self.shared.placement.handle_timeout();
        }
    }

    /// Waits until there is something to do.
    fn wait(&self) {
        // What one says that is still to be forked is heard when its process is known.
        let processes = self.processes.iter().flatten().filter(|process| !process.awaits_fork());
        let servers = self.fork_servers.iter().flatten();
        let controls = processes.clone().map(Process::poll_control);
        let controls = controls.chain(servers.clone().map(ForkServer::poll_control));
        let ends = processes.filter_map(|process| process.end.as_ref()).map(|end| end.as_fd());
        let ends = ends.chain(servers.filter_map(ForkServer::end));
        let lanes = self.stopping.iter().map(|stopping| stopping.lane.reply_end().as_fd());
        let unsent = self.stopping.iter().filter_map(|stopping| stopping.lane.poll_unsent());
        let mut polled: Vec<PollFd<'_>> = [self.bell.as_fd()]
            .into_iter()
            .chain(ends)
            .chain(lanes)
            .chain(self.monitor.as_ref().map(|monitor| monitor.as_fd()))
            .map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN))
            .chain(controls)
            .chain(unsent)
            .collect();
        let left = self.next_timer().map(|at| at.saturating_duration_since(Instant::now()));
        let limit = left.and_then(|left| Timespec::try_from(left).ok());
        // An error is an interruption by a signal: the checks that follow are cheap.
        let _ = poll(&mut polled, limit.as_ref());
        platform::silence(&self.bell);
    }

    fn next_timer(&self) -> Option<Instant> {
        let starts = self.processes.iter().flatten().filter_map(Process::start_deadline);
        let servers = self.fork_servers.iter().flatten().filter_map(ForkServer::due);
        let starts = starts.chain(servers);
        let own = self.flush_at.into_iter().chain(self.measure_at).chain(self.age_at);
        let own = own.chain(self.stopping.iter().filter_map(|stopping| stopping.interrupt_at));
        let ended = self.ended_starts.iter().map(|ended| ended.until);
        starts.chain(ended).chain(own).chain(self.shared.placement.poll_timeout()).min()
    }

    fn check_processes(&mut self) {
        for place in 0..self.processes.len() {
            self.check_process(place);
        }
    }

    fn check_process(&mut self, place: usize) {
        let Some(process) = &mut self.processes[place] else { return };
        if process.awaits_fork() {
            return self.check_fork(place);
        }
        process.read_control();
        process.flush();
        let Some(process) = self.take_messages(place) else { return };
        let ended = !process.is_open || process.has_ended();
        let late = process.start_deadline().is_some_and(|deadline| deadline <= Instant::now());
        if ended || late {
            self.process_ended(place, late && !ended);
        }
    }

    /// Does what the worker asks for. None if it is given up.
    fn take_messages(&mut self, place: usize) -> Option<&mut Process> {
        loop {
            match self.processes[place].as_mut()?.take_message() {
                Ok(None) => return self.processes[place].as_mut(),
                Ok(Some(Message::Hello(hello))) => self.hello(place, &hello)?,
                Ok(Some(Message::Event(event))) => self.pump.tell(event),
                Ok(Some(Message::Callback(asked))) => self.call_back(place, asked),
                Ok(Some(Message::Taken(number))) => self.taken(place, number),
                Ok(Some(Message::WantSegment(size))) => self.want_segment(place, size),
                Ok(Some(Message::SegmentReturned(id))) => self.segment_returned(place, id),
                Err(_) => {
                    self.process_ended(place, false);
                    return None;
                }
            }
        }
    }

    /// A process has ended, or will never be ready: takes leave of it.
    fn process_ended(&mut self, place: usize, late: bool) {
        let Some(process) = &self.processes[place] else { return };
        if process.origin.is_forked() && !process.awaits_fork() {
            // It may have ended with its fork server, and be gone for that after this.
            self.check_fork_server(process.pool);
        }
        let Some(mut process) = self.processes[place].take() else { return };
        take_last_events(&mut process, &self.pump);
        let pool = process.pool;
        let status = process.destroy(self.fork_server(pool).as_mut());
        let mut loss = Loss { status, tail: process.tail.clone(), with_fork_server: false };
        if process.origin.is_forked() && status.is_none() && self.fork_server_has_ended(pool) {
            loss.status = self.lose_fork_server(pool, late);
            loss.with_fork_server = true;
        }
        self.take_leave(process, loss, late);
    }

    /// Says everywhere that a process is no more.
    fn take_leave(&mut self, process: Process, loss: Loss, late: bool) {
        let Process { key, pool, stage, .. } = process;
        self.stopping.retain(|stopping| stopping.worker != key);
        self.shared.callbacks.worker_ended(key);
        self.shared.memory.worker_ended(key);
        match stage {
            Stage::Starting(start) => self.start_ended(key, pool, start, loss, late),
            Stage::Running => self.shared.placement.ended(key, loss),
        }
    }

    /// Kills a worker with all that it has started; that it has ended is noticed like any end.
    fn kill(&mut self, worker: WorkerKey) {
        let found = self.process(worker);
        if let Some(process) = found {
            // One that is killed while it starts is not wanted any more.
            process.stage = Stage::Running;
            self.process_ended(worker.slot as usize, false);
        } else if let Some(loss) = self.forget_ended_start(worker) {
            self.shared.placement.ended(worker, loss);
        }
    }

    /// Asks a worker for its stacks. Whoever waits for them finds the pipe closed if there is none.
    fn dump_stacks(&mut self, worker: WorkerId, into: OwnedFd) {
        let process = self.processes.get_mut(worker.0 as usize).and_then(Option::as_mut);
        if let Some(process) = process.filter(|process| process.start_deadline().is_none()) {
            let header = Header { kind: Kind::DumpStacks, flags: 0, session: 0, len: 0 };
            process.send(header.to_bytes().to_vec(), Some(into));
        }
    }

    fn process(&mut self, key: WorkerKey) -> Option<&mut Process> {
        self.processes[key.slot as usize].as_mut().filter(|process| process.key == key)
    }

    /// Ends all workers: lets them end by themselves, and kills those that do not.
    fn shutdown(mut self) {
        // The lanes of calls that still run are closed with their callers.
        self.stopping.clear();
        self.shared.background.close();
        let (mut processes, starting): (Vec<Process>, Vec<Process>) = self
            .processes
            .iter_mut()
            .filter_map(Option::take)
            .partition(|process| process.start_deadline().is_none());
        for mut process in starting {
            process.destroy(self.fork_server(process.pool).as_mut());
        }
        processes.iter_mut().for_each(Process::refuse_callbacks);
        let deadline = Instant::now() + END_LIMIT;
        while Instant::now() < deadline {
            processes.retain_mut(|process| {
                let ended = process.has_ended();
                take_last_events(process, &self.pump);
                process.flush();
                if ended {
                    process.take_status(self.fork_server(process.pool).as_mut());
                }
                !ended
            });
            if processes.is_empty() {
                break;
            }
            wait_for_ends(&processes, deadline);
        }
        for mut process in processes {
            process.destroy(self.fork_server(process.pool).as_mut());
        }
        for server in self.fork_servers.iter_mut().flatten() {
            server.destroy();
        }
    }
}

/// Passes on what a worker has told before its end.
fn take_last_events(process: &mut Process, pump: &Pump) {
    for _ in 0..MOST_LAST_READS {
        let more = process.read_control();
        while let Ok(Some(message)) = process.take_message() {
            match message {
                Message::Event(event) => pump.tell(event),
                Message::Callback(asked) => process.refuse_callback(asked.number),
                Message::Hello(_)
                | Message::Taken(_)
                | Message::WantSegment(_)
                | Message::SegmentReturned(_) => {}
            }
        }
        if !more {
            return;
        }
    }
}

/// Waits until one of the processes has ended, or closed its control channel.
fn wait_for_ends(processes: &[Process], deadline: Instant) {
    let ends = processes.iter().filter_map(|process| process.end.as_ref());
    let open = processes.iter().filter(|process| process.is_open);
    let ends = ends.chain(open.map(|process| &process.control));
    let mut polled: Vec<PollFd<'_>> = ends.map(|end| PollFd::new(end, PollFlags::IN)).collect();
    // The end of a control channel comes a moment before that of the process.
    let step = Duration::from_millis(5);
    let has_all = processes.iter().all(|process| process.end.is_some());
    let left = deadline.saturating_duration_since(Instant::now());
    let limit = Timespec::try_from(if has_all { left } else { left.min(step) });
    let _ = poll(&mut polled, limit.ok().as_ref());
}
