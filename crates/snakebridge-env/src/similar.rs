//! What somebody may have meant.

/// The most similar of the known names, if one is similar enough.
pub(crate) fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.replace('_', "-").to_ascii_lowercase();
    let name = plain(name);
    known
        .into_iter()
        .map(|known| (distance(&name, &plain(known)), known))
        // A third of the name may be wrong.
        .filter(|(distance, known)| distance * 3 <= known.len().max(name.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// How many letters must be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (line, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = line + 1;
        for (column, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != *y);
            corner = row[column + 1];
            row[column + 1] = changed.min(corner + 1).min(row[column] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant() {
        let known = ["packages", "python", "memory-limit", "index.url"];
        assert_eq!(similar("pakages", known), Some("packages"));
        assert_eq!(similar("memory_limit", known), Some("memory-limit"));
        assert_eq!(similar("Python", known), Some("python"));
        assert_eq!(similar("colour", known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
