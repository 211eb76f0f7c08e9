//! `snakebridge version`.

use clap::Args;
use serde_json::json;

use super::{Options, print_line};
use crate::report::Failure;

/// Show the version, which Python is used, and how it was found.
#[derive(Debug, Args)]
pub(crate) struct Version {}

const OWN: &str = env!("CARGO_PKG_VERSION");

impl Version {
    pub(super) fn run(&self, options: &Options) -> Result<(), Failure> {
        let found = options.bridge().and_then(|py| {
            let found = py.ready();
            py.shutdown();
            Ok(found?)
        });
        if options.json {
            let python = found.as_ref().ok().map(|python| {
                json!({
                    "version": python.version,
                    "implementation": python.implementation,
                    "executable": python.executable.to_string_lossy(),
                    "origin": python.origin,
                })
            });
            print_line(&json!({"version": OWN, "python": python}).to_string())?;
        } else {
            print_line(&format!("snakebridge {OWN}"))?;
            if let Ok(python) = &found {
                print_line(&format!(
                    "Python {} ({})\n  file:  {}\n  found: {}",
                    python.version,
                    python.implementation,
                    python.executable.display(),
                    python.origin
                ))?;
            }
        }
        found.map(|_| ())
    }
}
