//! The thread that reads what workers print, and passes it on.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::super::{Shared, WorkerId, platform};
use super::event::OutputEvent;
use super::sink::Sink;
use super::tail::Tail;

/// The reading end of a worker's standard output or error.
#[derive(Debug)]
pub(crate) struct Source {
    fd: OwnedFd,
    worker: WorkerId,
    stderr: Option<Tail>,
    /// What was printed before it was known whether this process becomes a worker.
    held: Option<Vec<u8>>,
    approval: Approval,
}

/// Says whether a process has become a worker. Until then it may be no Python at all, and what it
/// prints is for the error at most: shims complain of versions that are not installed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Approval(Arc<AtomicBool>);

impl Approval {
    fn is_given(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// From here on it is passed on in any case: that is no complaint of a shim.
const MOST_HELD: usize = 1 << 16;
/// How long output is read after all workers have ended.
const END_LIMIT: Duration = Duration::from_secs(1);

impl Source {
    pub(crate) fn stdout(fd: OwnedFd, worker: WorkerId, approval: &Approval) -> Self {
        let (held, approval) = (Some(Vec::new()), approval.clone());
        Self { fd, worker, stderr: None, held, approval }
    }

    pub(crate) fn stderr(fd: OwnedFd, worker: WorkerId, approval: &Approval, tail: Tail) -> Self {
        Self { stderr: Some(tail), ..Self::stdout(fd, worker, approval) }
    }

    fn take(&mut self, data: &[u8], sink: &mut Sink) {
        if let Some(tail) = &self.stderr {
            tail.push(data);
        }
        match &mut self.held {
            Some(held) => {
                held.extend_from_slice(data);
                self.settle(sink);
            }
            None => sink.printed(self.worker, self.stderr.is_some(), data),
        }
    }

    /// Passes on what was held back, once there is no reason for that any more.
    fn settle(&mut self, sink: &mut Sink) {
        let is_over = |held: &mut Vec<u8>| self.approval.is_given() || held.len() > MOST_HELD;
        if let Some(held) = self.held.take_if(is_over)
            && !held.is_empty()
        {
            sink.printed(self.worker, self.stderr.is_some(), &held);
        }
    }
}

/// What a worker has told, with the number of its session on the wire.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) session: u32,
    pub(crate) event: OutputEvent<'static>,
}

/// How many events wait for a handler that is slow. Those beyond are counted.
const MOST_WAITING: usize = 1000;

#[derive(Debug, Default)]
struct Inbox {
    sources: Vec<Source>,
    events: Vec<Event>,
    /// Events that there was no room for.
    dropped: BTreeMap<WorkerId, u64>,
    closed: bool,
}

impl Inbox {
    fn drop_events(&mut self, worker: WorkerId, count: u64) {
        *self.dropped.entry(worker).or_default() += count;
    }
}

/// The thread that reads all sources.
#[derive(Debug)]
pub(crate) struct Pump {
    inbox: Arc<Mutex<Inbox>>,
    wake: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Pump {
    pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let (bell, wake) = platform::bell()?;
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let reader = Reader {
            inbox: Arc::clone(&inbox),
            bell,
            sources: Vec::new(),
            sink: Sink::new(shared.config.output.clone()),
            shared,
            last_session: (0, None),
        };
        let thread = std::thread::Builder::new()
            .name("snakebridge-output".to_owned())
            .spawn(move || reader.run())?;
        Ok(Self { inbox, wake, thread: Some(thread) })
    }

