//! Sizes of files, in lines of code: without tests, comments and blank lines.

use crate::Problems;
use crate::workspace::File;

/// From here on a file is reported.
const LARGE: usize = 400;
/// From here on it fails.
const TOO_LARGE: usize = 600;
/// Files that may be larger, each with its reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

pub(crate) fn check(files: &[File]) -> Problems {
    let mut problems = Problems::new();
    for (listed, _) in EXCEPTIONS {
        if !files.iter().any(|file| file.name == *listed) {
            problems.push(format!("{listed} does not exist, and needs no exception"));
        }
    }
    for File { name, text } in files {
        let (Some(text), false) = (text, is_test(name)) else {
            continue;
        };
        let lines = match name.rsplit('.').next() {
            Some("rs") => rust_lines(text),
            Some("py") => python_lines(text),
            _ => continue,
        };
        let exception = EXCEPTIONS.iter().find(|(listed, _)| listed == name);
        match (lines > TOO_LARGE, exception) {
            (true, None) => problems
                .push(format!("{name} has {lines} lines of code, and {TOO_LARGE} is the limit")),
            (false, Some(_)) => problems
                .push(format!("{name} has {lines} lines of code, and needs no exception any more")),
            (true, Some((_, reason))) => println!("note: {name} has {lines} lines ({reason})"),
            (false, None) if lines > LARGE => println!("note: {name} has {lines} lines of code"),
            (false, None) => {}
        }
    }
    problems
}

fn is_test(name: &str) -> bool {
    ["tests", "benches", "examples"]
        .iter()
        .any(|folder| name.split('/').any(|part| part == *folder))
        || name.ends_with("/tests.rs")
}

fn rust_lines(text: &str) -> usize {
    let code = |line: &&str| !line.is_empty() && !line.starts_with("//");
    let mut lines = text.lines().map(str::trim).filter(code).peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        // Tests inside a file are at its end.
        let is_block = |next: &&str| next.starts_with("mod ") && next.ends_with('{');
        if line == "#[cfg(test)]" && lines.peek().is_some_and(is_block) {
            break;
        }
        count += 1;
    }
    count
}

fn python_lines(text: &str) -> usize {
    let mut in_docstring = false;
    let mut count = 0;
    for line in text.lines().map(str::trim) {
        let quotes = line.matches("\"\"\"").count();
        if in_docstring || line.starts_with("\"\"\"") {
            in_docstring ^= quotes % 2 == 1;
        } else if !line.is_empty() && !line.starts_with('#') {
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_counts() {
        let rust = "//! Doc.\n\nfn f() {\n    // Why.\n    g();\n}\n#[cfg(test)]\nmod vectors;\n\
                    #[cfg(test)]\nmod tests {\n    fn t() {}\n}\n";
        assert_eq!(rust_lines(rust), 5);
        let python =
            "\"\"\"Doc.\n\nMore.\n\"\"\"\n\n# Why.\ndef f():\n    \"\"\"Doc.\"\"\"\n    g()\n";
        assert_eq!(python_lines(python), 2);
    }

    #[test]
    fn tests_and_examples_are_no_code() {
        assert!(is_test("crates/a/tests/b.rs") && is_test("crates/a/src/b/tests.rs"));
        assert!(!is_test("crates/a/src/contests.rs"));
    }
}
