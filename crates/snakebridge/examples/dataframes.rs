//! Declares pandas, and has it: the first run makes an environment, all others find it there.
//!
//! ```sh
//! cargo run --release --features env --example dataframes
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;
use snakebridge::env::{Options, Progress};
use snakebridge::{Bridge, Ref, Result, args};

/// What is asked for of each month.
#[derive(Debug, Deserialize)]
struct Month {
    mean: f64,
    max: i64,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it is what the program is for")]
fn main() -> Result<()> {
    let progress = Progress::new(|event| eprintln!("{event}"));
    let py = Bridge::builder()
        .python(">=3.10")
        .packages(["numpy", "pandas>=2"])
        .environments(Options::new().progress(progress))
        .build()?;

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/bikes.csv");
    let bikes: Ref =
        py.call("pandas", "read_csv", args![file, parse_dates = vec!["date"]]).wait()?;
    let month: Ref =
        bikes.item::<Ref>("date").wait()?.attr::<Ref>("dt").wait()?.attr("month").wait()?;
    let by_month: Ref = bikes.method("groupby", (month,)).wait()?;
    let counts: Ref = by_month.item("bikes").wait()?;
    let table: Ref = counts.method("agg", (vec!["mean", "max"],)).wait()?;
    let months: BTreeMap<u32, Month> = table.method("to_dict", args![orient = "index"]).wait()?;
    for (number, month) in months {
        println!("month {number}: {:.1} bikes a day, {} at most", month.mean, month.max);
    }
    Ok(())
}
