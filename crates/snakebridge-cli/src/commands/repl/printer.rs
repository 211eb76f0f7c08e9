//! What the worker prints, passed on: and when all of it has been.
//!
//! Prints come through pipes, beside the calls. So Python prints a mark when it is done with what was typed,
//! and the next prompt waits until the mark has come through.

use std::io::{self, Write as _};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use snakebridge::OutputEvent;

/// How long a mark may take to come through. One that does not come was printed to a stream that the
/// code has closed or turned elsewhere.
const LIMIT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Printer {
    mark: String,
    streams: Mutex<[Marked; 2]>,
    seen: Condvar,
}

impl Printer {
    pub(super) fn new() -> Self {
        Self {
            // Nothing that anybody prints by chance.
            mark: format!("\u{1}snakebridge {} done\u{1}", std::process::id()),
            streams: Mutex::default(),
            seen: Condvar::new(),
        }
    }

    /// What Python has to print at the end.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// Takes what a worker puts out.
    pub(super) fn take(&self, event: OutputEvent<'_>) {
        let OutputEvent::Printed(piece) = event else { return super::super::to_stderr(event) };
        let mut streams = self.lock();
        let shown = streams[usize::from(piece.is_stderr)].take(piece.data, self.mark.as_bytes());
        // Nobody is left to tell where the stream is closed.
        let _ = match piece.is_stderr {
            true => io::stderr().write_all(&shown),
            false => io::stdout().write_all(&shown).and_then(|()| io::stdout().flush()),
        };
        drop(streams);
        self.seen.notify_all();
    }

    /// Waits for a mark on both streams.
    pub(super) fn wait(&self) {
        let missing = |streams: &mut [Marked; 2]| streams.iter().any(|stream| stream.marks == 0);
        let streams = self.lock();
        let waited = self.seen.wait_timeout_while(streams, LIMIT, missing);
        let (mut streams, _) = waited.unwrap_or_else(PoisonError::into_inner);
        streams.iter_mut().for_each(|stream| stream.marks = 0);
    }

    fn lock(&self) -> MutexGuard<'_, [Marked; 2]> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream with marks in it.
#[derive(Debug, Default)]
struct Marked {
    /// The beginning of what may be a mark.
    held: Vec<u8>,
    /// Marks that nobody has waited for yet.
    marks: usize,
}

impl Marked {
    /// What is to be shown of it; marks are taken out, however they are cut.
    fn take(&mut self, data: &[u8], mark: &[u8]) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.held);
        rest.extend_from_slice(data);
        let mut shown = Vec::new();
        while let Some(place) = rest.windows(mark.len()).position(|window| window == mark) {
            shown.extend(rest.drain(..place));
            rest.drain(..mark.len());
            self.marks += 1;
        }
        let longest = rest.len().min(mark.len() - 1);
        let held = (1..=longest).rev().find(|count| rest.ends_with(&mark[..*count])).unwrap_or(0);
        self.held = rest.split_off(rest.len() - held);
        shown.extend(rest);
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_however_they_are_cut() {
        let whole = b"ab<>c<d<!><!>e<";
        for first in 0..=whole.len() {
            for second in first..=whole.len() {
                let mut stream = Marked::default();
                let mut shown = Vec::new();
                for piece in [&whole[..first], &whole[first..second], &whole[second..]] {
                    shown.extend(stream.take(piece, b"<!>"));
                }
                assert_eq!(shown, b"ab<>c<de" as &[u8], "{first} {second}");
                assert_eq!((stream.marks, &*stream.held), (2, b"<" as &[u8]));
            }
        }
    }
}
