//! Showing a bridge to other programs of the same user, where that is switched on.
//!
//! The supervisor listens on a socket whose name is in no file system: it is gone with the process, however that
//! ends. Who connects gets a snapshot as JSON and the end of the stream. Between two questions it costs nothing, but
//! for the times of calls: two looks at the clock each.

mod json;
mod meter;
#[cfg(target_os = "linux")]
mod socket;
#[cfg(not(target_os = "linux"))]
#[path = "socket_elsewhere.rs"]
mod socket;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::status::{PoolStatus, WorkerStatus};
use json::Text;
pub(crate) use meter::{Latency, Meter};
use socket::Socket;

/// Whether a bridge can be shown on this system.
pub(crate) const IS_THERE: bool = Socket::IS_THERE;

/// Environment variable that switches it on.
pub(crate) const MONITOR: &str = "SNAKEBRIDGE_MONITOR";

/// Whether the environment switches it on. That says nothing about systems where there is no such thing.
pub(crate) fn is_wanted_by_environment() -> bool {
    if !IS_THERE {
        return false;
    }
    let value = std::env::var(MONITOR).unwrap_or_default();
    matches!(&*value.to_ascii_lowercase(), "1" | "true" | "yes" | "on")
}

/// What other programs ask a bridge by.
#[derive(Debug)]
pub(crate) struct Monitor {
    socket: Socket,
    started: Instant,
}

impl Monitor {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { socket: Socket::open()?, started: Instant::now() })
    }

    /// Answers those who ask. Which bridge of its process it is, and since when, goes into the snapshot.
    pub(crate) fn answer(&self, snapshot: impl Fn((u32, Instant)) -> String) {
        self.socket.answer(|| snapshot((self.socket.bridge, self.started)));
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What is known of a bridge at one moment.
pub(crate) struct Snapshot {
    /// Which one it is of its process.
    pub(crate) bridge: u32,
    pub(crate) started: Instant,
    pub(crate) pools: Vec<PoolSnapshot>,
}

pub(crate) struct PoolSnapshot {
    pub(crate) status: PoolStatus,
    /// The version of its Python, once a worker has started.
    pub(crate) python: Option<String>,
    pub(crate) latency: Latency,
    /// Of each worker.
    pub(crate) processes: Vec<ProcessSnapshot>,
}

#[derive(Default)]
pub(crate) struct ProcessSnapshot {
    pub(crate) pid: Option<i32>,
    /// Bytes in memory.
    pub(crate) memory: Option<u64>,
    /// How long its lanes had calls, all together.
    pub(crate) busy: Duration,
}

impl Snapshot {
    /// The form in which it is sent; `docs/guide/command-line.md` describes it.
    pub(crate) fn to_json(&self) -> String {
        let program = std::env::current_exe().unwrap_or_default();
        format!(
            "{{\"version\":{},\"program\":{},\"pid\":{},\"bridge\":{},\"uptime\":{:.3},\"pools\":[{}]}}\n",
            Text(env!("CARGO_PKG_VERSION")),
            Text(&program.to_string_lossy()),
            std::process::id(),
            self.bridge,
            self.started.elapsed().as_secs_f64(),
            json::list(self.pools.iter().map(PoolSnapshot::to_json)),
        )
    }
}

impl PoolSnapshot {
    fn to_json(&self) -> String {
        let Latency { calls, mean, p50, p99 } = self.latency;
        let workers = self.status.workers.iter().zip(&self.processes);
        format!(
            "{{\"name\":{},\"python\":{},\"waiting\":{},\"calls\":{calls},\
             \"latency_us\":{{\"mean\":{},\"p50\":{},\"p99\":{}}},\"workers\":[{}]}}",
            Text(&self.status.name),
            json::option(self.python.as_deref().map(Text)),
            self.status.waiting,
            micros(mean),
            micros(p50),
            micros(p99),
            json::list(workers.map(|(status, process)| process.to_json(status))),
        )
    }
}

impl ProcessSnapshot {
    fn to_json(&self, status: &WorkerStatus) -> String {
        format!(
            "{{\"id\":{},\"generation\":{},\"state\":\"{}\",\"calls\":{},\"refs\":{},\"sessions\":{},\
             \"pid\":{},\"memory\":{},\"busy\":{:.6}}}",
            status.id.0,
            status.generation,
            status.state,
            status.calls,
            status.refs,
            status.sessions,
            json::option(self.pid),
            json::option(self.memory),
            self.busy.as_secs_f64(),
        )
    }
}

fn micros(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e6)
}
