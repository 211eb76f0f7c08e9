//! A program at a terminal that a test sits at.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// The end of the terminal at which somebody sits, and the program at the other.
pub(crate) struct Terminal {
    keys: File,
    program: Child,
    /// All that has been shown, without colors and movements.
    pub(crate) screen: String,
    /// Up to where a test has looked at it.
    seen: usize,
}

/// Long enough for a machine that is busy; a test that passes does not wait for it.
const LIMIT: Duration = Duration::from_secs(60);

impl Terminal {
    /// Starts a program, as the leader of a session with the terminal.
    pub(crate) fn start(program: &Command) -> Self {
        let host = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&host).unwrap();
        unlockpt(&host).unwrap();
        let name = ptsname(&host, Vec::new()).unwrap().into_string().unwrap();
        let guest = File::options().read(true).write(true).open(name).unwrap();
        let size = Winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&guest, size).unwrap();
        let end = || Stdio::from(OwnedFd::from(guest.try_clone().unwrap()));
        // Ctrl-C is a signal only to who has the terminal for its own, which takes unsafe code, or this.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = program.get_current_dir() {
            command.current_dir(folder);
        }
        command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end());
        let program = command.spawn().unwrap();
        Self { keys: File::from(host), program, screen: String::new(), seen: 0 }
    }

    #[allow(dead_code, reason = "some tests only look")]
    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown, after what was waited for before; gives what came before it.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let limit = Instant::now() + LIMIT;
        loop {
            if let Some(place) = self.screen[self.seen..].find(text) {
                let before = self.screen[self.seen..self.seen + place].to_owned();
                self.seen += place + text.len();
                return before;
            }
            let left = limit.saturating_duration_since(Instant::now());
            assert!(self.read(left), "`{text}` is not shown, but:\n{}", &self.screen[self.seen..]);
        }
    }

    /// Waits for the end of the program.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        while self.read(LIMIT) {}
        (self.program.wait().unwrap(), std::mem::take(&mut self.screen))
    }

    /// Whether there was more to see.
    fn read(&mut self, limit: Duration) -> bool {
        let limit = Timespec::try_from(limit).unwrap();
        let mut polled = [PollFd::new(&self.keys, PollFlags::IN)];
        if !matches!(poll(&mut polled, Some(&limit)), Ok(1)) {
            return false;
        }
        let mut data = [0; 4096];
        // The last one at the other end gone is an error here.
        let Ok(count @ 1..) = self.keys.read(&mut data) else { return false };
        let plain = anstream::adapter::strip_bytes(&data[..count]).into_vec();
        self.screen.push_str(&String::from_utf8_lossy(&plain).replace('\r', ""));
        true
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
