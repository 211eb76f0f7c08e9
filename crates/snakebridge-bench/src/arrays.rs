//! Arrays to Python and back, compared with copying as many bytes within this process.

use std::hint::black_box;
use std::time::{Duration, Instant};

use snakebridge::{Array, ArrayMut, ArrayView, Bridge};
use snakebridge_testkit::environment::with_packages;

use crate::cores::Cores;
use crate::report::Report;
use crate::stats::Series;
use crate::{Result, Setup};

/// Items of 64 MiB, and of 1 KiB.
const LARGE: usize = 8 << 20;
const SMALL: usize = 128;

const FIXTURE: &str = "
from time import perf_counter
import numpy

result = numpy.ones(8 << 20)

def timed_sum(array):
    start = perf_counter()
    numpy.sum(array)
    return perf_counter() - start

def get():
    return result
";

/// Measures a copy, an array to Python, and one from there, in turn. Brings numpy by itself.
pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    let folder = setup.folder.path();
    std::fs::write(folder.join("bench_arrays.py"), FIXTURE)?;
    let python = with_packages(folder, &["numpy"])?;
    for cores in Cores::BOTH {
        let _held = cores.hold()?;
        let builder = setup.bridge().python(python.to_string_lossy()).module_path(folder);
        let py = builder.build()?;
        large(&py, setup, cores, report)?;
        shared(&py, setup, cores, report)?;
        small(&py, setup, cores, report)?;
    }
    Ok(())
}

fn large(py: &Bridge, setup: &Setup, cores: Cores, report: &mut Report) -> Result<()> {
    let items: Vec<f64> = (0..LARGE).map(|n| n as f64).collect();
    let mut copy = items.clone();
    let [mut copies, mut ins, mut outs] = [(); 3].map(|()| Series::default());
    for round in 0..=setup.rounds(10, 30) {
        copies.round::<Box<dyn std::error::Error>>(1, || {
            black_box(&mut copy[..]).copy_from_slice(black_box(&items));
            Ok(())
        })?;
        let begin = Instant::now();
        let own: f64 = py.call("bench_arrays", "timed_sum", (ArrayView::from(&items),)).wait()?;
        ins.add(begin.elapsed().saturating_sub(Duration::from_secs_f64(own)));
        outs.round(1, || {
            let array: Array<f64> = py.call("bench_arrays", "get", ()).wait()?;
            black_box(array.as_slice());
            Ok::<_, Box<dyn std::error::Error>>(())
        })?;
        if round == 0 {
            [&mut copies, &mut ins, &mut outs].into_iter().for_each(Series::clear);
        }
    }
    report.number(cores.name("memcpy_64_mib_ms"), copies.p50_ms());
    report.number(cores.name("array_in_64_mib_ms"), ins.p50_ms());
    report.number(cores.name("array_out_64_mib_ms"), outs.p50_ms());
    cores.ratio(report, "array_in_over_memcpy", ins.over(&copies), 1.6);
    cores.ratio(report, "array_out_over_memcpy", outs.over(&copies), 1.6);
    Ok(())
}

/// Measures calls with arrays that are in shared memory already, of three sizes, and one without any.
fn shared(py: &Bridge, setup: &Setup, cores: Cores, report: &mut Report) -> Result<()> {
    let sizes = [1_usize, 64, 512];
    let arrays = sizes.map(|mib| Ok(ArrayMut::<f64>::zeros(&[mib << 17])?.freeze()));
    let arrays = arrays.into_iter().collect::<Result<Vec<Array<f64>>>>()?;
    let mut nulls = Series::default();
    let mut series = sizes.map(|_| Series::default());
    for round in 0..=setup.rounds(10, 30) {
        nulls.round(200, || py.call::<usize>("builtins", "len", ("",)).wait().map(drop))?;
        for (array, series) in arrays.iter().zip(&mut series) {
            let len = || py.call::<usize>("builtins", "len", (array,)).wait().map(drop);
            series.round(200, len)?;
        }
        if round == 0 {
            nulls.clear();
            series.iter_mut().for_each(Series::clear);
        }
    }
    let [small, _, large] = &series;
    report.number(cores.name("array_shared_in_us"), large.p50_us());
    cores.ratio(report, "array_shared_512_over_1_mib", large.over(small), 1.2);
    cores.ratio(report, "array_shared_in_over_call", large.over(&nulls), 3.0);
    Ok(())
}

/// Measures a call with a small array, and one without.
fn small(py: &Bridge, setup: &Setup, cores: Cores, report: &mut Report) -> Result<()> {
    let items = vec![1.0; SMALL];
    let [mut nulls, mut smalls] = [(); 2].map(|()| Series::default());
    for round in 0..=setup.rounds(20, 60) {
        nulls.round(500, || py.call::<usize>("builtins", "len", ("",)).wait().map(drop))?;
        smalls.round(500, || {
            py.call::<usize>("builtins", "len", (ArrayView::from(&items),)).wait().map(drop)
        })?;
        if round == 0 {
            nulls.clear();
            smalls.clear();
        }
    }
    cores.ratio(report, "array_1_kib_over_call", smalls.over(&nulls), 1.5);
    Ok(())
}
