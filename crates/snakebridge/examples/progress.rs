//! A progress bar for work in Python, which reports through a callback.
//!
//! ```sh
//! cargo run --release --example progress            # a second's work at most
//! cargo run --release --example progress -- 2000000 # more
//! ```

use indicatif::{ProgressBar, ProgressStyle};
use snakebridge::{Bridge, args};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Long work, as it is without thinking of progress bars: it takes any function that wants to know.
const WORK: &str = r#"
def count_primes(limit, report=lambda done: None):
    composite = bytearray(limit)
    primes = 0
    for number in range(2, limit):
        if number % 5000 == 0:
            report(number)
        if not composite[number]:
            primes += 1
            composite[number * number::number] = b"\1" * len(range(number * number, limit, number))
    report(limit)
    return primes
"#;

#[expect(clippy::print_stdout, reason = "it is what the program is for")]
fn main() -> Result<()> {
    // A program of your own has its modules in a folder of its source.
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("work.py"), WORK)?;
    let py = Bridge::builder().module_path(folder.path()).build()?;
    let limit: u64 = std::env::args().nth(1).as_deref().unwrap_or("200000").parse()?;

    // Drawn on a terminal only.
    let bar = ProgressBar::new(limit);
    bar.set_style(ProgressStyle::with_template("{bar:40} {percent:>3} %, {eta} left")?);
    let shown = bar.clone();
    let report = py.callback(move |done: u64| {
        shown.set_position(done);
        Ok(())
    });
    let primes: u64 =
        py.call("work", "count_primes", args![limit, report = &report]).no_timeout().wait()?;
    assert_eq!(bar.position(), limit);
    bar.finish_and_clear();
    println!("{primes} primes below {limit}");
    Ok(())
}
