//! Values of settings.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::keys::Kind;

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// Of [`Kind::Bool`].
    Bool(bool),
    /// Of [`Kind::Bytes`] and [`Kind::Count`].
    Count(u64),
    /// Of [`Kind::List`] and [`Kind::Paths`].
    List(Vec<String>),
    /// Of [`Kind::Map`].
    Map(Vec<(String, String)>),
    /// Of [`Kind::Ports`].
    Ports(Vec<u16>),
    /// Of [`Kind::Choice`], [`Kind::Path`], [`Kind::Python`] and [`Kind::Text`].
    Text(String),
    /// Of [`Kind::Time`]. The longest there is means never.
    Time(Duration),
    /// Of [`Kind::Times`].
    Times(Vec<(String, Duration)>),
}

/// What a file or a variable has said.
pub(super) enum Raw<'a> {
    Text(&'a str),
    Number(&'a str),
    Bool(bool),
    List(Vec<Self>),
    Table(Vec<(&'a str, Self)>),
    /// Another type of TOML, by its name.
    Other(&'static str),
}

impl Value {
    /// Reads a value. `folder` is where relative paths begin. The error is what is wrong with it.
    pub(super) fn read(kind: Kind, raw: &Raw<'_>, folder: &Path) -> Result<Self, String> {
        let wrong = || format!("expected {}, found {}", kind.expected(), raw.describe());
        match (kind, raw) {
            (Kind::Bool, Raw::Bool(value)) => Ok(Self::Bool(*value)),
            (Kind::Count, Raw::Number(text)) => {
                text.replace('_', "").parse().map(Self::Count).map_err(|_| wrong())
            }
            (Kind::Bytes, Raw::Number(text) | Raw::Text(text)) => {
                bytes(text).map(Self::Count).ok_or_else(wrong)
            }
            (Kind::Time, Raw::Number(text) | Raw::Text(text)) => {
                time(text).map(Self::Time).ok_or_else(wrong)
            }
            (Kind::Choice(words), Raw::Text(text)) => match words.contains(text) {
                true => Ok(Self::Text((*text).to_owned())),
                false => Err(wrong()),
            },
            (Kind::Text, Raw::Text(text)) => Ok(Self::Text((*text).to_owned())),
            (Kind::Path, Raw::Text(text)) => Ok(Self::Text(absolute(folder, text))),
            (Kind::Python, Raw::Text(text)) => python(text, folder).map(Self::Text),
            (Kind::List | Kind::Paths, Raw::List(items)) => {
                let items: Option<Vec<&str>> = items.iter().map(Raw::text).collect();
                let items = items.ok_or_else(wrong)?.into_iter();
                Ok(Self::List(match kind {
                    Kind::Paths => items.map(|item| path_or_address(folder, item)).collect(),
                    _ => items.map(str::to_owned).collect(),
                }))
            }
            (Kind::Ports, Raw::List(items)) => {
                let ports = items.iter().map(|item| match item {
                    Raw::Number(text) | Raw::Text(text) => text.parse().ok(),
                    _ => None,
                });
                ports.collect::<Option<_>>().map(Self::Ports).ok_or_else(wrong)
            }
            (Kind::Map, Raw::Table(entries)) => {
                let entries = entries.iter().map(|(name, raw)| {
                    raw.text().map(|text| ((*name).to_owned(), text.to_owned()))
                });
                entries.collect::<Option<_>>().map(Self::Map).ok_or_else(wrong)
            }
            (Kind::Times, Raw::Table(entries)) => {
                let entries = entries.iter().map(|(name, raw)| match raw {
                    Raw::Number(text) | Raw::Text(text) => Some(((*name).to_owned(), time(text)?)),
                    _ => None,
                });
                entries.collect::<Option<_>>().map(Self::Times).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }

    /// Reads the value of an environment variable. Lists are written as in TOML, or with spaces
    /// between their items.
    pub(super) fn read_variable(kind: Kind, text: &str, folder: &Path) -> Result<Self, String> {
        let text = text.trim();
        let raw = match kind {
            Kind::Bool => match text {
                "1" | "true" | "yes" => Raw::Bool(true),
                "0" | "false" | "no" => Raw::Bool(false),
                _ => Raw::Text(text),
            },
            Kind::List | Kind::Paths | Kind::Ports if text.starts_with('[') => {
                return Self::read_toml_list(kind, text, folder);
            }
            Kind::List | Kind::Paths | Kind::Ports => {
                Raw::List(text.split_whitespace().map(Raw::Text).collect())
            }
            Kind::Count => Raw::Number(text),
            _ => Raw::Text(text),
        };
        Self::read(kind, &raw, folder)
    }

    fn read_toml_list(kind: Kind, text: &str, folder: &Path) -> Result<Self, String> {
        let list = toml::de::DeValue::parse(text);
        let list = list.map_err(|error| format!("no list of TOML: {}", error.message()))?;
        Self::read(kind, &Raw::of(list.get_ref()), folder)
    }
}

impl<'a> Raw<'a> {
    pub(super) fn of(value: &'a toml::de::DeValue<'a>) -> Self {
        use toml::de::DeValue;
        match value {
            DeValue::String(text) => Self::Text(text),
            DeValue::Integer(number) if number.radix() == 10 => Self::Number(number.as_str()),
            DeValue::Integer(_) => Self::Other("an integer that is not decimal"),
            DeValue::Float(number) => Self::Number(number.as_str()),
            DeValue::Boolean(value) => Self::Bool(*value),
            DeValue::Datetime(_) => Self::Other("a date or time"),
            DeValue::Array(items) => {
                Self::List(items.iter().map(|item| Self::of(item.get_ref())).collect())
            }
            DeValue::Table(table) => {
                let entries = table.iter();
                let entries =
                    entries.map(|(name, item)| (&**name.get_ref(), Self::of(item.get_ref())));
                Self::Table(entries.collect())
            }
        }
    }

    fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Text(text) => format!("the text `{text}`"),
            Self::Number(text) => format!("the number {text}"),
            Self::Bool(value) => format!("{value}"),
            Self::List(items) if items.iter().all(|item| item.text().is_some()) => {
                "a list of texts".to_owned()
            }
            Self::List(_) => "a list of something else".to_owned(),
            Self::Table(_) => "a table".to_owned(),
            Self::Other(name) => (*name).to_owned(),
        }
    }
}

fn python(text: &str, folder: &Path) -> Result<String, String> {
    use snakebridge_worker::interpreter::Wanted;
    match text.parse::<Wanted>() {
        Ok(Wanted::Path(_)) => Ok(absolute(folder, text)),
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn absolute(folder: &Path, path: &str) -> String {
    folder.join(path).to_string_lossy().into_owned()
}

fn path_or_address(folder: &Path, text: &str) -> String {
    match text.contains("://") {
        true => text.to_owned(),
        false => absolute(folder, text),
    }
}

fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let unit: u64 = match text[end..].trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    text[..end].replace('_', "").parse::<u64>().ok()?.checked_mul(unit)
}

fn time(text: &str) -> Option<Duration> {
    if text == "never" {
        return Some(Duration::MAX);
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = match text[end..].trim_start() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(text[..end].parse::<f64>().ok()? * unit).ok()
}

/// As it would be written in a file.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| toml::Value::from(text).to_string();
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Count(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(&text(value)),
            Self::Time(value) => show_time(*value, f),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| text(item)).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Ports(ports) => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                write!(f, "[{}]", ports.join(", "))
            }
            Self::Map(entries) => {
                let entries: Vec<String> = entries
                    .iter()
                    .map(|(name, value)| format!("{name} = {}", text(value)))
                    .collect();
                write!(f, "{{ {} }}", entries.join(", "))
            }
            Self::Times(entries) => {
                f.write_str("{ ")?;
                for (place, (name, time)) in entries.iter().enumerate() {
                    let separator = if place == 0 { "" } else { ", " };
                    write!(f, "{separator}{name} = ")?;
                    show_time(*time, f)?;
                }
                f.write_str(" }")
            }
        }
    }
}

fn show_time(time: Duration, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match (time, time.subsec_millis()) {
        (Duration::MAX, _) => f.write_str("\"never\""),
        (_, 0) => write!(f, "\"{}s\"", time.as_secs()),
        _ => write!(f, "\"{}ms\"", time.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_bytes() {
        for (text, millis) in [("500ms", 500), ("2", 2000), ("1.5s", 1500), ("2m", 120_000)] {
            assert_eq!(time(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(time("never"), Some(Duration::MAX));
        for text in ["", "s", "2 weeks", "-1s", "1e400"] {
            assert_eq!(time(text), None, "{text}");
        }
        assert_eq!(bytes("2GiB"), Some(2 << 30));
        assert_eq!(bytes("1_000"), Some(1000));
        for text in ["", "-1", "2 PB", "99999999999GiB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn variables() {
        let read = |kind, text| Value::read_variable(kind, text, Path::new("/folder"));
        let list =
            |items: &[&str]| Value::List(items.iter().map(|&item| item.to_owned()).collect());
        assert_eq!(read(Kind::List, "numpy>=2 pandas"), Ok(list(&["numpy>=2", "pandas"])));
        assert_eq!(read(Kind::List, "['a >= 2, < 3', 'b']"), Ok(list(&["a >= 2, < 3", "b"])));
        assert_eq!(
            read(Kind::Paths, "lib https://example.org/simple"),
            Ok(list(&["/folder/lib", "https://example.org/simple"]))
        );
        assert_eq!(read(Kind::Ports, "80 443"), Ok(Value::Ports(vec![80, 443])));
        assert_eq!(read(Kind::Ports, "[80]"), Ok(Value::Ports(vec![80])));
        assert!(read(Kind::Ports, "70000").unwrap_err().contains("a list of TCP ports"));
        assert_eq!(read(Kind::Bool, "1"), Ok(Value::Bool(true)));
        assert_eq!(
            read(Kind::Python, "env/bin/python"),
            Ok(Value::Text("/folder/env/bin/python".into()))
        );
        assert!(read(Kind::Bool, "maybe").unwrap_err().contains("found the text `maybe`"));
        assert!(read(Kind::List, "[1]").unwrap_err().contains("a list of something else"));
        assert!(read(Kind::Python, ">=x").unwrap_err().contains("no range"));
    }

    #[test]
    fn values_are_shown_as_they_are_written() {
        let table = "a = \"x\\\"y\"\nb = [\"1\", \"2\"]\n";
        let parsed = toml::de::DeTable::parse(table).unwrap();
        let shown: Vec<String> = [("a", Kind::Text), ("b", Kind::List)]
            .map(|(name, kind)| {
                let raw = Raw::of(parsed.get_ref().get(name).unwrap().get_ref());
                Value::read(kind, &raw, Path::new("/")).unwrap().to_string()
            })
            .into();
        assert_eq!(shown, ["'x\"y'", "[\"1\", \"2\"]"]);
        assert_eq!(Value::Time(Duration::from_secs(90)).to_string(), "\"90s\"");
    }
}
