//! Values between JSON and [`Value`], and when two of them are the same.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};
use snakebridge::types::{BigInt, Complex, TimeDelta};
use snakebridge::value::Dict;
use snakebridge::{Bytes, Value};

/// What the steps so far have bound to names.
pub(crate) type Env = HashMap<String, Value>;

/// The value that JSON stands for.
pub(crate) fn decode(json: &Json, env: &Env) -> Result<Value, String> {
    Ok(match json {
        Json::Null => Value::None,
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => number_from(&number.to_string())?,
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => Value::List(list(items, env)?),
        Json::Object(fields) => match fields.get("$").and_then(Json::as_str) {
            Some(tag) => tagged(tag, fields, env)?,
            None => {
                let pairs =
                    fields.iter().map(|(key, value)| Ok((key.as_str(), decode(value, env)?)));
                Value::Dict(pairs.collect::<Result<Vec<_>, String>>()?.into_iter().collect())
            }
        },
    })
}

fn tagged(tag: &str, fields: &Map<String, Json>, env: &Env) -> Result<Value, String> {
    let field = |name: &str| fields.get(name).ok_or_else(|| format!("`{tag}` without `{name}`"));
    let text =
        |name: &str| field(name)?.as_str().ok_or_else(|| format!("`{name}` of `{tag}` is no text"));
    let number = |name: &str| fields.get(name).and_then(Json::as_i64).unwrap_or(0);
    let items = || match field("items")? {
        Json::Array(items) => list(items, env),
        _ => Err(format!("`items` of `{tag}` is no list")),
    };
    fn parse<T: std::str::FromStr + Into<Value>>(text: &str) -> Result<Value, String> {
        text.parse::<T>().map(Into::into).map_err(|_| format!("`{text}` cannot be read"))
    }
    Ok(match tag {
        "use" => {
            let name = text("name")?;
            env.get(name).cloned().ok_or_else(|| format!("nothing is bound to `{name}`"))?
        }
        "bytes" => {
            let data = STANDARD.decode(text("b64")?).map_err(|error| error.to_string())?;
            Bytes::from(data).into()
        }
        "str" => {
            let times = usize::try_from(number("times")).unwrap_or(0);
            text("repeat")?.repeat(times).into()
        }
        "int" => parse::<BigInt>(text("v")?)?,
        "float" => match text("v")? {
            "nan" => f64::NAN.into(),
            other => parse::<f64>(other)?,
        },
        "complex" => {
            let part = |name: &str| match decode(field(name)?, env)? {
                Value::Float(value) => Ok(value),
                Value::Int(value) => Ok(value as f64),
                other => Err(format!("{other} is no part of a complex number")),
            };
            Complex { re: part("re")?, im: part("im")? }.into()
        }
        "tuple" => Value::Tuple(items()?),
        "set" => Value::Set(items()?),
        "frozenset" => Value::FrozenSet(items()?),
        "dict" => {
            let pairs = items()?.into_iter().map(|pair| match pair.as_items() {
                Some([key, value]) => Ok((key.clone(), value.clone())),
                _ => Err("an item of a dict is no pair".to_owned()),
            });
            Value::Dict(pairs.collect::<Result<Vec<_>, _>>()?.into_iter().collect::<Dict>())
        }
        "datetime" => parse::<snakebridge::types::DateTime>(text("v")?)?,
        "date" => parse::<snakebridge::types::Date>(text("v")?)?,
        "time" => parse::<snakebridge::types::Time>(text("v")?)?,
        "decimal" => parse::<snakebridge::types::Decimal>(text("v")?)?,
        "uuid" => parse::<snakebridge::types::Uuid>(text("v")?)?,
        "timedelta" => {
            let (days, seconds, us) = (number("days"), number("seconds"), number("us"));
            let span = TimeDelta::new(days as i32, seconds as u32, us as u32);
            span.map_err(|error| error.to_string())?.into()
        }
        other => return Err(format!("unknown tag `{other}`")),
    })
}

fn list(items: &[Json], env: &Env) -> Result<Vec<Value>, String> {
    items.iter().map(|item| decode(item, env)).collect()
}

/// Integers have no point and no exponent.
fn number_from(text: &str) -> Result<Value, String> {
    let float = text.contains(['.', 'e', 'E']);
    let number = match float {
        true => text.parse().ok().map(Value::Float),
        false => text.parse::<BigInt>().ok().map(Value::from),
    };
    number.ok_or_else(|| format!("`{text}` is no number"))
}

/// Equality that also tells types, the sign of zero, digits and offsets apart; NaN equals NaN.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => same_float(*a, *b),
        (Value::Complex(a), Value::Complex(b)) => same_float(a.re, b.re) && same_float(a.im, b.im),
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Set(a), Value::Set(b)) | (Value::FrozenSet(a), Value::FrozenSet(b)) => {
            a.len() == b.len() && a.iter().all(|item| b.iter().any(|other| same(item, other)))
        }
        (Value::Dict(a), Value::Dict(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| find(b, key).is_some_and(|other| same(value, other)))
        }
        _ => a == b,
    }
}

/// The value of a dict under exactly this key.
pub(crate) fn find<'a>(dict: &'a Dict, key: &Value) -> Option<&'a Value> {
    dict.iter().find(|(found, _)| same(found, key)).map(|(_, value)| value)
}

fn same_float(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || (a == b && a.is_sign_negative() == b.is_sign_negative())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "reads better below")]
    fn value(json: Json) -> Value {
        decode(&json, &Env::new()).unwrap()
    }

    #[test]
    fn types_and_signs_count() {
        assert!(same(&value(json!(1)), &value(json!(1))));
        assert!(!same(&value(json!(1)), &value(json!(1.0))));
        assert!(!same(&value(json!(1)), &value(json!(true))));
        assert!(!same(&value(json!(0.0)), &value(json!({"$": "float", "v": "-0.0"}))));
        let nan = value(json!({"$": "float", "v": "nan"}));
        assert!(same(&nan, &nan));
        let tuple = value(json!({"$": "tuple", "items": [1]}));
        assert!(!same(&tuple, &value(json!([1]))));
        let decimal = |text: &str| value(json!({"$": "decimal", "v": text}));
        assert!(!same(&decimal("1.5"), &decimal("1.50")));
        let at = |text: &str| value(json!({"$": "datetime", "v": text}));
        assert!(!same(&at("2024-01-01T00:00:00"), &at("2024-01-01T00:00:00+00:00")));
    }

    #[test]
    fn order_counts_in_lists_only() {
        let set = |items: Json| value(json!({"$": "set", "items": items}));
        assert!(same(&set(json!([1, 2])), &set(json!([2, 1]))));
        assert!(!same(&value(json!([1, 2])), &value(json!([2, 1]))));
        assert!(same(&value(json!({"a": 1, "b": 2})), &value(json!({"b": 2, "a": 1}))));
        assert!(!same(&value(json!({"a": 1})), &value(json!({"a": 1.0}))));
    }

    #[test]
    fn large_integers_are_exact() {
        let text = "123456789012345678901234567890";
        let by_tag = value(json!({"$": "int", "v": text}));
        assert_eq!(by_tag.to_string(), text);
        assert_eq!(decode(&serde_json::from_str(text).unwrap(), &Env::new()).unwrap(), by_tag);
    }
}
