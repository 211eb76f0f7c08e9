//! What programs do without a bridge: a Python process of their own, and a line of JSON for each call and each
//! result. Arrays go as bytes after the line, as whoever has measured JSON for them would do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use snakebridge::ArrayView;
use snakebridge_testkit::environment::with_packages;

use crate::records::{Record, records};
use crate::report::Report;
use crate::stats::Series;
use crate::{Result, Setup};

const SIDECAR: &str = "
import json, sys
from importlib import import_module

requests, replies = sys.stdin.buffer, sys.stdout.buffer
for line in requests:
    request = json.loads(line)
    args = request['args']
    if request['bytes']:
        import numpy
        args.append(numpy.frombuffer(requests.read(request['bytes'])))
    function = getattr(import_module(request['module']), request['name'])
    replies.write(json.dumps({'result': function(*args)}).encode() + b'\\n')
    replies.flush()
";

const FIXTURE: &str = "
def identity(value):
    return value

def total(array):
    return float(array.sum())
";

/// Items of 64 MiB.
const LARGE: usize = 8 << 20;

/// Measures calls, records and an array, each way in turn, on the cores that the scheduler chooses.
pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    let folder = setup.folder.path();
    std::fs::write(folder.join("bench_sidecar.py"), FIXTURE)?;
    let python = with_packages(folder, &["numpy"])?;
    let builder = setup.bridge().python(python.to_string_lossy());
    let py = builder.module_path(folder).build()?;
    let mut sidecar =
        Sidecar::start(Command::new(&python).args(["-c", SIDECAR]).env("PYTHONPATH", folder))?;
    let mut both = Both { rounds: setup.rounds(10, 30), report };

    both.compare(
        "call",
        1000,
        || Ok(py.call("math", "sqrt", (16,)).wait()?),
        || sidecar.call("math", "sqrt", (16,), &[]),
        |root: &f64| *root == 4.0,
    )?;
    let sent = records();
    both.compare(
        "records_echo",
        1,
        || Ok(py.call("bench_sidecar", "identity", (&sent,)).wait()?),
        || sidecar.call("bench_sidecar", "identity", (&sent,), &[]),
        // By its default, `serde_json` reads some numbers as their neighbours.
        |back: &Vec<Record>| back.len() == sent.len(),
    )?;
    let items = vec![1.0_f64; LARGE];
    let bytes: Vec<u8> = items.iter().flat_map(|item| item.to_le_bytes()).collect();
    both.compare(
        "array_64_mib_sum",
        1,
        || Ok(py.call("bench_sidecar", "total", (ArrayView::from(&items),)).wait()?),
        || sidecar.call("bench_sidecar", "total", [0; 0], &bytes),
        |sum: &f64| *sum == LARGE as f64,
    )
}

struct Both<'a> {
    rounds: usize,
    report: &'a mut Report,
}

impl Both<'_> {
    fn compare<T>(
        &mut self,
        name: &str,
        count: usize,
        bridge: impl Fn() -> Result<T>,
        mut sidecar: impl FnMut() -> Result<T>,
        is_right: impl Fn(&T) -> bool,
    ) -> Result<()> {
        let check = |result: Result<T>| match is_right(&result?) {
            true => Ok(()),
            false => Err("Python gave something else than expected".into()),
        };
        let [mut ours, mut theirs] = [(); 2].map(|()| Series::default());
        for round in 0..=self.rounds {
            ours.round::<Box<dyn std::error::Error>>(count, || check(bridge()))?;
            theirs.round::<Box<dyn std::error::Error>>(count, || check(sidecar()))?;
            if round == 0 {
                ours.clear();
                theirs.clear();
            }
        }
        self.report.number(format!("bridge_{name}_us"), ours.p50_us());
        self.report.number(format!("sidecar_{name}_us"), theirs.p50_us());
        self.report.number(format!("sidecar_over_bridge_{name}"), theirs.over(&ours));
        Ok(())
    }
}

struct Sidecar {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
    line: Vec<u8>,
}

#[derive(Serialize)]
struct Request<'a, A> {
    module: &'a str,
    name: &'a str,
    args: A,
    bytes: usize,
}

#[derive(Deserialize)]
struct Reply<T> {
    result: T,
}

impl Sidecar {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (requests, replies) = (child.stdin.take(), child.stdout.take());
        let (requests, replies) = requests.zip(replies).ok_or("a process without pipes")?;
        Ok(Self { child, requests, replies: BufReader::new(replies), line: Vec::new() })
    }

    fn call<T: DeserializeOwned>(
        &mut self,
        module: &str,
        name: &str,
        args: impl Serialize,
        bytes: &[u8],
    ) -> Result<T> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, &Request { module, name, args, bytes: bytes.len() })?;
        self.line.push(b'\n');
        self.requests.write_all(&self.line)?;
        self.requests.write_all(bytes)?;
        self.line.clear();
        self.replies.read_until(b'\n', &mut self.line)?;
        Ok(serde_json::from_slice::<Reply<T>>(&self.line)?.result)
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
