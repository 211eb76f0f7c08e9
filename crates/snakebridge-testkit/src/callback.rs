//! The host functions that cases hand to Python.

use serde_json::Value as Json;
use snakebridge::{Bridge, Callback, CallbackError, Value};

/// The callback that an argument stands for, if it is one.
pub(crate) fn callback(py: &Bridge, argument: &Json) -> Result<Option<Callback>, String> {
    let text = |name| argument.get(name).and_then(Json::as_str);
    if text("$") != Some("callback") {
        return Ok(None);
    }
    Ok(Some(match text("fn").unwrap_or_default() {
        "identity" => py.callback(Ok::<Value, _>),
        "double" => py.callback(|x: Value| add(&x, &x)),
        "add" => py.callback(|a: Value, b: Value| add(&a, &b)),
        "negate" => py.callback(|x: i64| Ok(-x)),
        "is_even" => py.callback(|x: i64| Ok(x % 2 == 0)),
        "length" => py.callback(|x: Value| length(&x)),
        "zero" => py.callback(|| Ok(0)),
        "upper" => py.callback(|text: String| Ok(text.to_uppercase())),
        "pair" => py.callback(|a: Value, b: Value| Ok(vec![a, b])),
        "fail" => py.callback_with_kwargs(|args: Vec<String>, _: Value| {
            let text = args.first().map_or("callback failed", String::as_str);
            Err::<(), _>(CallbackError::new(text))
        }),
        other => return Err(format!("unknown host function `{other}`")),
    }))
}

fn add(a: &Value, b: &Value) -> Result<Value, CallbackError> {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => Ok(format!("{a}{b}").into()),
        _ => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Ok((a + b).into()),
            _ => Err(CallbackError::new(format_args!("cannot add {a} and {b}"))),
        },
    }
}

fn length(value: &Value) -> Result<usize, CallbackError> {
    let length = match value {
        Value::Str(text) => Some(text.chars().count()),
        other => other.as_items().map(<[Value]>::len),
    };
    length.ok_or_else(|| CallbackError::new(format_args!("{value} has no length")))
}
