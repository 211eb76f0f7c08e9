//! The format of case files.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// One file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "the fields of the format")]
pub struct Suite {
    /// Version of the format: 1.
    pub format: u32,
    /// What the file is about.
    pub title: String,
    /// The Python with which the expectations were made.
    pub python: Option<String>,
    /// Modules that the cases import: name and source.
    #[serde(default)]
    pub fixtures: BTreeMap<String, String>,
    /// Helper files: name and source.
    #[serde(default)]
    pub helpers: BTreeMap<String, String>,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "the fields of the format")]
pub struct Case {
    /// Names the case.
    pub id: String,
    /// What it belongs to.
    pub area: String,
    /// What is done, in one session.
    pub steps: Vec<Step>,
    /// Modules without which it is skipped.
    #[serde(default)]
    pub requires: Vec<String>,
    /// The oldest Python on which it applies.
    pub min_python: Option<String>,
    /// Something of the host without which it is skipped.
    pub needs: Option<String>,
    /// Pools that must exist.
    #[serde(default)]
    pub pools: Vec<String>,
    /// Which part of the first document it comes from.
    pub seed: Option<String>,
    /// What it uses beyond the core.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// One step of a case.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields of the format, described there")]
#[expect(clippy::exhaustive_structs, reason = "the fields of the format")]
pub struct Step {
    pub op: String,
    #[serde(rename = "as")]
    pub bind: Option<String>,
    pub on: Option<String>,
    pub module: Option<String>,
    pub function: Option<String>,
    pub name: Option<String>,
    pub args: Vec<Json>,
    pub kwargs: Map<String, Json>,
    pub value: Option<Json>,
    pub options: Map<String, Json>,
    pub expect: Option<Json>,
    pub bang: bool,
    pub raise: bool,
    pub result: Option<String>,
    pub body: Vec<Self>,
    pub session_id: Option<Json>,
    pub of: Vec<String>,
    #[serde(rename = "fn")]
    pub host_function: Option<String>,
    pub take: Option<u64>,
    pub host_error: Option<String>,
}

impl Step {
    /// A text field that the operation needs.
    pub(crate) fn text<'a>(&self, field: &'a Option<String>) -> &'a str {
        field.as_deref().unwrap_or_default()
    }
}
