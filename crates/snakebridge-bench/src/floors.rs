//! What the machine itself needs: two processes that send 64 bytes to and fro.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

/// Makes this program the process at the other end.
pub(crate) const ECHO_FLAG: &str = "echo-stdin";

/// About what a small call needs.
const MESSAGE: usize = 64;

/// Another process, which sends back what it gets.
#[derive(Debug)]
pub(crate) struct Echo {
    child: Child,
    writer: File,
    reader: File,
    message: [u8; MESSAGE],
}

impl Echo {
    /// An echo at the end of two pipes.
    pub(crate) fn over_pipes() -> io::Result<Self> {
        let (child_reader, writer) = io::pipe()?;
        let (reader, child_writer) = io::pipe()?;
        Self::start([child_reader.into(), child_writer.into()], writer.into(), reader.into())
    }

    /// An echo at the end of a Unix socketpair.
    pub(crate) fn over_socketpair() -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let ends = [theirs.try_clone()?.into(), theirs.into()];
        Self::start(ends, ours.try_clone()?.into(), ours.into())
    }

    /// Sends a message and waits for it to come back.
    pub(crate) fn once(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.message)?;
        self.reader.read_exact(&mut self.message)
    }

    fn start(ends: [OwnedFd; 2], writer: OwnedFd, reader: OwnedFd) -> io::Result<Self> {
        let [stdin, stdout] = ends;
        let child = Command::new(std::env::current_exe()?)
            .arg(format!("--{ECHO_FLAG}"))
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout))
            .spawn()?;
        Ok(Self { child, writer: writer.into(), reader: reader.into(), message: [7; MESSAGE] })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have ended by itself; either way there is nothing to do about it here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process at the other end: sends back what it gets, until its input ends.
pub(crate) fn echo() -> io::Result<()> {
    // As plain files: nothing is buffered, one message is one read and one write.
    let mut reader = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut writer = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut message = [0; MESSAGE];
    loop {
        match reader.read_exact(&mut message) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        writer.write_all(&message)?;
    }
}
