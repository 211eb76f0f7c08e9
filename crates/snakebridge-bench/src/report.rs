//! The figures, and what they are held against.

use std::fmt;

use serde_json::{Map, Number, Value};

/// All that was measured, in the order in which it was.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<Figure>,
}

#[derive(Debug)]
struct Figure {
    name: String,
    value: Value,
    bar: Option<Bar>,
}

#[derive(Clone, Copy, Debug)]
enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

impl Report {
    /// Adds a number.
    pub(crate) fn number(&mut self, name: impl Into<String>, value: f64) {
        self.add(name.into(), rounded(value), None);
    }

    /// Adds a number that must not exceed a bar.
    pub(crate) fn barred(&mut self, name: impl Into<String>, value: f64, bar: f64) {
        self.add(name.into(), rounded(value), Some(Bar::AtMost(bar)));
    }

    /// Adds a number that a bar must not exceed.
    pub(crate) fn at_least(&mut self, name: impl Into<String>, value: f64, bar: f64) {
        self.add(name.into(), rounded(value), Some(Bar::AtLeast(bar)));
    }

    /// Adds anything else.
    pub(crate) fn fact(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.add(name.into(), value.into(), None);
    }

    /// One object: names to values, and the bars under `bars`.
    pub(crate) fn to_json(&self) -> Value {
        let figures = self.figures.iter();
        let bars: Map<String, Value> = figures
            .clone()
            .filter_map(|figure| Some((figure.name.clone(), rounded(figure.bar?.value()))))
            .collect();
        let mut out: Map<String, Value> =
            figures.map(|figure| (figure.name.clone(), figure.value.clone())).collect();
        out.insert("bars".to_owned(), bars.into());
        out.into()
    }

    /// Whether all bars are held, of those that were measured.
    pub(crate) fn is_ok(&self) -> bool {
        self.figures.iter().all(|figure| figure.is_ok() != Some(false))
    }

    fn add(&mut self, name: String, value: Value, bar: Option<Bar>) {
        self.figures.push(Figure { name, value, bar });
    }
}

impl Figure {
    /// Whether the bar is held, where there is one. A figure that is no number does not hold it.
    fn is_ok(&self) -> Option<bool> {
        let bar = self.bar?;
        Some(self.value.as_f64().is_some_and(|value| match bar {
            Bar::AtMost(bar) => value <= bar,
            Bar::AtLeast(bar) => value >= bar,
        }))
    }
}

impl Bar {
    fn value(self) -> f64 {
        match self {
            Self::AtMost(bar) | Self::AtLeast(bar) => bar,
        }
    }
}

/// A table for people: name, value, bar, and whether it is held.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
        for figure in &self.figures {
            let value = match &figure.value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            write!(f, "{:width$}  {value:>12}", figure.name)?;
            if let (Some(bar), Some(ok)) = (figure.bar, figure.is_ok()) {
                let verdict = if ok { "ok" } else { "missed" };
                let word = if matches!(bar, Bar::AtMost(_)) { "<=" } else { ">=" };
                write!(f, "  bar {word} {:<9}  {verdict}", bar.value())?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Four significant digits are more than a shared machine gives; whole numbers stay as they are.
fn rounded(value: f64) -> Value {
    let digits = if value.abs() < 1000.0 { 1000.0 } else { 1.0 };
    let short = (value * digits).round() / digits;
    match Number::from_f64(short) {
        Some(_) if short.fract() == 0.0 && short.abs() < 9e15 => (short as i64).into(),
        Some(number) => number.into(),
        None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_held_up_to_its_value() {
        let mut report = Report::default();
        report.barred("held", 1.9, 1.9);
        assert!(report.is_ok());
        report.barred("unknown", f64::NAN, 1.0);
        assert!(!report.is_ok());
    }

    #[test]
    fn the_object_has_figures_and_bars() {
        let mut report = Report::default();
        report.number("calls", 123_456.7);
        report.barred("ratio", 1.234_56, 1.9);
        report.fact("fine", true);
        let expected = r#"{"calls":123457,"ratio":1.235,"fine":true,"bars":{"ratio":1.9}}"#;
        assert_eq!(report.to_json().to_string(), expected);
    }
}
