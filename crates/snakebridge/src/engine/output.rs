//! What workers print: read from their standard output and error, and passed on.
//!
//! A thread of its own does this, because whoever reads the host's output may be slow, and that
//! must not hold up anything else.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{WorkerId, platform};

/// What becomes of that which Python code, C code or children of a worker print.
///
/// It never mixes with the protocol, which has pipes of its own.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Output {
    /// Standard output goes to that of the host, standard error likewise. The default.
    #[default]
    Forward,
    /// Nothing is shown. The last lines of standard error still appear in errors about the loss of
    /// a worker.
    Discard,
    /// Each piece is given to a function, on a thread of the bridge. It must not call the bridge.
    Handler(Arc<dyn Fn(OutputPiece<'_>) + Send + Sync>),
}

/// A piece of what a worker printed: as many bytes as came at once, not necessarily whole lines.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct OutputPiece<'a> {
    /// Who printed it.
    pub worker: WorkerId,
    /// Whether it was printed to standard error.
    pub is_stderr: bool,
    /// What was printed.
    pub data: &'a [u8],
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "Forward",
            Self::Discard => "Discard",
            Self::Handler(_) => "Handler(..)",
        })
    }
}

/// The end of what a worker wrote to its standard error.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<(Mutex<TailState>, Condvar)>);

#[derive(Debug, Default)]
struct TailState {
    data: VecDeque<u8>,
    ended: bool,
}

/// How much of it is kept.
const TAIL: usize = 4096;
/// How long the last of it is waited for after the worker has ended.
const TAIL_LIMIT: Duration = Duration::from_millis(100);

/// How long output is read after all workers have ended.
const END_LIMIT: Duration = Duration::from_secs(1);

impl Tail {
    fn push(&self, data: &[u8]) {
        let mut tail = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.data.extend(data);
        let excess = tail.data.len().saturating_sub(TAIL);
        tail.data.drain(..excess);
    }

    fn end(&self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.0.1.notify_all();
    }

    /// The text, once the worker that wrote it has ended. Children of it may hold the pipe open,
    /// so the wait for its end is bounded.
    pub(crate) fn text(&self) -> String {
        let tail = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (tail, _) = self
            .0
            .1
            .wait_timeout_while(tail, TAIL_LIMIT, |tail| !tail.ended)
            .unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = tail.data.iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

/// The reading end of a worker's standard output or error.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) fd: OwnedFd,
    pub(crate) worker: WorkerId,
    pub(crate) stderr: Option<Tail>,
}

#[derive(Debug, Default)]
struct Inbox {
    sources: Vec<Source>,
    closed: bool,
}

/// The thread that reads all sources.
#[derive(Debug)]
pub(crate) struct Pump {
    inbox: Arc<Mutex<Inbox>>,
    wake: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Pump {
    pub(crate) fn start(output: Output) -> std::io::Result<Self> {
        let (bell, wake) = platform::bell()?;
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let shared = Arc::clone(&inbox);
        let thread = std::thread::Builder::new()
            .name("snakebridge-output".to_owned())
            .spawn(move || run(&shared, &bell, &output))?;
        Ok(Self { inbox, wake, thread: Some(thread) })
    }

    pub(crate) fn add(&self, source: Source) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).sources.push(source);
        platform::ring(&self.wake);
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

fn run(inbox: &Mutex<Inbox>, bell: &OwnedFd, output: &Output) {
    let mut sources: Vec<Source> = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    let mut last_look = None;
    loop {
        let closed = {
            let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
            sources.append(&mut inbox.sources);
            inbox.closed
        };
        let ready = wait(&sources, bell, closed);
        let is_over = |limit: Instant| ready.is_empty() || Instant::now() >= limit;
        if closed && is_over(*last_look.get_or_insert_with(|| Instant::now() + END_LIMIT)) {
            return;
        }
        // From the back, so that the places of the others stay right.
        for place in ready.into_iter().rev() {
            let source = &sources[place];
            match rustix::io::read(&source.fd, &mut buffer[..]) {
                Ok(0) => end(sources.remove(place)),
                Ok(count) => pass_on(output, source, &buffer[..count]),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => end(sources.remove(place)),
            }
        }
    }
}

/// Which sources can be read. Waits unless the pump is closed.
fn wait(sources: &[Source], bell: &OwnedFd, closed: bool) -> Vec<usize> {
    let ends = sources.iter().map(|source| &source.fd).chain([bell]);
    let mut polled: Vec<PollFd<'_>> = ends.map(|end| PollFd::new(end, PollFlags::IN)).collect();
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut polled, closed.then_some(&now)).is_err() {
        return Vec::new();
    }
    if !polled[sources.len()].revents().is_empty() {
        platform::silence(bell);
    }
    let ready = |place: &usize| !polled[*place].revents().is_empty();
    (0..sources.len()).filter(ready).collect()
}

fn end(source: Source) {
    if let Some(tail) = source.stderr {
        tail.end();
    }
}

fn pass_on(output: &Output, source: &Source, data: &[u8]) {
    if let Some(tail) = &source.stderr {
        tail.push(data);
    }
    let is_stderr = source.stderr.is_some();
    match output {
        Output::Discard => {}
        Output::Handler(handler) => {
            let piece = OutputPiece { worker: source.worker, is_stderr, data };
            // The panic has printed itself. Without this thread, workers could print no more.
            let _ = catch_unwind(AssertUnwindSafe(|| handler(piece)));
        }
        // Where the host's own output is closed there is nobody to tell.
        Output::Forward if is_stderr => {
            let _ = std::io::stderr().lock().write_all(data);
        }
        Output::Forward => {
            let mut stdout = std::io::stdout().lock();
            let _ = stdout.write_all(data).and_then(|()| stdout.flush());
        }
    }
}
