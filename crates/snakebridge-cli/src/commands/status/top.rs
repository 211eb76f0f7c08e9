//! `snakebridge top`.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::super::{Options, is_read, seconds, written};
use super::table::{self, Before};
use super::{Bridge, HOW, NOBODY, client};
use crate::color::FAINT;
use crate::report::Failure;

/// Show the bridges of programs that run, again and again; `q` ends it.
///
/// Like `status`, with the calls per second and the time that workers are busy between two looks. Where standard
/// output is no terminal, one table follows the other; with `--json` each look is a line.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Seconds between two looks
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// Look this often, then end
    #[arg(short = 'n', long, value_name = "NUMBER")]
    count: Option<u64>,
}

impl Top {
    pub(crate) fn run(&self, options: &Options) -> Result<(), Failure> {
        let screen = Screen::open(options.json)?;
        let mut last: Option<(Vec<Bridge>, Instant)> = None;
        let mut looks = 0;
        loop {
            let seen = client::look()?;
            let now = Instant::now();
            let text = if options.json {
                format!("{}\n", serde_json::json!({"bridges": seen.answers}))
            } else {
                let bridges = seen.bridges();
                let before = last.as_ref().map(|(bridges, at)| Before { bridges, ago: now - *at });
                let text = screen.frame(&bridges, before.as_ref());
                last = Some((bridges, now));
                text
            };
            let mut out = std::io::stdout().lock();
            let is_read = is_read(out.write_all(text.as_bytes()).and_then(|()| out.flush()))?;
            drop(out);
            looks += 1;
            let is_enough = self.count.is_some_and(|count| looks >= count);
            if is_enough || !is_read || screen.is_left_within(self.interval) {
                return Ok(());
            }
        }
    }
}

/// The terminal, while the table is all there is on it. Elsewhere, tables follow each other.
struct Screen {
    /// How it was before.
    before: Option<Termios>,
    clears: bool,
}

impl Screen {
    fn open(json: bool) -> Result<Self, Failure> {
        let clears = !json && std::io::stdout().is_terminal();
        let keys = std::io::stdin();
        let before = if clears && keys.is_terminal() { tcgetattr(&keys).ok() } else { None };
        if let Some(before) = &before {
            let mut single = before.clone();
            // Keys come as they are pressed; Ctrl-C is one of them, so that the screen is left as it was.
            single.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            let _ = tcsetattr(&keys, OptionalActions::Now, &single);
        }
        if clears {
            // The other screen, without the cursor.
            print("\x1b[?1049h\x1b[?25l")?;
        }
        Ok(Self { before, clears })
    }

    /// What is shown at one time.
    fn frame(&self, bridges: &[Bridge], before: Option<&Before<'_>>) -> String {
        let text = match bridges.is_empty() {
            true => format!("{NOBODY}\n{FAINT}{HOW}{FAINT:#}\n"),
            false => table::show(bridges, before),
        };
        let last =
            if self.clears { format!("\n{FAINT}q ends{FAINT:#}\n") } else { "\n".to_owned() };
        let text = painted(text + &last);
        match self.clears {
            // Only the rest is cleared, so that nothing flickers.
            true => format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")),
            false => text,
        }
    }

    /// Waits; whether somebody wants to leave.
    fn is_left_within(&self, limit: Duration) -> bool {
        if self.before.is_none() {
            std::thread::sleep(limit);
            return false;
        }
        let end = Instant::now() + limit;
        let keys = std::io::stdin();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let limit = Timespec::try_from(left).ok();
            match poll(&mut [PollFd::new(&keys, PollFlags::IN)], limit.as_ref()) {
                Ok(0) => return false,
                Err(Errno::INTR) => continue,
                Err(_) => return true,
                Ok(_) => {}
            }
            let mut key = [0];
            match rustix::io::read(&keys, &mut key) {
                Ok(1) if !matches!(key[0], b'q' | b'Q' | CTRL_C | CTRL_D | ESCAPE) => {}
                _ => return true,
            }
        }
    }
}

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const ESCAPE: u8 = 27;

/// Without the colors, where they are not wanted. The movements of the cursor are.
fn painted(text: String) -> String {
    match anstream::AutoStream::choice(&std::io::stdout()) {
        anstream::ColorChoice::Never => anstream::adapter::strip_str(&text).to_string(),
        _ => text,
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.clears {
            // Where the terminal is gone, there is nothing to restore.
            let _ = print("\x1b[?25h\x1b[?1049l");
        }
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}
