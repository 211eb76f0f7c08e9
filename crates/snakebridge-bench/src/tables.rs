//! Tables to Python and back, compared with copying as many bytes within this process.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use snakebridge::arrow_array::{ArrayRef, Float64Array, RecordBatch};
use snakebridge::{Bridge, Records, Table};
use snakebridge_testkit::environment::with_packages;

use crate::cores::Cores;
use crate::report::Report;
use crate::stats::Series;
use crate::{Result, Setup};

/// Columns and rows of 64 MiB.
const COLUMNS: usize = 8;
const ROWS: usize = 1 << 20;
/// Records that are rows of a frame.
const RECORDS: usize = 10_000;

const FIXTURE: &str = "
from time import perf_counter
import numpy, pandas, pyarrow, pyarrow.compute, pyarrow.ipc

names = [str(n) for n in range(8)]
table = pyarrow.table([numpy.ones(1 << 20) for _ in names], names)
frame = pandas.DataFrame(numpy.ones((1 << 20, 8)), columns=names)

def timed_sum(table):
    start = perf_counter()
    for column in table.columns:
        pyarrow.compute.sum(column)
    return perf_counter() - start

def get():
    return table

def get_frame():
    return frame

def same(frame):
    return frame
";

/// Measures a copy, a table to Python, and one from there, in turn. Brings pyarrow and pandas by itself.
pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    let folder = setup.folder.path();
    std::fs::write(folder.join("bench_tables.py"), FIXTURE)?;
    let python = with_packages(folder, &["numpy", "pandas", "pyarrow"])?;
    for cores in Cores::BOTH {
        let _held = cores.hold()?;
        let builder = setup.bridge().python(python.to_string_lossy()).module_path(folder);
        let py = builder.build()?;
        large(&py, setup, cores, report)?;
        records(&py, setup, cores, report)?;
    }
    Ok(())
}

fn large(py: &Bridge, setup: &Setup, cores: Cores, report: &mut Report) -> Result<()> {
    let items: Vec<f64> = (0..COLUMNS * ROWS).map(|n| n as f64).collect();
    let mut copy = items.clone();
    let columns = items.chunks(ROWS).enumerate().map(|(n, items)| {
        (n.to_string(), Arc::new(Float64Array::from(items.to_vec())) as ArrayRef)
    });
    let table = Table::from(RecordBatch::try_from_iter(columns)?);
    let [mut copies, mut ins, mut outs, mut frames] = [(); 4].map(|()| Series::default());
    for round in 0..=setup.rounds(10, 30) {
        copies.round::<Box<dyn std::error::Error>>(1, || {
            black_box(&mut copy[..]).copy_from_slice(black_box(&items));
            Ok(())
        })?;
        let begin = Instant::now();
        let own: f64 = py.call("bench_tables", "timed_sum", (&table,)).wait()?;
        ins.add(begin.elapsed().saturating_sub(Duration::from_secs_f64(own)));
        for (function, series) in [("get", &mut outs), ("get_frame", &mut frames)] {
            series.round(1, || {
                let table: Table = py.call("bench_tables", function, ()).wait()?;
                black_box(table.batches());
                Ok::<_, Box<dyn std::error::Error>>(())
            })?;
        }
        if round == 0 {
            [&mut copies, &mut ins, &mut outs, &mut frames].into_iter().for_each(Series::clear);
        }
    }
    report.number(cores.name("table_in_64_mib_ms"), ins.p50_ms());
    report.number(cores.name("table_out_64_mib_ms"), outs.p50_ms());
    cores.ratio(report, "table_in_over_memcpy", ins.over(&copies), 2.5);
    cores.ratio(report, "table_out_over_memcpy", outs.over(&copies), 2.5);
    report.number(cores.name("frame_out_over_memcpy"), frames.over(&copies));
    Ok(())
}

#[derive(Clone, Serialize, Deserialize)]
struct Trade {
    id: u64,
    symbol: String,
    price: f64,
    note: Option<String>,
}

/// Measures structs that become a frame and come back.
fn records(py: &Bridge, setup: &Setup, cores: Cores, report: &mut Report) -> Result<()> {
    let trade = |id: u64| Trade {
        id,
        symbol: format!("S{}", id % 100),
        price: id as f64 / 4.0,
        note: id.is_multiple_of(3).then(|| "thrice".to_owned()),
    };
    let records = Records((0..RECORDS as u64).map(trade).collect());
    let mut echoes = Series::default();
    for round in 0..=setup.rounds(10, 30) {
        echoes.round(1, || {
            let back: Records<Trade> = py.call("bench_tables", "same", (&records,)).wait()?;
            black_box(back.0.len());
            Ok::<_, Box<dyn std::error::Error>>(())
        })?;
        if round == 0 {
            echoes.clear();
        }
    }
    report.number(cores.name("frame_of_10k_records_echo_ms"), echoes.p50_ms());
    Ok(())
}
