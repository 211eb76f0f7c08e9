//! Results for people and for machines.

use serde_json::{Number, Value as Json, json};
use snakebridge::{ErrorKind, Ref, Result, Value};

/// A result as Python shows it. That of an object is asked for there.
pub(crate) fn text(value: &Value) -> Result<String> {
    match value {
        Value::Ref(object) => repr(object),
        value => Ok(value.to_string()),
    }
}

/// What Python shows for an object; its class, where it fails to show itself.
fn repr(object: &Ref) -> Result<String> {
    match object.repr().wait() {
        Err(error) if error.kind() == ErrorKind::Python => Ok(format!("{object:?}")),
        outcome => outcome,
    }
}

/// A result as JSON. Lists and tuples are arrays, numbers have all their digits; what JSON has no
/// form for is an object with one key that begins with `$`, as the help of `--json` lists them.
pub(crate) fn json(value: &Value) -> Result<Json> {
    Ok(match value {
        Value::None => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::BigInt(value) => number(&value.to_string()),
        Value::Float(value) => float(*value),
        Value::Str(text) => json!(text),
        Value::Bytes(data) => json!({ "$bytes": base64(data) }),
        Value::List(items) | Value::Tuple(items) => array(items)?,
        Value::Set(items) => json!({ "$set": array(items)? }),
        Value::FrozenSet(items) => json!({ "$frozenset": array(items)? }),
        Value::Dict(dict) => object(dict)?,
        Value::Complex(value) => json!({ "$complex": [float(value.re), float(value.im)] }),
        Value::Date(value) => json!({ "$date": value.to_string() }),
        Value::DateTime(value) => json!({ "$datetime": value.to_string() }),
        Value::Decimal(value) => json!({ "$decimal": value.to_string() }),
        Value::Time(value) => json!({ "$time": value.to_string() }),
        Value::TimeDelta(value) => json!({ "$timedelta": value.to_string() }),
        Value::Uuid(value) => json!({ "$uuid": value.to_string() }),
        Value::Ref(object) => {
            let class = format!("{}.{}", object.type_module(), object.type_qualname());
            json!({ "$ref": { "class": class, "repr": repr(object)? } })
        }
        // A kind of value that is newer than this command.
        other => json!({ "$other": other.to_string() }),
    })
}

fn array(items: &[Value]) -> Result<Json> {
    items.iter().map(json).collect()
}

/// A dict with text for keys, unless one could be taken for a form of ours.
fn object(dict: &snakebridge::value::Dict) -> Result<Json> {
    let plain = |key: &Value| key.as_str().is_some_and(|key| !key.starts_with('$'));
    if dict.keys().all(plain) {
        let entries = dict.iter().map(|(key, value)| {
            let key = key.as_str().unwrap_or_default().to_owned();
            Ok((key, json(value)?))
        });
        return Ok(Json::Object(entries.collect::<Result<_>>()?));
    }
    let pairs: Result<Vec<Json>> =
        dict.iter().map(|(key, value)| Ok(json!([json(key)?, json(value)?]))).collect();
    Ok(json!({ "$dict": pairs? }))
}

fn float(value: f64) -> Json {
    match Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None => json!({ "$float": Value::from(value).to_string() }),
    }
}

fn number(digits: &str) -> Json {
    digits.parse::<Number>().map_or_else(|_| json!(digits), Json::Number)
}

fn base64(data: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(data.len().div_ceil(3) * 4);
    for chunk in data.chunks(3) {
        let mut bytes = [0; 4];
        bytes[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(bytes);
        for place in 0..4 {
            // One byte makes two letters, two make three.
            let letter = match place <= chunk.len() {
                true => LETTERS[(bits >> (18 - 6 * place) & 0x3f) as usize],
                false => b'=',
            };
            out.push(char::from(letter));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_the_rfc() {
        for (data, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(data.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }
}
