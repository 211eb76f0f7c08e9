//! Releasing refs while no call is made.

use std::time::{Duration, Instant};

use snakebridge_wire::frame::HEADER_LEN;
use snakebridge_wire::{Encoder, Header, Kind};

use super::super::placement::Grant;
use super::Supervisor;

/// Refs that are released while no call is made wait this long, so that many go at once.
const FLUSH_AFTER: Duration = Duration::from_millis(50);
/// Numbers in one frame of releases. Such a frame has less than 4096 bytes (`PIPE_BUF`), so that it
/// is written whole or not at all.
const RELEASES_AT_ONCE: usize = 200;

impl Supervisor {
    pub(super) fn flush_later(&mut self) {
        self.flush_at = Some(Instant::now() + FLUSH_AFTER);
    }

    pub(super) fn flush(&mut self) {
        if self.flush_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        loop {
            match self.shared.placement.take_for_releases() {
                Some(grant) => {
                    if self.release(grant).is_none() {
                        // The worker is busy with a destructor, perhaps for long.
                        return self.flush_later();
                    }
                }
                None => {
                    self.flush_at = None;
                    return;
                }
            }
        }
    }

    /// Sends what is to be released, as far as the worker takes it at once; `None` if it does not
    /// take all.
    fn release(&mut self, mut grant: Grant) -> Option<()> {
        let mut sent = 0;
        for chunk in grant.releases.chunks(RELEASES_AT_ONCE) {
            match grant.lane.write_at_once(&release_frame(chunk)) {
                Ok(true) => sent += chunk.len(),
                Ok(false) => break,
                Err(_) => {
                    self.kill(grant.worker);
                    return Some(());
                }
            }
        }
        grant.releases.drain(..sent);
        let all = grant.releases.is_empty();
        self.shared.placement.give_back_unused(grant);
        all.then_some(())
    }
}

/// A frame that releases refs: session and id in turn.
pub(crate) fn release_frame(pairs: &[u64]) -> Vec<u8> {
    let mut encoder = Encoder::new(vec![0; HEADER_LEN]);
    encoder.begin_tuple();
    for number in pairs {
        encoder.unsigned(*number);
    }
    encoder.end_tuple();
    let mut frame = encoder.finish();
    let len = (frame.len() - HEADER_LEN) as u64;
    let header = Header { kind: Kind::Release, flags: 0, session: 0, len };
    frame[..HEADER_LEN].copy_from_slice(&header.to_bytes());
    frame
}
