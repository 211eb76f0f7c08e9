//! Starting one worker process.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use snakebridge_wire::{Encoder, Header, Kind};

use super::lane::Lane;
use super::{Config, PoolSettings, platform};
use crate::Value;
use crate::value::Dict;

/// A process that is on its way to become a worker.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) child: Child,
    pub(crate) control: OwnedFd,
    pub(crate) lane: Box<Lane>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// Starts a worker on an interpreter.
///
/// The control channel is its standard input; the ends of the lane's pipes follow through it. So
/// the child inherits nothing but its three standard descriptors, and other children of the host,
/// started at the same time by other threads, cannot inherit what is meant for this one.
pub(crate) fn spawn(
    python: &Path,
    settings: &PoolSettings,
    config: &Config,
) -> io::Result<Spawned> {
    let (control, child_control) = platform::socket_pair()?;
    let (request_reader, request) = platform::pipe()?;
    let (reply, reply_writer) = platform::pipe()?;
    for end in [&request, &reply] {
        rustix::io::ioctl_fionbio(end, true)?;
        platform::widen(end);
    }
    let mut command = Command::new(python);
    command
        .args(snakebridge_worker::arguments(&config.package))
        .stdin(Stdio::from(child_control))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own: the terminal's Ctrl-C does not reach it, and all that it starts can
        // be found.
        .process_group(0);
    for (name, value) in &settings.env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = &settings.current_dir {
        command.current_dir(folder);
    }
    let mut child = command.spawn()?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("the child has no standard output"));
    };
    let (stdout, stderr) = (OwnedFd::from(stdout), OwnedFd::from(stderr));
    if let Err(error) = send_init(
        &control,
        settings,
        config.output.wants_events(),
        [&request_reader, &reply_writer],
    ) {
        // A child that ended at once says more by its exit than by this; it is seen to have ended.
        if error.raw_os_error() != Some(rustix::io::Errno::PIPE.raw_os_error()) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
    }
    let lane = Box::new(Lane::new(request, reply));
    Ok(Spawned { child, control, lane, stdout, stderr })
}

fn send_init(
    control: &OwnedFd,
    settings: &PoolSettings,
    events: bool,
    ends: [&OwnedFd; 2],
) -> io::Result<()> {
    let mut encoder = Encoder::default();
    let memory_limit = settings.memory_limit.map_or(Value::None, Value::from);
    let settings = Dict::from([
        ("module_path", Value::from(settings.module_path.clone())),
        ("preload", Value::from(settings.preload.clone())),
        ("memory_limit", memory_limit),
        ("events", Value::from(events)),
    ]);
    encoder.value(&settings).map_err(io::Error::other)?;
    let body = encoder.finish();
    let header = Header { kind: Kind::Init, flags: 0, session: 0, len: body.len() as u64 };
    let frame = [&header.to_bytes()[..], &body].concat();

    // The child has read nothing yet, and may never do.
    let sent = platform::send_with(control, &frame, &ends.map(|end| end.as_fd()))?;
    match sent == frame.len() {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "its settings, {} bytes, are more than fit into a socket: shorten `module_path` or `preload`",
            frame.len()
        ))),
    }
}
