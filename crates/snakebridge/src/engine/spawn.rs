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
    pub(crate) lanes: Vec<Lane>,
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
    let (lanes, child_ends) = match settings.asyncio {
        None => over_pipes()?,
        Some(count) => over_sockets(count)?,
    };
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
    if let Err(error) = send_init(&control, settings, config, &child_ends) {
        // A child that ended at once says more by its exit than by this; it is seen to have ended.
        if error.raw_os_error() != Some(rustix::io::Errno::PIPE.raw_os_error()) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
    }
    Ok(Spawned { child, control, lanes, stdout, stderr })
}

/// The one lane of a worker, and the ends for it.
fn over_pipes() -> io::Result<(Vec<Lane>, Vec<OwnedFd>)> {
    let (request_reader, request) = platform::pipe()?;
    let (reply, reply_writer) = platform::pipe()?;
    for end in [&request, &reply] {
        rustix::io::ioctl_fionbio(end, true)?;
        platform::widen(end);
    }
    Ok((vec![Lane::over_pipes(request, reply)], vec![request_reader, reply_writer]))
}

/// Many lanes of a worker, and the ends for it.
fn over_sockets(count: u32) -> io::Result<(Vec<Lane>, Vec<OwnedFd>)> {
    let pair = |number| {
        let (own, other) = platform::socket_pair()?;
        rustix::io::ioctl_fionbio(&own, true)?;
        Ok((Lane::over_socket(number, own), other))
    };
    (0..count).map(pair).collect()
}

fn send_init(
    control: &OwnedFd,
    settings: &PoolSettings,
    config: &Config,
    ends: &[OwnedFd],
) -> io::Result<()> {
    let mut encoder = Encoder::default();
    let memory_limit = settings.memory_limit.map_or(Value::None, Value::from);
    let settings = Dict::from([
        ("module_path", Value::from(settings.module_path.clone())),
        ("preload", Value::from(settings.preload.clone())),
        ("memory_limit", memory_limit),
        ("events", Value::from(config.output.wants_events())),
        ("lanes", Value::from(settings.asyncio.unwrap_or(0))),
    ]);
    encoder.value(&settings).map_err(io::Error::other)?;
    let body = encoder.finish();
    let mut batches = ends.chunks(platform::MOST_DESCRIPTORS);
    send_frame(control, Kind::Init, &body, batches.next().unwrap_or_default())?;
    batches.try_for_each(|batch| send_frame(control, Kind::Lanes, &[], batch))
}

fn send_frame(control: &OwnedFd, kind: Kind, body: &[u8], ends: &[OwnedFd]) -> io::Result<()> {
    let header = Header { kind, flags: 0, session: 0, len: body.len() as u64 };
    let frame = [&header.to_bytes()[..], body].concat();
    let ends: Vec<_> = ends.iter().map(|end| end.as_fd()).collect();
    // The child has read nothing yet, and may never do.
    let sent = platform::send_with(control, &frame, &ends)?;
    match sent == frame.len() {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "its settings, {} bytes, are more than fit into a socket: shorten `module_path` or `preload`",
            frame.len()
        ))),
    }
}
