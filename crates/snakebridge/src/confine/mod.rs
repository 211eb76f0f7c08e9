//! Confinement: what the workers of a pool may do, as far as the kernel grants it.
//!
//! ```text
//! supervisor --- command ---> a thread that is confined --- fork, exec ---> worker, confined likewise
//! ```
//!
//! The kernel restricts threads, and what a thread starts inherits it. So there is a thread for each
//! interpreter that a confined pool runs on: it restricts itself, and from then on does nothing but start
//! processes. It lives as long as the bridge, because workers are to die with the thread that has started
//! them.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod places;
#[cfg(target_os = "linux")]
#[path = "thread.rs"]
mod platform;
#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod platform;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
pub(crate) use platform::Confined;

/// What the workers of a pool may do. Feature `confine`, Linux only.
///
/// Without a word more: read what Python itself is made of, and the folders of
/// [`module_path`](crate::Pool::module_path) and of helpers; compute; and nothing else. No other file can be read or written, no
/// socket of any kind be made, no process outside be sent a signal, no privilege be gained, in Python, in
/// C code, and in what either of them starts. It is in force before Python starts, and cannot be taken back.
///
/// It is made of Landlock and of a filter for system calls. See the
/// [guide](https://github.com/snakebridge/snakebridge-rs/blob/main/docs/guide/confinement.md) for what these
/// do not restrict.
///
/// ```
/// use snakebridge::{Bridge, Confine};
///
/// # if !snakebridge::ConfineSupport::of_kernel().is_complete() { return Ok(()) }
/// let py = Bridge::builder().confine(Confine::new()).build()?;
/// let root: f64 = py.call("math", "sqrt", (16,)).wait()?;
/// assert_eq!(root, 4.0);
/// let error = py.call::<String>("builtins", "open", ("/etc/shadow",)).wait().unwrap_err();
/// assert_eq!(error.python().unwrap().type_name(), "PermissionError");
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it is a setting for a builder"]
pub struct Confine {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    connect: Vec<u16>,
    listen: Vec<u16>,
    udp: bool,
    unix_sockets: bool,
    network: bool,
    limits: Limits,
    best_effort: bool,
}

/// Limits of what a process may use up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Limits {
    open_files: Option<u64>,
    processes: Option<u64>,
    file_size: Option<u64>,
    cpu_time: Option<Duration>,
}

impl Confine {
    /// Nothing but Python itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets workers read a file, or all in a folder, and run programs there. Can be called several
    /// times. Relative to the current folder.
    pub fn read(mut self, path: impl AsRef<Path>) -> Self {
        self.read.push(path.as_ref().to_owned());
        self
    }

    /// Lets workers read and write a file, or make, change and remove all in a folder; not run it,
    /// unless [`read`](Self::read) allows that. Can be called several times. Relative to the current folder.
    ///
    /// Do not let them write what others run: folders of modules, start files of shells.
    pub fn write(mut self, path: impl AsRef<Path>) -> Self {
        self.write.push(path.as_ref().to_owned());
        self
    }

    /// Lets workers connect to this TCP port, of any machine. Can be called several times. Names of
    /// machines are looked up with [`udp`](Self::udp).
    pub fn connect(mut self, port: u16) -> Self {
        self.connect.push(port);
        self
    }

    /// Lets workers listen on this TCP port. Can be called several times. A worker that may listen at all
    /// can also have the kernel choose a port for it: nothing can keep it from that.
    pub fn listen(mut self, port: u16) -> Self {
        self.listen.push(port);
        self
    }

    /// Lets workers make UDP sockets, to whatever machine and port: the kernel knows no narrower
    /// grant. Default: no.
    pub fn udp(mut self, allowed: bool) -> Self {
        self.udp = allowed;
        self
    }

    /// Lets workers make Unix sockets, and connect to those of the machine that their user may use.
    /// Default: no; pairs of streams, as `socketpair` and `asyncio` make them, are always allowed. With
    /// [`connect`](Self::connect) and without [`listen`](Self::listen) they cannot listen on Unix sockets either.
    pub fn unix_sockets(mut self, allowed: bool) -> Self {
        self.unix_sockets = allowed;
        self
    }

