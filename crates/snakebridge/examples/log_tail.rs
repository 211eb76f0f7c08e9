//! Follows a log file as it grows, through a generator in Python.
//!
//! ```sh
//! cargo run --release --example log_tail                  # a file of its own, with three lines
//! cargo run --release --example log_tail -- /var/log/syslog
//! ```

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use snakebridge::Bridge;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Gives the lines of a file, and waits for more at its end.
const TAIL: &str = r#"
import time

def tail(path):
    with open(path, "rb") as file:
        while True:
            start = file.tell()
            line = file.readline()
            if line.endswith(b"\n"):
                yield line.decode("utf-8", "replace").rstrip("\n")
            else:
                file.seek(start)
                time.sleep(0.02)
"#;

fn main() -> Result<()> {
    // A program of your own has its modules in a folder of its source.
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("log_tail.py"), TAIL)?;
    let py = Bridge::builder().module_path(folder.path()).build()?;
    match std::env::args().nth(1) {
        Some(path) => follow(&py, Path::new(&path), usize::MAX),
        None => demonstrate(&py, &folder.path().join("program.log")),
    }
}

/// Writes a log while it is read.
fn demonstrate(py: &Bridge, path: &Path) -> Result<()> {
    std::fs::write(path, "started\n")?;
    std::thread::scope(|threads| {
        let writer = threads.spawn(|| -> std::io::Result<()> {
            let mut log = OpenOptions::new().append(true).open(path)?;
            for line in ["working", "done"] {
                std::thread::sleep(Duration::from_millis(50));
                writeln!(log, "{line}")?;
            }
            Ok(())
        });
        follow(py, path, 3)?;
        writer.join().map_err(|_| "the writer panicked")??;
        Ok(())
    })
}

/// Prints lines as they come. Leaving the loop closes the generator, and so the file.
#[expect(clippy::print_stdout, reason = "it is what the program is for")]
fn follow(py: &Bridge, path: &Path, count: usize) -> Result<()> {
    let lines = py.call::<String>("log_tail", "tail", (path,)).no_timeout();
    // The next line is not waited for before this one is printed.
    for line in lines.iter().one_by_one().take(count) {
        println!("{}", line?);
    }
    Ok(())
}
