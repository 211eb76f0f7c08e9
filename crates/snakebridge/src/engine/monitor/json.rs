//! Writing JSON: a snapshot has so few forms that no library is needed.

use std::fmt::{self, Display, Write as _};

/// Text as JSON has it.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for each in self.0.chars() {
            match each {
                '"' | '\\' => write!(f, "\\{each}")?,
                control if control < ' ' => write!(f, "\\u{:04x}", u32::from(control))?,
                plain => f.write_char(plain)?,
            }
        }
        f.write_char('"')
    }
}

pub(super) fn option(value: Option<impl Display>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

pub(super) fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_it_was_written() {
        for text in ["", "plain", "\"quoted\" \\ \u{1}\n\t", "ä\u{7f}\u{1F40D}"] {
            let read: String = serde_json::from_str(&Text(text).to_string()).unwrap();
            assert_eq!(read, text);
        }
    }
}