    /// Leaves the network and all sockets alone. Default: no.
    pub fn network(mut self, allowed: bool) -> Self {
        self.network = allowed;
        self
    }

    /// How many descriptors each process may have open (`RLIMIT_NOFILE`).
    pub fn open_files(mut self, count: u64) -> Self {
        self.limits.open_files = Some(count);
        self
    }

    /// How many processes and threads the user of the worker may have before it can start no more
    /// (`RLIMIT_NPROC`). It is the user's that count, whoever has started them; root has no limit.
    pub fn processes(mut self, count: u64) -> Self {
        self.limits.processes = Some(count);
        self
    }

    /// How many bytes a file may have that is written (`RLIMIT_FSIZE`).
    pub fn file_size(mut self, bytes: u64) -> Self {
        self.limits.file_size = Some(bytes);
        self
    }

    /// How much time of the processor each process may use in its life, in seconds (`RLIMIT_CPU`). It
    /// is killed then.
    pub fn cpu_time(mut self, limit: Duration) -> Self {
        self.limits.cpu_time = Some(limit);
        self
    }

    /// Does what the kernel can do, and leaves the rest out. Default: a kernel that cannot do all that is
    /// wanted is an error when the bridge is built. [`ConfineSupport`] says what there is.
    pub fn best_effort(mut self, wanted: bool) -> Self {
        self.best_effort = wanted;
        self
    }

    /// Checks the settings; `granted` is what the pool reads by its other settings.
    pub(crate) fn check(&self, granted: Vec<PathBuf>) -> Result<Confined> {
        let support = ConfineSupport::of_kernel();
        if !self.best_effort
            && let Some(missing) = self.missing(support)
        {
            let message = format!("workers cannot be confined: {missing}");
            return Err(Error::new(ErrorKind::Config, message)
                .with_hint("`Confine::best_effort(true)` does what the kernel can do"));
        }
        let read = self.read.iter().map(|path| existing(path)).collect::<Result<Vec<_>>>()?;
        let write = self.write.iter().map(|path| existing(path)).collect::<Result<Vec<_>>>()?;
        let settings = Self { read: [read, granted].concat(), write, ..self.clone() };
        Ok(Confined::new(settings))
    }

    /// Whether there are TCP ports to grant.
    fn has_ports(&self) -> bool {
        !self.connect.is_empty() || !self.listen.is_empty()
    }

    /// What of this the kernel cannot do.
    fn missing(&self, support: ConfineSupport) -> Option<&'static str> {
        match support {
            ConfineSupport { files: false, .. } => {
                Some("the kernel has no Landlock for files (Linux 6.2), or it is switched off")
            }
            ConfineSupport { ports: false, .. } if self.has_ports() && !self.network => {
                Some("the kernel has no Landlock for TCP ports (Linux 6.7)")
            }
            ConfineSupport { sockets: false, .. } if !self.network => {
                Some("the kernel has no filter for system calls (seccomp) on this processor")
            }
            _ => None,
        }
    }
}

/// What of [`Confine`] the running kernel can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfineSupport {
    /// Restrict which files can be read and written: Landlock of Linux 6.2 or newer.
    pub files: bool,
    /// Restrict TCP to some ports: Landlock of Linux 6.7 or newer.
    pub ports: bool,
    /// Keep signals within the worker: Landlock of Linux 6.12 or newer. Where this is missing it is left
    /// out.
    pub signals: bool,
    /// Allow some kinds of sockets only: seccomp.
    pub sockets: bool,
}

impl ConfineSupport {
    /// Asks the kernel.
    #[must_use]
    pub fn of_kernel() -> Self {
        platform::support()
    }

    /// Whether it can do everything.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.files && self.ports && self.signals && self.sockets
    }
}

fn existing(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).and_then(|path| path.metadata().map(|_| path));
    absolute.map_err(|error| {
        let message = format!("workers cannot be granted `{}`: {error}", path.display());
        Error::new(ErrorKind::Config, message).with_hint("make it first, or leave it out")
    })
}
