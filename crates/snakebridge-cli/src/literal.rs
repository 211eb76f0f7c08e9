//! Arguments as they are written on the command line.

use snakebridge::types::BigInt;
use snakebridge::value::Dict;
use snakebridge::{Bridge, ErrorKind, Result, Value};

/// The value of an argument: JSON, else a Python literal, else the text as it stands.
pub(crate) fn value(py: &Bridge, text: &str) -> Result<Value> {
    if let Ok(json) = serde_json::from_str(text) {
        return Ok(from_json(json));
    }
    match py.call("ast", "literal_eval", (text,)).wait() {
        Err(error) if error.kind() == ErrorKind::Python => Ok(Value::from(text)),
        outcome => outcome,
    }
}

fn from_json(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::None,
        serde_json::Value::Bool(value) => Value::from(value),
        serde_json::Value::Number(number) => from_number(&number),
        serde_json::Value::String(text) => Value::from(text),
        serde_json::Value::Array(items) => items.into_iter().map(from_json).collect(),
        serde_json::Value::Object(entries) => {
            let entries = entries.into_iter().map(|(key, value)| (key, from_json(value)));
            Value::Dict(entries.collect::<Dict>())
        }
    }
}

/// As Python's json has it: digits alone are an int of any size, all else is a float.
fn from_number(number: &serde_json::Number) -> Value {
    let digits = number.to_string();
    match digits.parse::<BigInt>() {
        Ok(int) => Value::from(int),
        // What is too large for a float is infinite.
        Err(_) => Value::from(digits.parse().unwrap_or(f64::INFINITY)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_as_python_reads_it() {
        for (text, shown) in [
            ("16", "16"),
            ("-0", "0"),
            ("4.0", "4.0"),
            ("-0.0", "-0.0"),
            ("1e3", "1000.0"),
            ("1e999", "inf"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("0.1", "0.1"),
            (r#"{"b": [null, true, "x"], "a": {}}"#, "{'b': [None, True, 'x'], 'a': {}}"),
        ] {
            let json = serde_json::from_str(text).unwrap();
            assert_eq!(from_json(json).to_string(), shown, "{text}");
        }
    }
}
