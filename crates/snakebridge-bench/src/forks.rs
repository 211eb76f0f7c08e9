//! What a fork server gains: how long it takes until there is one more worker, and how much memory
//! that takes, where the pool has much to import.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use snakebridge::{Bridge, Pending, Pool, WorkerState};
use snakebridge_bench::process::pss_kb;

use crate::report::Report;
use crate::stats::{Series, median};
use crate::{NO_BYTECODE, Result, Setup};

/// Stands for a library that imports much. All of it is in the standard library.
const HEAVY: &str = "\
import argparse, ast, asyncio, calendar, concurrent.futures, configparser, cProfile, csv, ctypes
import dataclasses, decimal, difflib, dis, doctest, email.message, email.mime.text, fractions
import ftplib, gettext, html.parser, http.client, http.cookiejar, http.server, imaplib, inspect
import ipaddress, json, logging.config, logging.handlers, mailbox, mimetypes, multiprocessing.pool
import optparse, pathlib, pdb, pickletools, plistlib, poplib, pprint, pstats, pydoc, random
import sched, secrets, shelve, shlex, smtplib, socketserver, statistics, tarfile, tempfile
import timeit, trace, typing, unittest.mock, urllib.request, urllib.robotparser, uuid, wave
import xml.dom.minidom, xml.etree.ElementTree, xml.sax, xmlrpc.client, xmlrpc.server, zipapp
";

/// How long a worker is left alone before its memory is looked at.
const SETTLE: Duration = Duration::from_millis(50);

/// Measures pools with and without a fork server in turn.
pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    let [spawning, forking] = [Growing::start(setup, false)?, Growing::start(setup, true)?];
    let [mut spawned, mut forked] = [(); 2].map(|()| Series::default());
    let [mut spawned_pss, mut forked_pss] = [(); 2].map(|()| Vec::new());
    for round in 0..=setup.rounds(10, 30) {
        spawning.grow(&mut spawned, &mut spawned_pss)?;
        forking.grow(&mut forked, &mut forked_pss)?;
        // The first start may have to write the bytecode.
        if round == 0 {
            spawned.clear();
            forked.clear();
        }
    }
    report.number("spawned_start_ms", spawned.p50_ms());
    report.number("forked_start_ms", forked.p50_ms());
    report.number("forked_start_over_spawned_start", forked.over(&spawned));
    if !spawned_pss.is_empty() && !forked_pss.is_empty() {
        let (spawned, forked) = (median(&spawned_pss), median(&forked_pss));
        report.number("spawned_pss_kb", spawned);
        report.number("forked_pss_kb", forked);
        report.number("forked_pss_over_spawned_pss", forked / spawned);
    }
    Ok(())
}

/// A pool of up to two workers, one of which is busy all the time.
struct Growing {
    py: Bridge,
    busy: Pid,
    _call: Pending<()>,
}

impl Growing {
    fn start(setup: &Setup, fork_server: bool) -> Result<Self> {
        std::fs::write(setup.folder.path().join("heavy.py"), HEAVY)?;
        let pool = Pool::new()
            .python(setup.python.to_string_lossy())
            .env_remove(NO_BYTECODE)
            .workers_between(0, 2)
            .module_path(setup.folder.path())
            .preload("heavy")
            .fork_server(fork_server);
        let py = Bridge::builder().pool("default", pool).build()?;
        let busy = Pid::from_raw(py.call("os", "getpid", ()).wait()?).ok_or("no process")?;
        let call = py.exec("time", "sleep", (3600,)).no_timeout().start();
        Ok(Self { py, busy, _call: call })
    }

    /// Measures from the wish for a second worker to its first result; and its memory then. It is
    /// gone afterwards.
    fn grow(&self, series: &mut Series, pss: &mut Vec<f64>) -> Result<()> {
        let start = Instant::now();
        let pid: u32 = self.py.call("os", "getpid", ()).wait()?;
        series.add(start.elapsed());
        // Each worker does that sooner or later, and may write to much memory for it.
        self.py.exec("gc", "collect", ()).wait()?;
        std::thread::sleep(SETTLE);
        pss.extend(pss_kb(pid).map(|size| size as f64));
        let pid = Pid::from_raw(i32::try_from(pid)?).ok_or("no process")?;
        kill_process(pid, Signal::KILL)?;
        while self.py.status()?.pools[0].workers.iter().all(|one| one.state != WorkerState::Dead) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        // Else the end of the bridge waits for the call.
        let _ = kill_process(self.busy, Signal::KILL);
    }
}
