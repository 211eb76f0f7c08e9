//! The page of the guide that lists all settings.

use std::path::PathBuf;

use snakebridge_env::config::reference::page;

use crate::workspace::Workspace;
use crate::{Problems, Result};

const FILE: &str = "docs/guide/configuration.md";

pub(crate) fn write(workspace: &Workspace) -> Result {
    Ok(std::fs::write(path(workspace), page())?)
}

pub(crate) fn check(workspace: &Workspace) -> Problems {
    match std::fs::read_to_string(path(workspace)) {
        Ok(text) if text == page() => Problems::new(),
        _ => vec![format!("{FILE} is not up to date: run `cargo xtask reference`")],
    }
}

fn path(workspace: &Workspace) -> PathBuf {
    workspace.root.join(FILE)
}
