//! Whether an outcome is what a step expects.

use regex::Regex;
use serde_json::{Map, Value as Json};
use snakebridge::{Error, ErrorKind, PythonError, Value};

use crate::value::{Env, decode, find, same};

/// What came of a step.
#[derive(Debug)]
pub(crate) enum Outcome {
    Value(Value),
    Error(Box<Error>),
    /// A stream has no more items.
    End,
    /// The terminal that panics did: its text.
    Panic(String),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(value) => f.write_str(&show(value)),
            Self::End => f.write_str("the end of the stream"),
            Self::Error(error) => write!(f, "error {:?}: {error}", error.kind()),
            Self::Panic(text) => write!(f, "panic: {text}"),
        }
    }
}

type Check = Result<(), String>;

/// Checks an outcome; binds what the expectation names.
pub(crate) fn check(expect: &Json, outcome: &Outcome, env: &mut Env) -> Check {
    let Some(expect) = expect.as_object() else { return Err("an expectation is no object".into()) };
    if let Some(options) = expect.get("any_of").and_then(Json::as_array) {
        let mut problems = Vec::new();
        for option in options {
            match check(option, outcome, env) {
                Ok(()) => return Ok(()),
                Err(problem) => problems.push(problem),
            }
        }
        return Err(problems.join(" / "));
    }
    if let Some(want) = expect.get("error").and_then(Json::as_object) {
        return check_error(want, outcome);
    }
    if expect.get("end") == Some(&Json::Bool(true)) {
        return match outcome {
            Outcome::End => Ok(()),
            _ => Err(format!("expected the end of the stream, got {outcome}")),
        };
    }
    let Outcome::Value(got) = outcome else { return Err(format!("unexpected {outcome}")) };
    let (name, body) = expect.iter().next().ok_or("an expectation is empty")?;
    match name.as_str() {
        "value" => check_value(body, got, env, "result"),
        "ref" | "stream" => {
            check_ref(name, body.as_object().ok_or("no object")?, got, env, "result")
        }
        "type" => check_type(body, got, "result"),
        "match" => check_match(body, got, "result"),
        "any" => Ok(()),
        other => Err(format!("unknown expectation `{other}`")),
    }
}

fn check_value(want: &Json, got: &Value, env: &mut Env, place: &str) -> Check {
    match (want, want.get("$").and_then(Json::as_str)) {
        (Json::Object(fields), Some(tag @ ("ref" | "stream"))) => {
            check_ref(tag, fields, got, env, place)
        }
        (_, Some("any")) => Ok(()),
        (_, Some("type")) => check_type(&want["name"], got, place),
        (_, Some("match")) => check_match(&want["re"], got, place),
        (_, Some("dict")) => check_dict(want, got, env, place),
        (_, Some("tuple")) => match got {
            Value::Tuple(items) => check_items(&want["items"], items, env, place),
            _ => Err(differs(place, want, got)),
        },
        (Json::Array(_), None) => match got {
            Value::List(items) => check_items(want, items, env, place),
            _ => Err(differs(place, want, got)),
        },
        (Json::Object(fields), None) => {
            let Value::Dict(dict) = got else { return Err(differs(place, want, got)) };
            if dict.len() != fields.len() {
                return Err(differs(place, want, got));
            }
            for (key, item) in fields {
                let found = find(dict, &key.as_str().into())
                    .ok_or_else(|| format!("{place}: no key {key:?} in {}", show(got)))?;
                check_value(item, found, env, &format!("{place}[{key:?}]"))?;
            }
            Ok(())
        }
        _ if same(&decode(want, env)?, got) => Ok(()),
        _ => Err(differs(place, want, got)),
    }
}

fn check_items(want: &Json, got: &[Value], env: &mut Env, place: &str) -> Check {
    let want = want.as_array().ok_or("items are no list")?;
    if want.len() != got.len() {
        return Err(format!("{place}: expected {} items, got {}", want.len(), got.len()));
    }
    for (index, (want, got)) in want.iter().zip(got).enumerate() {
        check_value(want, got, env, &format!("{place}[{index}]"))?;
    }
    Ok(())
}

fn check_dict(want: &Json, got: &Value, env: &mut Env, place: &str) -> Check {
    let pairs = want["items"].as_array().ok_or("items are no list")?;
    let dict = match got {
        Value::Dict(dict) if dict.len() == pairs.len() => dict,
        _ => return Err(differs(place, want, got)),
    };
    let ordered = want["ordered"] == true;
    for (index, pair) in pairs.iter().enumerate() {
        let key = decode(&pair[0], env)?;
        let found = match ordered {
            true => dict.iter().nth(index).filter(|(found, _)| same(found, &key)).map(|(_, v)| v),
            false => find(dict, &key),
        };
        let found = found.ok_or_else(|| format!("{place}: no key {key} in {}", show(got)))?;
        check_value(&pair[1], found, env, &format!("{place}[{key}]"))?;
    }
    Ok(())
}

