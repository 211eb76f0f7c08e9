//! What the threads of a worker are doing, in Python's own words.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Command, Shared, WorkerId, platform, system_error};
use crate::error::{Error, ErrorKind, Result};

impl Shared {
    /// Asks a worker for the stacks of its threads, and waits for them.
    pub(crate) fn dump_stacks(&self, worker: WorkerId, limit: Duration) -> Result<String> {
        let (reader, into) =
            platform::pipe().map_err(|error| system_error("cannot make a pipe", error))?;
        self.placement.ask(Command::DumpStacks { worker, into });
        match read_to_end(&reader, Instant::now() + limit) {
            Some(text) if text.is_empty() => {
                let message = "it has no process that could say what it does";
                Err(Error::new(ErrorKind::WorkerLost, message).with_worker(worker))
            }
            Some(text) => Ok(without_own_thread(&String::from_utf8_lossy(&text))),
            None => {
                let message = format!("it did not say within {limit:?} what its threads do");
                Err(Error::new(ErrorKind::Timeout, message)
                    .with_worker(worker)
                    .with_hint("C code may be running that keeps Python's interpreter to itself"))
            }
        }
    }
}

/// None if the end does not come in time.
fn read_to_end(reader: &OwnedFd, deadline: Instant) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok()?;
        match poll(&mut [PollFd::new(reader, PollFlags::IN)], Some(&left)) {
            Ok(0) => return None,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return Some(text),
        }
        text.reserve(4096);
        match rustix::io::read(reader, rustix::buffer::spare_capacity(&mut text)) {
            Ok(0) => return Some(text),
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return Some(text),
        }
    }
}

/// Leaves out the thread that has written the text.
fn without_own_thread(text: &str) -> String {
    let threads = text.split("\n\n").filter(|thread| !thread.starts_with("Current thread "));
    let threads: Vec<&str> = threads.map(str::trim_end).collect();
    threads.join("\n\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_that_writes_is_left_out() {
        let text = "Thread 0x1 (most recent call first):\n  File \"a\"\n\n\
                    Current thread 0x2 (most recent call first):\n  File \"b\"\n\n\
                    Thread 0x3 (most recent call first):\n  File \"c\"\n";
        assert_eq!(
            without_own_thread(text),
            "Thread 0x1 (most recent call first):\n  File \"a\"\n\n\
             Thread 0x3 (most recent call first):\n  File \"c\"\n"
        );
    }
}
