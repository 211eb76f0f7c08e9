//! Which cases cannot be run yet, and why.

use serde_json::Value as Json;

use crate::case::{Case, Step};

/// What keeps a case from being run, whatever the Python.
pub(crate) fn reason(case: &Case) -> Option<String> {
    if let Some(need) = &case.needs {
        return Some(format!("needs {need}"));
    }
    case.steps.iter().find_map(of_step)
}

fn of_step(step: &Step) -> Option<String> {
    let missing = match step.op.as_str() {
        "stream" | "stream_call" | "next" => "streams",
        "with" => "context managers",
        "helper" => "helpers",
        _ if step.args.iter().chain(step.kwargs.values()).any(has_callback) => "callbacks",
        _ => return step.body.iter().find_map(of_step),
    };
    Some(format!("{missing} are not there yet"))
}

fn has_callback(value: &Json) -> bool {
    match value {
        Json::Array(items) => items.iter().any(has_callback),
        Json::Object(fields) => {
            fields.get("$").is_some_and(|tag| tag == "callback")
                || fields.values().any(has_callback)
        }
        _ => false,
    }
}
