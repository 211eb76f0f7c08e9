//! `snakebridge bench`.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Map, Value, json};
use snakebridge::{Bridge, Bytes, Output, Ref, Result};

use super::{Options, print_line, print_styled, say};
use crate::color::{FAINT, HEADING};
use crate::report::Failure;

/// Measure what calls cost on this machine, against the least that they could cost.
///
/// The floor of a call is a message of 64 bytes through pipes to `cat` and back, which is what two processes need
/// to talk at all; that of a start is `python -I -c pass`; that of large data is a copy in memory. Takes about
/// five seconds. On a machine with several idle cores most of a call is waking up the other one.
#[derive(Debug, Args)]
pub(crate) struct Bench {}

/// One thing that was measured.
struct Measured {
    /// Its name in JSON, with the unit.
    name: &'static str,
    what: &'static str,
    value: f64,
    unit: Unit,
    /// The least that it could be, and what that is.
    floor: Option<(f64, &'static str)>,
}

#[derive(Clone, Copy)]
enum Unit {
    Micros,
    Millis,
    PerSecond,
    GibPerSecond,
}

/// Samples of one kind. They are taken in turns, so that what else the machine does is fair to all.
const SAMPLES: usize = 2000;
const TURNS: usize = 10;
const BATCH: usize = 10_000;
const ITEMS: usize = 1_000_000;
const DATA: usize = 32 << 20;

impl Bench {
    pub(super) fn run(&self, options: &Options) -> std::result::Result<(), Failure> {
        say("measuring, for about five seconds ..");
        let measured = measure(options)?;
        if options.json {
            let mut out = Map::new();
            for Measured { name, value, floor, .. } in &measured {
                out.insert((*name).to_owned(), rounded(*value));
                if let Some((floor, _)) = floor {
                    out.insert(format!("{name}_floor"), rounded(*floor));
                }
            }
            return print_line(&Value::Object(out).to_string());
        }
        print_styled(&to_text(&measured))
    }
}

fn measure(options: &Options) -> std::result::Result<Vec<Measured>, Failure> {
    let py = options.builder()?.output(Output::Discard).build()?;
    let python = py.ready()?.executable;
    let mut echo = Echo::start()
        .map_err(|error| Failure::other(format!("cannot start `cat` for the floor: {error}")))?;
    let object: Ref = py.call("decimal", "Decimal", (2,)).by_ref().wait()?;
    let (mut pipes, mut calls, mut methods) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        sample(&mut pipes, || echo.ping())?;
        sample(&mut calls, || py.exec("math", "sqrt", (16,)).wait())?;
        sample(&mut methods, || object.method::<bool>("is_signed", ()).wait().map(drop))?;
    }
    let floor = Some((quantile(&mut pipes, 0.5), "pipes to `cat` and back"));
    let micros = |name, what, value| Measured { name, what, value, unit: Unit::Micros, floor };
    let mut out = vec![
        micros("call_p50_us", "a call, half are faster", quantile(&mut calls, 0.5)),
        Measured {
            floor: None,
            ..micros("call_p99_us", "a call, 99 % are faster", quantile(&mut calls, 0.99))
        },
        micros("method_p50_us", "a method of a ref", quantile(&mut methods, 0.5)),
    ];
    out.extend(rates(&py)?);
    out.push(copies(&py)?);
    py.shutdown();
    out.push(starts(options, &python)?);
    Ok(out)
}

fn sample<E: Into<Failure>>(
    times: &mut Vec<Duration>,
    mut once: impl FnMut() -> std::result::Result<(), E>,
) -> std::result::Result<(), Failure> {
    for _ in 0..SAMPLES / TURNS {
        let begin = Instant::now();
        once().map_err(Into::into)?;
        times.push(begin.elapsed());
    }
    Ok(())
}

