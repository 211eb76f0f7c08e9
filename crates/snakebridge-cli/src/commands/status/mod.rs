//! `snakebridge status` and `snakebridge top`.

mod client;
mod table;
mod top;

use clap::Args;
use serde::Deserialize;

use super::{Options, print_line, print_styled, say};
use crate::color::HINT;
use crate::report::Failure;
pub(crate) use top::Top;

/// Show the bridges of programs that run: their pools, workers, calls, latency and memory.
///
/// Seen are programs of the same user on this machine that show theirs: those that were started with the
/// environment variable SNAKEBRIDGE_MONITOR=1, or ask for it with `Bridge::builder().monitor(true)`.
#[derive(Debug, Args)]
pub(crate) struct Status {}

/// A bridge, as its program describes it.
#[derive(Clone, Debug, Deserialize)]
struct Bridge {
    program: String,
    pid: u32,
    bridge: u32,
    uptime: f64,
    pools: Vec<Pool>,
}

#[derive(Clone, Debug, Deserialize)]
struct Pool {
    name: String,
    python: Option<String>,
    waiting: u64,
    calls: u64,
    latency_us: Latency,
    workers: Vec<Worker>,
}

#[derive(Clone, Debug, Deserialize)]
struct Latency {
    p50: f64,
    p99: f64,
}

#[derive(Clone, Debug, Deserialize)]
struct Worker {
    id: u32,
    generation: u32,
    state: String,
    calls: u64,
    refs: u64,
    pid: Option<u32>,
    memory: Option<u64>,
    /// Seconds.
    busy: f64,
}

impl Status {
    pub(super) fn run(&self, options: &Options) -> Result<(), Failure> {
        let seen = client::look()?;
        seen.complain();
        if options.json {
            return print_line(&serde_json::json!({"bridges": seen.answers}).to_string());
        }
        let bridges = seen.bridges();
        if bridges.is_empty() {
            say(NOBODY);
            say(&format!("\n{HINT}hint:{HINT:#} {HOW}"));
            return Ok(());
        }
        print_styled(&table::show(&bridges, None))
    }
}

const NOBODY: &str = "no program shows its bridges";
const HOW: &str = "start it with SNAKEBRIDGE_MONITOR=1, or use `Bridge::builder().monitor(true)`";
