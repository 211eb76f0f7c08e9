//! Sorts in Python, by a key that Rust computes: names with numbers in them, as people would.
//!
//! ```sh
//! cargo run --release --example sort_with_key
//! ```

use snakebridge::{Bridge, Result, args};

/// A name in parts that compare as people do: numbers by their value, all else as text.
fn natural(name: &str) -> Vec<(u64, String)> {
    let mut parts: Vec<(u64, String)> = Vec::new();
    let is_digit = |c: &char| c.is_ascii_digit();
    let mut rest = name.chars().peekable();
    while rest.peek().is_some() {
        let digits: String = std::iter::from_fn(|| rest.next_if(is_digit)).collect();
        let text: String = std::iter::from_fn(|| rest.next_if(|c| !is_digit(c))).collect();
        parts.push((digits.parse().unwrap_or(u64::MAX), text.to_lowercase()));
    }
    parts
}

#[expect(clippy::print_stdout, reason = "it is what the program is for")]
fn main() -> Result<()> {
    let py = Bridge::new()?;
    let key = py.callback(|name: String| Ok(natural(&name)));
    let names = ["track10.flac", "Track2.flac", "track1.flac", "2 notes.txt", "10 notes.txt"];
    let sorted: Vec<String> = py.call("builtins", "sorted", args![names, key = &key]).wait()?;
    println!("{sorted:#?}");
    assert_eq!(
        sorted,
        ["2 notes.txt", "10 notes.txt", "track1.flac", "Track2.flac", "track10.flac"]
    );
    Ok(())
}