/// In microseconds.
fn quantile(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    let place = (times.len() as f64 * part) as usize;
    times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

fn rates(py: &Bridge) -> Result<Vec<Measured>> {
    let rate = |name, what, count: usize, time: Duration| {
        let value = count as f64 / time.as_secs_f64();
        Measured { name, what, value, unit: Unit::PerSecond, floor: None }
    };
    let begin = Instant::now();
    let roots = py.batch::<f64>("math", "sqrt", (0..BATCH).map(|x| (x,))).wait()?;
    let batch = rate("batched_calls_per_s", "calls in one batch", roots.len(), begin.elapsed());
    let begin = Instant::now();
    let mut items = 0;
    for item in py.call::<i64>("builtins", "range", (ITEMS,)).iter() {
        item?;
        items += 1;
    }
    Ok(vec![batch, rate("items_per_s", "items of a generator", items, begin.elapsed())])
}

/// Large data, there and back.
fn copies(py: &Bridge) -> Result<Measured> {
    let data = vec![7_u8; DATA];
    let best = |mut once: Box<dyn FnMut() -> Result<usize> + '_>| -> Result<f64> {
        let mut best = Duration::MAX;
        for _ in 0..4 {
            let begin = Instant::now();
            std::hint::black_box(once()?);
            best = best.min(begin.elapsed());
        }
        Ok(2.0 * DATA as f64 / best.as_secs_f64() / f64::from(1 << 30))
    };
    let value = best(Box::new(|| {
        let back: Bytes = py.call("builtins", "bytes", (Bytes::from(&data[..]),)).wait()?;
        Ok(back.len())
    }))?;
    let floor = best(Box::new(|| {
        let there = std::hint::black_box(data.clone());
        Ok(std::hint::black_box(there[..].to_vec()).len())
    }))?;
    let floor = Some((floor, "two copies in memory"));
    Ok(Measured {
        name: "bytes_gib_per_s",
        what: "32 MiB there and back",
        value,
        unit: Unit::GibPerSecond,
        floor,
    })
}

fn starts(options: &Options, python: &std::path::Path) -> std::result::Result<Measured, Failure> {
    let (mut bare, mut workers) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let begin = Instant::now();
        let mut command = Command::new(python);
        let ran = command.args(["-I", "-c", "pass"]).stdin(Stdio::null()).output();
        ran.map_err(|error| Failure::other(format!("cannot run `{}`: {error}", python.display())))?;
        bare.push(begin.elapsed());
        let begin = Instant::now();
        let py = options.builder()?.output(Output::Discard).build()?;
        py.exec("math", "sqrt", (16,)).wait()?;
        workers.push(begin.elapsed());
        py.shutdown();
    }
    let millis = |times: &mut [Duration]| quantile(times, 0.5) / 1e3;
    Ok(Measured {
        name: "start_ms",
        what: "a start, with the first call",
        value: millis(&mut workers),
        unit: Unit::Millis,
        floor: Some((millis(&mut bare), "`python -I -c pass`")),
    })
}

/// A process that sends back what it gets.
struct Echo {
    child: std::process::Child,
}

impl Echo {
    fn start() -> std::io::Result<Self> {
        let mut command = Command::new("cat");
        Ok(Self { child: command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()? })
    }

    fn ping(&mut self) -> std::result::Result<(), Failure> {
        let mut message = [7; 64];
        let (Some(to), Some(from)) = (&mut self.child.stdin, &mut self.child.stdout) else {
            return Err(Failure::other("`cat` has no pipes"));
        };
        to.write_all(&message).and_then(|()| from.read_exact(&mut message)).map_err(Failure::Output)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It ends when its input does.
        self.child.stdin = None;
        let _ = self.child.wait();
    }
}

fn rounded(value: f64) -> Value {
    json!((value * 100.0).round() / 100.0)
}

fn to_text(measured: &[Measured]) -> String {
    let mut out = String::new();
    for Measured { what, value, unit, floor, .. } in measured {
        let shown = unit.show(*value);
        out.push_str(&format!("{what:29} {HEADING}{shown:>14}{HEADING:#}"));
        if let Some((floor, of)) = floor {
            let ratio = match unit {
                Unit::Micros | Unit::Millis => value / floor,
                Unit::PerSecond | Unit::GibPerSecond => floor / value,
            };
            let floor = unit.show(*floor);
            out.push_str(&format!("  {ratio:4.1} x {FAINT}{floor}, {of}{FAINT:#}"));
        }
        out.push('\n');
    }
    out
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Micros => format!("{value:.1} µs"),
            Self::Millis => format!("{value:.1} ms"),
            Self::PerSecond => format!("{:.2} M/s", value / 1e6),
            Self::GibPerSecond => format!("{value:.2} GiB/s"),
        }
    }
}
