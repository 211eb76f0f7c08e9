//! What the machine has to offer.

use std::env;
use std::fs;
use std::path::Path;

use super::finding::Finding;

/// Looks at memory that can be shared, folders, and what guards processes.
pub(super) fn check(findings: &mut Vec<Finding>) {
    temporary_folder(&env::temp_dir(), findings);
    shared_memory(findings);
    space(findings);
    sandbox(findings);
    variables(findings);
}

fn temporary_folder(folder: &Path, findings: &mut Vec<Finding>) {
    let file = folder.join(format!("snakebridge-doctor-{}", std::process::id()));
    match fs::write(&file, "x").and_then(|()| fs::remove_file(&file)) {
        Ok(()) => findings.push(Finding::ok("temporary", folder.display().to_string())),
        Err(error) => findings.push(Finding::warning(
            "temporary",
            format!(
                "the folder for temporary files cannot be used: `{}`: {error}",
                folder.display()
            ),
            "set TMPDIR to a folder that can be written: many Python packages need one",
        )),
    }
}

#[cfg(target_os = "linux")]
fn shared_memory(findings: &mut Vec<Finding>) {
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    use rustix::process::{Resource, getrlimit};

    // More than that is a signal, not an error.
    let room = getrlimit(Resource::Fsize).current;
    let made = memfd_create("snakebridge-doctor", MemfdFlags::CLOEXEC)
        .and_then(|memory| ftruncate(&memory, room.unwrap_or(SEGMENT).min(SEGMENT)));
    findings.push(match made {
        Ok(()) => Finding::ok("memory.shared", "arrays can be shared with Python"),
        Err(error) => Finding::warning(
            "memory.shared",
            format!("memory cannot be shared: {error}; arrays are copied through pipes"),
            "allow `memfd_create` in the sandbox or container that this runs in",
        ),
    });
}

#[cfg(not(target_os = "linux"))]
fn shared_memory(findings: &mut Vec<Finding>) {
    findings.push(Finding::note("memory.shared", "only on Linux: arrays are copied through pipes"));
}

const SEGMENT: u64 = 1 << 20;

/// Less than that is soon used up by an environment.
const LITTLE_SPACE: u64 = 200 << 20;

fn space(findings: &mut Vec<Finding>) {
    let folder = env::current_dir().unwrap_or_default();
    let Ok(found) = rustix::fs::statvfs(&folder) else { return };
    let free = found.f_bavail * found.f_frsize;
    if free < LITTLE_SPACE {
        findings.push(Finding::warning(
            "space",
            format!("{} MiB are left on the disk of `{}`", free >> 20, folder.display()),
            "make room: packages of Python take hundreds of megabytes",
        ));
    }
}

/// What the kernel can hold workers to.
#[cfg(target_os = "linux")]
fn sandbox(findings: &mut Vec<Finding>) {
    let support = snakebridge::ConfineSupport::of_kernel();
    let missing: Vec<&str> = [
        (support.files, "files (Landlock of Linux 6.2)"),
        (support.ports, "TCP ports (Landlock of Linux 6.7)"),
        (support.signals, "signals (Landlock of Linux 6.12)"),
        (support.sockets, "sockets (seccomp)"),
    ]
    .into_iter()
    .filter_map(|(is_there, what)| (!is_there).then_some(what))
    .collect();
    findings.push(match missing.is_empty() {
        true => Finding::ok("sandbox", "the kernel can confine workers"),
        false => {
            let message =
                format!("the kernel cannot confine all of workers: not {}", missing.join(", "));
            Finding::note("sandbox", message)
        }
    });
}

#[cfg(not(target_os = "linux"))]
fn sandbox(findings: &mut Vec<Finding>) {
    findings.push(Finding::note("sandbox", "workers can be confined on Linux only"));
}

/// Those that change what Python does, and are forgotten easily.
fn variables(findings: &mut Vec<Finding>) {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("PYTHONHOME") {
        findings.push(Finding::warning(
            "variables",
            "PYTHONHOME is set: it sends every Python to the library of one of them",
            "unset it: no Python needs it",
        ));
    }
    if is_set("PYTHONDONTWRITEBYTECODE") {
        findings.push(Finding::note(
            "variables",
            "PYTHONDONTWRITEBYTECODE is set: modules of yours are compiled at each start",
        ));
    }
    if is_set("PYTHONOPTIMIZE") {
        findings.push(Finding::note("variables", "PYTHONOPTIMIZE is set: `assert` checks nothing"));
    }
}