    pub(crate) fn add(&self, source: Source) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).sources.push(source);
        platform::ring(&self.wake);
    }

    /// Passes on what a worker has told, unless too much of that waits already.
    pub(crate) fn tell(&self, event: Event) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        match event.event {
            OutputEvent::Dropped { worker, count } => inbox.drop_events(worker, count),
            ref event if inbox.events.len() >= MOST_WAITING => {
                inbox.drop_events(event.worker(), 1);
            }
            _ => inbox.events.push(event),
        }
        drop(inbox);
        platform::ring(&self.wake);
    }

    /// A process has become a worker: what it prints is passed on from now on.
    pub(crate) fn approve(&self, approval: &Approval) {
        approval.0.store(true, Ordering::Release);
        platform::ring(&self.wake);
    }

    pub(crate) fn thread(&self) -> Option<ThreadId> {
        self.thread.as_ref().map(|thread| thread.thread().id())
    }
}

impl Drop for Pump {
    /// Reads what is there, and ends. Children of workers may hold the pipes open for ever, and
    /// write to them for ever.
    fn drop(&mut self) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        platform::ring(&self.wake);
        if let Some(thread) = self.thread.take() {
            // A panic was printed by the thread itself.
            let _ = thread.join();
        }
    }
}

struct Reader {
    inbox: Arc<Mutex<Inbox>>,
    bell: OwnedFd,
    sources: Vec<Source>,
    sink: Sink,
    shared: Arc<Shared>,
    /// Number and id of the session that was looked up last.
    last_session: (u32, Option<Arc<str>>),
}

impl Reader {
    fn run(mut self) {
        let mut buffer = vec![0; 1 << 16];
        let mut last_look = None;
        loop {
            let closed = self.look_into_inbox();
            let ready = self.wait(closed);
            let is_over = |limit: Instant| ready.is_empty() || Instant::now() >= limit;
            if closed && is_over(*last_look.get_or_insert_with(|| Instant::now() + END_LIMIT)) {
                return;
            }
            // From the back, so that the places of the others stay right.
            for place in ready.into_iter().rev() {
                let source = &mut self.sources[place];
                match rustix::io::read(&source.fd, &mut buffer[..]) {
                    Ok(0) => self.end(place),
                    Ok(count) => source.take(&buffer[..count], &mut self.sink),
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(_) => self.end(place),
                }
            }
        }
    }

    /// Takes up what the supervisor has left here. Whether the bridge has ended.
    fn look_into_inbox(&mut self) -> bool {
        let Inbox { sources, events, dropped, closed } = {
            let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            let closed = inbox.closed;
            Inbox { closed, ..std::mem::replace(&mut *inbox, Inbox { closed, ..Inbox::default() }) }
        };
        self.sources.extend(sources);
        self.sources.iter_mut().for_each(|source| source.settle(&mut self.sink));
        for Event { session, mut event } in events {
            event.set_session(self.session_id(session));
            self.sink.told(event);
        }
        for (worker, count) in dropped {
            self.sink.told(OutputEvent::Dropped { worker, count });
        }
        closed
    }

    fn session_id(&mut self, number: u32) -> Option<String> {
        if number != self.last_session.0 {
            self.last_session = (number, self.shared.sessions.id_of(number));
        }
        self.last_session.1.as_ref().map(ToString::to_string)
    }

    /// Which sources can be read. Waits unless the pump is closed.
    fn wait(&self, closed: bool) -> Vec<usize> {
        let ends = self.sources.iter().map(|source| &source.fd).chain([&self.bell]);
        let mut polled: Vec<PollFd<'_>> = ends.map(|end| PollFd::new(end, PollFlags::IN)).collect();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut polled, closed.then_some(&now)).is_err() {
            return Vec::new();
        }
        if !polled[self.sources.len()].revents().is_empty() {
            platform::silence(&self.bell);
        }
        let ready = |place: &usize| !polled[*place].revents().is_empty();
        (0..self.sources.len()).filter(ready).collect()
    }

    fn end(&mut self, place: usize) {
        let mut source = self.sources.remove(place);
        source.settle(&mut self.sink);
        self.sink.ended(source.worker, source.stderr.is_some());
        if let Some(tail) = source.stderr {
            tail.end();
            // It may wait for this, to say why a start has failed.
            self.shared.placement.wake_supervisor();
        }
    }
}
