//! Passwords in addresses, which are nobody's to see.

/// A text whose addresses are without names and passwords: `https://****@example.org/simple`.
#[must_use]
pub fn redacted(text: &str) -> String {
    let mut parts = text.split("//");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(ends_host).unwrap_or(part.len());
        // A password that is not written as it should be may have an `@` in it.
        let shown = part[..end].rfind('@').map(|at| &part[at..]);
        out.push_str("//");
        out.push_str(if shown.is_some() { HIDDEN } else { "" });
        out.push_str(shown.unwrap_or(part));
    }
    out
}

fn ends_host(c: char) -> bool {
    c.is_whitespace() || "/?#'\"`,;".contains(c)
}

const HIDDEN: &str = "****";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_are_hidden() {
        for (text, shown) in [
            ("numpy>=2", "numpy>=2"),
            ("https://example.org/a@b", "https://example.org/a@b"),
            ("https://me:secret@example.org/simple", "https://****@example.org/simple"),
            (
                "pkg @ git+https://token@example.org/x@main",
                "pkg @ git+https://****@example.org/x@main",
            ),
            ("https://me:se@cret@example.org", "https://****@example.org"),
            (
                "looking at https://a:b@c.org, `https://d@e.org` and file:///f@g",
                "looking at https://****@c.org, `https://****@e.org` and file:///f@g",
            ),
            ("", ""),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }
}
