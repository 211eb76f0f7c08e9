//! Starting one worker process, or the process that workers are forked from.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use snakebridge_wire::{Encoder, Header, Kind};

use super::gear::Gear;
use super::lane::Lane;
use super::{Config, PoolSettings, platform};
use crate::Value;
use crate::guard::Guard;
use crate::helpers::HelperSettings;
use crate::value::Dict;

/// The ends that the host has of a process that is on its way to become a worker.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) control: OwnedFd,
    /// None of a fork server.
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
) -> io::Result<(Child, Spawned)> {
    let (lanes, ends) = make_lanes(settings)?;
    let arguments = snakebridge_worker::arguments(&config.package);
    let (child, spawned) = launch(python, &arguments, settings, config, |control| {
        send_init(control, &settings_body(settings, config, true)?, &ends)
    })?;
    Ok((child, Spawned { lanes, ..spawned }))
}

/// Starts a fork server on an interpreter, likewise.
pub(crate) fn spawn_fork_server(
    python: &Path,
    settings: &PoolSettings,
    config: &Config,
) -> io::Result<(Child, Spawned)> {
    let arguments = snakebridge_worker::fork_server_arguments(&config.package);
    launch(python, &arguments, settings, config, |control| {
        send_frame(control, Kind::ForkServer, &settings_body(settings, config, true)?, &[])
    })
}

/// What a worker needs that is to be forked; and, for the fork server, its control channel,
/// standard output and standard error.
pub(crate) fn before_fork(
    settings: &PoolSettings,
    config: &Config,
) -> io::Result<(Vec<OwnedFd>, Spawned)> {
    let (lanes, ends) = make_lanes(settings)?;
    let (control, child_control) = platform::socket_pair()?;
    let (stdout, child_stdout) = platform::pipe()?;
    let (stderr, child_stderr) = platform::pipe()?;
    // The fork server has the folders on its path, and has imported the modules.
    send_init(&control, &settings_body(settings, config, false)?, &ends)?;
    let theirs = vec![child_control, child_stdout, child_stderr];
    Ok((theirs, Spawned { control, lanes, stdout, stderr }))
}

/// Starts an interpreter, and sends it its first frames.
fn launch(
    python: &Path,
    arguments: &[OsString],
    settings: &PoolSettings,
    config: &Config,
    send_first: impl FnOnce(&OwnedFd) -> io::Result<()>,
) -> io::Result<(Child, Spawned)> {
    let (control, child_control) = platform::socket_pair()?;
    let python = interpreter(python, settings);
    let mut command = Command::new(&*python);
    command
        .args(arguments)
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
    let mut child = start(command, &python, settings, config)?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("the child has no standard output"));
    };
    let (stdout, stderr) = (OwnedFd::from(stdout), OwnedFd::from(stderr));
    if let Err(error) = send_first(&control) {
        // A child that ended at once says more by its exit than by this; it is seen to have ended.
        if error.raw_os_error() != Some(rustix::io::Errno::PIPE.raw_os_error()) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
    }
    Ok((child, Spawned { control, lanes: Vec::new(), stdout, stderr }))
}

/// The interpreter to start; a confined process cannot look for it.
fn interpreter<'p>(python: &'p Path, settings: &PoolSettings) -> Cow<'p, Path> {
    #[cfg(feature = "confine")]
    if let Some(confined) = &settings.confined {
        return Cow::Owned(confined.interpreter(python));
    }
    let _ = settings;
    Cow::Borrowed(python)
}

fn start(
    mut command: Command,
    python: &Path,
    settings: &PoolSettings,
    config: &Config,
) -> io::Result<Child> {
    #[cfg(feature = "confine")]
    if let Some(confined) = &settings.confined {
        return confined.spawn(command, python, &config.package);
    }
    let _ = (python, settings, config);
    command.spawn()
}

/// The lanes of a worker, and the ends for it.
fn make_lanes(settings: &PoolSettings) -> io::Result<(Vec<Lane>, Vec<OwnedFd>)> {
    match settings.asyncio {
        None => over_pipes(Gear::new(settings.spin)),
        Some(count) => over_sockets(count),
    }
}

/// The one lane of a worker, and the ends for it.
fn over_pipes(gear: Option<Box<Gear>>) -> io::Result<(Vec<Lane>, Vec<OwnedFd>)> {
    let (request_reader, request) = platform::pipe()?;
    let (reply, reply_writer) = platform::pipe()?;
    for end in [&request, &reply] {
        rustix::io::ioctl_fionbio(end, true)?;
        platform::widen(end);
    }
    Ok((vec![Lane::over_pipes(request, reply, gear)], vec![request_reader, reply_writer]))
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

/// The settings for a worker, which `imports` modules by itself or finds them there.
fn settings_body(settings: &PoolSettings, config: &Config, imports: bool) -> io::Result<Vec<u8>> {
    let mut encoder = Encoder::default();
    let memory_limit = settings.memory_limit.map_or(Value::None, Value::from);
    let list = |items: &Vec<String>| Value::from(if imports { items.clone() } else { Vec::new() });
    let helpers = settings.helpers.as_ref().map_or(Value::None, HelperSettings::to_value);
    let settings = Dict::from([
        ("module_path", list(&settings.module_path)),
        ("preload", list(&settings.preload)),
        ("memory_limit", memory_limit),
        ("events", Value::from(config.output.wants_events())),
        ("guard", settings.guard.as_ref().map_or(Value::None, Guard::to_value)),
        ("helpers", helpers),
        ("lanes", Value::from(settings.asyncio.unwrap_or(0))),
    ]);
    encoder.value(&settings).map_err(io::Error::other)?;
    Ok(encoder.finish())
}

fn send_init(control: &OwnedFd, body: &[u8], ends: &[OwnedFd]) -> io::Result<()> {
    let mut batches = ends.chunks(platform::MOST_DESCRIPTORS);
    send_frame(control, Kind::Init, body, batches.next().unwrap_or_default())?;
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
