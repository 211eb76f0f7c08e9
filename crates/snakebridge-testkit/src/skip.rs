//! Which cases cannot be run yet, and why.

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
        "helper" => "helpers",
        _ => return step.body.iter().find_map(of_step),
    };
    Some(format!("{missing} are not there yet"))
}
