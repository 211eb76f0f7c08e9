//! The worker behind the prompt.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::{Handle, Signals};
use snakebridge::{Bridge, CallOptions, ErrorKind, Output, PythonInfo, Result};

use super::super::inspect;
use super::super::{Options, say};
use super::printer::Printer;
use crate::color::HINT;
use crate::exit_code;
use crate::python::{self, CONSOLE};
use crate::report::{self, Failure};

#[derive(Debug)]
pub(super) struct Session {
    py: Bridge,
    printer: Arc<Printer>,
    interrupts: Arc<Interrupts>,
    signals: Mutex<Option<Handle>>,
}

/// What Ctrl-C goes to while something runs.
#[derive(Debug, Default)]
struct Interrupts {
    /// The process of the worker.
    worker: AtomicI32,
    is_running: AtomicBool,
    /// How often, since what runs has begun.
    count: AtomicU32,
}

/// Who presses Ctrl-C this often wants out, whatever it is that does not end.
const ENOUGH: u32 = 3;

impl Session {
    pub(super) fn open(options: &Options) -> std::result::Result<Self, Failure> {
        let printer = Arc::new(Printer::new());
        let sink = Arc::clone(&printer);
        let output = Output::Handler(Arc::new(move |event| sink.take(event)));
        let limit = match options.timeout {
            Some(limit) => CallOptions::new().timeout(limit),
            None => CallOptions::new().no_timeout(),
        };
        let py = options.builder()?.output(output).defaults(limit).build()?;
        let interrupts = Arc::new(Interrupts::default());
        let signals = watch(Arc::clone(&interrupts))
            .map_err(|error| Failure::other(format!("cannot watch for Ctrl-C: {error}")))?;
        let session = Self { py, printer, interrupts, signals: Mutex::new(Some(signals)) };
        session.start()?;
        Ok(session)
    }

    /// Makes the worker ready: a new one knows nothing.
    fn start(&self) -> Result<()> {
        python::load(&self.py)?;
        self.py.exec(CONSOLE, "start", ()).wait()?;
        let pid: i32 = self.py.call(CONSOLE, "pid", ()).wait()?;
        self.interrupts.worker.store(pid, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn python(&self) -> Result<PythonInfo> {
        self.py.ready()
    }

    /// Runs what was typed, and shows what comes of it. The code to exit with, if it wants that.
    pub(super) fn run(&self, source: &str) -> Option<u8> {
        self.interrupts.count.store(0, Ordering::Relaxed);
        self.interrupts.is_running.store(true, Ordering::Release);
        let call = self.py.call::<Option<u8>>(CONSOLE, "run", (source, self.printer.mark()));
        let outcome = call.wait();
        self.interrupts.is_running.store(false, Ordering::Release);
        self.printer.wait();
        outcome.unwrap_or_else(|error| {
            let is_lost = matches!(error.kind(), ErrorKind::WorkerLost | ErrorKind::Timeout);
            report::report(&Failure::Call(error));
            if is_lost { self.restart() } else { None }
        })
    }

    /// Goes on with the worker that there is now. The code to exit with, if there is none.
    fn restart(&self) -> Option<u8> {
        // Code that could be interrupted has not cost its worker.
        let is_same = self.py.call::<i32>(CONSOLE, "pid", ()).wait();
        if is_same.is_ok_and(|pid| pid == self.interrupts.worker.load(Ordering::Relaxed)) {
            return None;
        }
        match self.start() {
            Ok(()) => {
                say(&format!("{HINT}note:{HINT:#} a new worker has begun; all names are gone"));
                None
            }
            Err(error) => {
                report::report(&Failure::Call(error));
                Some(exit_code::WORKER_LOST)
            }
        }
    }

    pub(super) fn is_incomplete(&self, source: &str) -> bool {
        // Where this fails, running it will say why.
        self.py.call(CONSOLE, "is_incomplete", (source,)).wait().unwrap_or(false)
    }

    /// Where the word begins that ends the line, in characters, and what it could become.
    pub(super) fn complete(&self, line: &str) -> (usize, Vec<String>) {
        // A line that cannot be completed is no reason to complain while somebody types.
        self.py.call(CONSOLE, "complete", (line,)).wait().unwrap_or_default()
    }

    pub(super) fn describe(&self, name: &str) -> Result<String> {
        inspect::of_typed(&self.py, name)
    }

    pub(super) fn close(&self) {
        if let Some(signals) = self.signals.lock().unwrap_or_else(PoisonError::into_inner).take() {
            signals.close();
        }
        self.py.shutdown();
    }
}

/// Passes Ctrl-C on to Python while something runs. At the prompt it is a key like others.
fn watch(interrupts: Arc<Interrupts>) -> std::io::Result<Handle> {
    let mut signals = Signals::new([SIGINT])?;
    let handle = signals.handle();
    std::thread::Builder::new().name("ctrl-c".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let count = interrupts.count.fetch_add(1, Ordering::Relaxed) + 1;
            let worker = Pid::from_raw(interrupts.worker.load(Ordering::Relaxed));
            match worker.filter(|_| interrupts.is_running.load(Ordering::Acquire)) {
                // A worker that has just ended is told of by the call.
                Some(worker) if count < ENOUGH => drop(kill_process(worker, Signal::INT)),
                _ => drop(signal_hook::low_level::emulate_default_handler(signal)),
            }
        }
    })?;
    Ok(handle)
}
