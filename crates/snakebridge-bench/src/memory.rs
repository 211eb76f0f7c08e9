//! How much memory an idle worker takes, compared with a bare interpreter.

use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use snakebridge_bench::process::{pss_kb, rss_kb};

use crate::report::Report;
use crate::stats::median;
use crate::{Result, Setup};

/// A bare interpreter that says when it is ready, and then waits.
const WAITING: &str = "import sys; sys.stdout.write('.'); sys.stdout.flush(); sys.stdin.read()";

/// How long a process is left alone before it is looked at.
const SETTLE: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Sizes {
    rss: Vec<f64>,
    /// Empty where it may not be read.
    pss: Vec<f64>,
}

/// Measures fresh workers and fresh interpreters in turn.
pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    let (mut workers, mut pythons) = (Sizes::default(), Sizes::default());
    for _ in 0..setup.rounds(3, 7) {
        let py = setup.bridge().build()?;
        workers.look_at(py.call("os", "getpid", ()).wait()?)?;
        let python = Bare::start(&setup.python)?;
        pythons.look_at(python.0.id())?;
    }
    let (worker, python) = (median(&workers.rss), median(&pythons.rss));
    report.number("idle_worker_rss_kb", worker);
    report.number("python_rss_kb", python);
    report.barred("idle_worker_rss_over_python", worker / python, 1.25);
    if !workers.pss.is_empty() && !pythons.pss.is_empty() {
        report.number("idle_worker_pss_kb", median(&workers.pss));
        report.number("python_pss_kb", median(&pythons.pss));
    }
    Ok(())
}

impl Sizes {
    fn look_at(&mut self, pid: u32) -> io::Result<()> {
        std::thread::sleep(SETTLE);
        self.rss.push(rss_kb(pid)? as f64);
        self.pss.extend(pss_kb(pid).map(|size| size as f64));
        Ok(())
    }
}

/// An interpreter that runs nothing, and ends when this is dropped.
struct Bare(Child);

impl Bare {
    fn start(python: &Path) -> io::Result<Self> {
        let mut child = Command::new(python)
            .args(["-I", "-c", WAITING])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take();
        let bare = Self(child);
        if let Some(mut stdout) = stdout {
            stdout.read_exact(&mut [0])?;
        }
        Ok(bare)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended by itself; either way there is nothing to do about it here.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
