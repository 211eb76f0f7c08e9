//! A report about bike counts, made by Python's standard library and written in Rust.
//!
//! Run it with `cargo run --release -p snakebridge --example quickstart`. The counts are made up.

#![expect(clippy::print_stdout, reason = "it is a report")]

use serde::Deserialize;
use serde::de::DeserializeOwned;
use snakebridge::{Bridge, Ref, Result, args};

const COUNTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/bikes.csv");

/// A row of a query. Python's tuples are read into structs, in the order of the fields.
#[derive(Deserialize)]
struct Day {
    date: String,
    weekday: usize,
    bikes: u32,
    temperature: f64,
}

#[derive(Deserialize)]
struct Month {
    name: String,
    days: u32,
    bikes: f64,
    wet_days: u32,
}

fn main() -> Result<()> {
    // Starts a Python process of its own; it ends with the bridge.
    let py = Bridge::new()?;
    let python = py.ready()?;
    println!("Read by Python {}: {}", python.version, python.origin);

    let db = load(&py)?;
    totals(&py, &db)?;
    months(&db)?;
    extremes(&db)?;
    notes(&py, &db)?;
    a_month_without_counts(&py, &db)
}

/// Reads the file with `csv` and puts it into a database of `sqlite3`. None of the rows comes over
/// here: a `Ref` stands for an object that stays in Python, and can be an argument.
fn load(py: &Bridge) -> Result<Ref> {
    let file: Ref = py.call("builtins", "open", args![COUNTS, newline = ""]).wait()?;
    let rows: Ref = py.call("csv", "DictReader", (&file,)).wait()?;
    let db: Ref = py.call("sqlite3", "connect", (":memory:",)).wait()?;
    let columns = "date TEXT, bikes INTEGER, temperature REAL, rain REAL, note TEXT";
    let create = format!("CREATE TABLE day ({columns})");
    db.method::<Ref>("execute", (create,)).wait()?;
    let insert = "INSERT INTO day VALUES (:date, :bikes, :temperature, :rain, :note)";
    db.method::<Ref>("executemany", (insert, &rows)).wait()?;
    file.method::<()>("close", ()).wait()?;
    Ok(db)
}

/// Runs a query and reads its rows into whatever a row is to be.
fn query<T: DeserializeOwned + 'static>(db: &Ref, sql: &str) -> Result<Vec<T>> {
    let cursor: Ref = db.method("execute", (sql,)).wait()?;
    cursor.method("fetchall", ()).wait()
}

fn totals(py: &Bridge, db: &Ref) -> Result<()> {
    let counts: Vec<(u32,)> = query(db, "SELECT bikes FROM day")?;
    let counts: Vec<u32> = counts.into_iter().map(|(bikes,)| bikes).collect();
    let mean: f64 = py.call("statistics", "fmean", (&counts,)).wait()?;
    let (low, middle, high): (f64, f64, f64) =
        py.call("statistics", "quantiles", args![counts, n = 4]).wait()?;
    println!("\n{} days, {mean:.0} bikes a day on average", counts.len());
    println!("half of the days lie between {low:.0} and {high:.0}, half below {middle:.0}");
    Ok(())
}

fn months(db: &Ref) -> Result<()> {
    let sql = "SELECT substr(date, 1, 7), count(*), avg(bikes), sum(rain > 0)
               FROM day GROUP BY 1 ORDER BY 1";
    println!("\nmonth    days  wet  bikes a day");
    for month in query::<Month>(db, sql)? {
        let bar = "#".repeat((month.bikes / 50.0) as usize);
        let Month { name, days, bikes, wet_days } = month;
        println!("{name}  {days:4} {wet_days:4}  {bikes:5.0} {bar}");
    }
    Ok(())
}

fn extremes(db: &Ref) -> Result<()> {
    const NAMES: [&str; 7] =
        ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    println!();
    for (word, order) in [("most", "DESC"), ("fewest", "ASC")] {
        let sql = format!(
            "SELECT date, CAST(strftime('%w', date) AS INTEGER), bikes, temperature
             FROM day ORDER BY bikes {order} LIMIT 1"
        );
        for day in query::<Day>(db, &sql)? {
            let name = NAMES.get(day.weekday).unwrap_or(&"?");
            println!(
                "{word} bikes: {} on {name}, {}, at {} degrees",
                day.bikes, day.date, day.temperature
            );
        }
    }
    let by_rain: Vec<(u8, f64)> = query(db, "SELECT rain > 0, avg(bikes) FROM day GROUP BY 1")?;
    if let [(_, dry), (_, wet)] = by_rain[..] {
        println!("rain keeps {:.0} % of the cyclists at home", 100.0 * (1.0 - wet / dry));
    }
    Ok(())
}

/// What the notes say, with `re` and `collections`.
fn notes(py: &Bridge, db: &Ref) -> Result<()> {
    let notes: Vec<(String,)> = query(db, "SELECT note FROM day WHERE note != ''")?;
    let text: Vec<&str> = notes.iter().map(|(note,)| note.as_str()).collect();
    let pattern: Ref = py.call("re", "compile", (r"sensor off (\d+) h",)).wait()?;
    let hours: Vec<String> = pattern.method("findall", (text.join("\n"),)).wait()?;
    let all: u32 = hours.iter().filter_map(|hour| hour.parse::<u32>().ok()).sum();
    println!("\nthe sensor was off on {} days, for {all} hours in all", hours.len());

    let others: Vec<&str> = text.into_iter().filter(|note| !note.starts_with("sensor")).collect();
    let counter: Ref = py.call("collections", "Counter", (others,)).wait()?;
    let common: Vec<(String, u32)> = counter.method("most_common", (3,)).wait()?;
    for (note, times) in common {
        println!("{times} times: {note}");
    }
    Ok(())
}

/// An exception of Python is an error like any other, with all that Python knows about it.
fn a_month_without_counts(py: &Bridge, db: &Ref) -> Result<()> {
    let counts: Vec<(u32,)> = query(db, "SELECT bikes FROM day WHERE date >= '2024-12'")?;
    match py.call::<f64>("statistics", "fmean", (counts,)).wait() {
        Ok(mean) => println!("\nDecember: {mean:.0} bikes a day"),
        Err(error) => match error.python() {
            Some(raised) if raised.is_instance("statistics.StatisticsError") => {
                println!("\nDecember: no counts ({})", raised.message());
            }
            _ => return Err(error),
        },
    }
    Ok(())
}
