//! Ten thousand records to Python and back, compared with what pickle alone needs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cores::Cores;
use crate::report::Report;
use crate::stats::Series;
use crate::{Result, Setup};

/// How many records are sent.
const COUNT: usize = 10_000;

/// The Python side. `floor` does to the records what any bridge must do in Python, and no more.
const FIXTURE: &str = "
import pickle
from time import perf_counter

def identity(records):
    return records

def prepare(records):
    global pickled
    pickled = pickle.dumps(records, 5)

def floor():
    start = perf_counter()
    pickle.dumps(pickle.loads(pickled), 5)
    return perf_counter() - start
";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    id: u64,
    name: String,
    score: f64,
    tags: [String; 2],
}

/// Measures the way to Python, the way there and back, and the floor in turn.
pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    std::fs::write(setup.folder.path().join("bench_records.py"), FIXTURE)?;
    for cores in Cores::BOTH {
        let _held = cores.hold()?;
        let py = setup.bridge().module_path(setup.folder.path()).build()?;
        let records = records();
        py.exec("bench_records", "prepare", (&records,)).wait()?;
        let len = || match py.call("builtins", "len", (&records,)).wait()? {
            COUNT => Ok(()),
            other => Err(format!("Python counted {other} records").into()),
        };
        let echo = || {
            let back: Vec<Record> = py.call("bench_records", "identity", (&records,)).wait()?;
            match back == records {
                true => Ok(()),
                false => Err("the records came back changed".into()),
            }
        };
        let [mut lens, mut echoes, mut floors] = [(); 3].map(|()| Series::default());
        for _ in 0..setup.rounds(20, 60) {
            lens.round::<Box<dyn std::error::Error>>(1, len)?;
            echoes.round::<Box<dyn std::error::Error>>(1, echo)?;
            let floor: f64 = py.call("bench_records", "floor", ()).wait()?;
            floors.add(Duration::from_secs_f64(floor));
        }
        report.number(cores.name("records_len_ms"), lens.p50_ms());
        report.number(cores.name("records_echo_ms"), echoes.p50_ms());
        report.number(cores.name("records_pickle_floor_ms"), floors.p50_ms());
        cores.ratio(report, "records_echo_over_pickle_floor", echoes.over(&floors), 2.5);
    }
    Ok(())
}

pub(crate) fn records() -> Vec<Record> {
    let record = |id: u64| Record {
        id,
        name: format!("record {id}"),
        score: id as f64 * 0.37,
        tags: [format!("tag {}", id % 17), format!("group {}", id % 5)],
    };
    (0..COUNT as u64).map(record).collect()
}