fn check_ref(
    tag: &str,
    want: &Map<String, Json>,
    got: &Value,
    env: &mut Env,
    place: &str,
) -> Check {
    let names = names(want.get("type"));
    let fits = got.as_python_ref().is_some_and(|object| {
        object.is_stream() == (tag == "stream")
            && (names.is_empty() || names.contains(&object.type_name().to_owned()))
    });
    if !fits {
        return Err(format!("{place}: expected a {tag} {names:?}, got {}", show(got)));
    }
    if let Some(name) = want.get("as").and_then(Json::as_str) {
        env.insert(name.to_owned(), got.clone());
    }
    Ok(())
}

fn check_type(want: &Json, got: &Value, place: &str) -> Check {
    match want.as_str() {
        Some(name) if !got.is_ref() && got.type_name() == name => Ok(()),
        _ => Err(format!("{place}: expected a value of type {want}, got {}", show(got))),
    }
}

fn check_match(want: &Json, got: &Value, place: &str) -> Check {
    let pattern = want.as_str().ok_or("a pattern is no text")?;
    let pattern = Regex::new(pattern).map_err(|error| error.to_string())?;
    match got.as_str() {
        Some(text) if pattern.is_match(text) => Ok(()),
        _ => Err(format!("{place}: {} does not match {want}", show(got))),
    }
}

fn check_error(want: &Map<String, Json>, outcome: &Outcome) -> Check {
    let kind = want.get("kind").and_then(Json::as_str).unwrap_or("python");
    let wrong = || Err(format!("expected error {}, got {outcome}", Json::Object(want.clone())));
    match outcome {
        Outcome::Value(_) | Outcome::End => wrong(),
        Outcome::Panic(text) => {
            let message = want.get("message").and_then(Json::as_str).unwrap_or_default();
            let named = names(want.get("type")).iter().any(|name| text.contains(name));
            if kind == "python" && named && text.contains(message) { Ok(()) } else { wrong() }
        }
        Outcome::Error(error) => {
            let fits = match kind {
                "python" => error.kind() == ErrorKind::Python,
                "timeout" => error.kind() == ErrorKind::Timeout,
                "helper_not_found" => error.kind() == ErrorKind::HelperNotFound,
                "session_mismatch" => error.kind() == ErrorKind::SessionMismatch,
                "ref_not_found" => matches!(
                    error.kind(),
                    ErrorKind::RefReleased | ErrorKind::RefLost | ErrorKind::SessionClosed
                ),
                _ => false,
            };
            match (fits, error.python()) {
                (true, Some(python)) => check_python(want, python),
                (true, None) => Ok(()),
                (false, _) => wrong(),
            }
        }
    }
}

fn check_python(want: &Map<String, Json>, got: &PythonError) -> Check {
    let message = want.get("message").and_then(Json::as_str).unwrap_or_default();
    let named = names(want.get("type")).iter().any(|name| name == got.type_name());
    if !named || !got.message().contains(message) {
        return Err(format!("expected error {}, got {got}", Json::Object(want.clone())));
    }
    for base in names(want.get("is_a")) {
        if !got.is_instance(&base) {
            return Err(format!("{got} is no {base}, but {:?}", got.bases()));
        }
    }
    for (link, inner) in [("cause", got.cause()), ("context", got.context())] {
        if let Some(want) = want.get(link).and_then(Json::as_object) {
            check_python(want, inner.ok_or_else(|| format!("{got} has no {link}"))?)?;
        }
    }
    Ok(())
}

/// One name, a list of them, or none.
fn names(json: Option<&Json>) -> Vec<String> {
    let text = |json: &Json| json.as_str().map(str::to_owned);
    match json {
        Some(Json::Array(names)) => names.iter().filter_map(text).collect(),
        Some(name) => text(name).into_iter().collect(),
        None => Vec::new(),
    }
}

fn differs(place: &str, want: &Json, got: &Value) -> String {
    format!("{place}: expected {want}, got {}", show(got))
}

fn show(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(300) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "reads better below")]
    fn holds(expect: Json, got: Value) -> bool {
        check(&expect, &Outcome::Value(got), &mut Env::new()).is_ok()
    }

    #[test]
    fn what_does_not_hold() {
        assert!(holds(json!({"value": 1}), 1.into()));
        assert!(!holds(json!({"value": 1}), 1.0.into()));
        assert!(!holds(json!({"value": [1, 2]}), vec![1].into()));
        assert!(!holds(json!({"value": {"a": 1}}), snakebridge::value::Dict::new().into()));
        assert!(!holds(json!({"type": "float"}), 1.into()));
        assert!(!holds(json!({"match": "^a"}), "ba".into()));
        assert!(!holds(json!({"ref": {}}), 1.into()));
        assert!(!holds(json!({"error": {"type": "ValueError"}}), 1.into()));
        assert!(!holds(json!({"no_such_thing": 1}), 1.into()));
        assert!(holds(json!({"any_of": [{"value": 2}, {"value": 1}]}), 1.into()));
        assert!(!holds(json!({"any_of": [{"value": 2}, {"value": 3}]}), 1.into()));
    }

    #[test]
    fn order_where_it_is_asked_for() {
        let dict = Value::from(snakebridge::value::Dict::from([("b", 1), ("a", 2)]));
        let pairs = json!([["a", 2], ["b", 1]]);
        assert!(holds(json!({"value": {"$": "dict", "items": pairs}}), dict.clone()));
        assert!(!holds(json!({"value": {"$": "dict", "ordered": true, "items": pairs}}), dict));
    }
}
