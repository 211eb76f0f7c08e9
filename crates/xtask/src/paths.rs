//! Paths that exist on one machine only.

use crate::Problems;
use crate::workspace::File;

/// Where files of one machine lie. Put together, so that this file does not name them.
const MACHINE: &[&str] = &[concat!("/", "work"), concat!("/", "root")];
/// People that documents and tests make up.
const MADE_UP: &[&str] = &["ada", "user"];

pub(crate) fn check(files: &[File]) -> Problems {
    let mut problems = Problems::new();
    for File { name, text } in files {
        for (number, line) in text.iter().flat_map(|text| text.lines()).enumerate() {
            if is_of_one_machine(line) {
                problems.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    problems
}

fn is_of_one_machine(line: &str) -> bool {
    let homes = rests(line, concat!("/", "home", "/"));
    let mut people = homes.map(|rest| rest.split(|c: char| !is_part_of_name(c)).next());
    MACHINE.iter().any(|folder| rests(line, folder).any(|rest| !rest.starts_with(is_part_of_name)))
        || people.any(|person| person.is_some_and(|p| !p.is_empty() && !MADE_UP.contains(&p)))
}

/// What follows a folder, wherever a path begins with it.
fn rests<'a>(line: &'a str, folder: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(folder)
        .filter(|(at, _)| !line[..*at].ends_with(|c| is_part_of_name(c) || ".~}*".contains(c)))
        .map(|(at, _)| &line[at + folder.len()..])
}

fn is_part_of_name(c: char) -> bool {
    c.is_alphanumeric() || "-_".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_one_machine() {
        let slash = "/";
        for path in ["root/x", "work", "work/a", "home/someone/x", "home/b"] {
            assert!(is_of_one_machine(&format!("cd \"{slash}{path}\"")), "{path}");
        }
        for path in ["rooted/x", "works", "home/ada/x", "home/user", "home/{name}", "tmp/work"] {
            assert!(!is_of_one_machine(&format!("cd {slash}{path}")), "{path}");
        }
    }
}
