//! What a worker is told over its control channel. The supervisor alone writes there, as far as there
//! is room, so that frames stay whole and nobody waits.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::Errno;

use super::super::platform;

/// Frames that the worker has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<Outgoing>,
    /// How much of the first one was sent.
    sent: usize,
}

#[derive(Debug)]
struct Outgoing {
    frame: Vec<u8>,
    /// Go with the first byte.
    descriptors: Vec<OwnedFd>,
}

impl Outbox {
    pub(super) fn push(&mut self, frame: Vec<u8>, descriptors: Vec<OwnedFd>) {
        self.frames.push_back(Outgoing { frame, descriptors });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Sends what there is room for. Whether the channel still works: what is lost with it may be
    /// what others wait for, so that nothing is to be said over it any more.
    pub(super) fn flush(&mut self, control: &OwnedFd) -> bool {
        while let Some(first) = self.frames.front_mut() {
            let descriptors: Vec<_> = first.descriptors.iter().map(|fd| fd.as_fd()).collect();
            match platform::send_with(control, &first.frame[self.sent..], &descriptors) {
                Ok(count) => {
                    self.sent += count;
                    first.descriptors.clear();
                    if self.sent == first.frame.len() {
                        self.frames.pop_front();
                        self.sent = 0;
                    }
                }
                Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
                Err(error) if error.raw_os_error() == Some(Errno::AGAIN.raw_os_error()) => {
                    return true;
                }
                Err(_) => {
                    self.frames.clear();
                    self.sent = 0;
                    return false;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_slow_gets_all_of_it_in_order() {
        let (ours, theirs) = platform::socket_pair().unwrap();
        let mut outbox = Outbox::default();
        for byte in 0..4 {
            outbox.push(vec![byte; 1 << 20], Vec::new());
        }
        let mut received = Vec::new();
        assert!(outbox.flush(&ours));
        assert!(!outbox.is_empty(), "four megabytes fit into no socket");
        while received.len() < 4 << 20 {
            let mut piece = vec![0; 1 << 16];
            let count = rustix::io::read(&theirs, &mut piece).unwrap();
            received.extend_from_slice(&piece[..count]);
            assert!(outbox.flush(&ours));
        }
        assert!(outbox.is_empty());
        assert!(received.is_sorted());
    }

    #[test]
    fn a_reader_that_is_gone_is_told_nothing() {
        let (ours, theirs) = platform::socket_pair().unwrap();
        drop(theirs);
        let mut outbox = Outbox::default();
        outbox.push(vec![0; 10], Vec::new());
        outbox.flush(&ours);
        assert!(outbox.is_empty());
    }
    #[test]
    fn a_channel_that_closes_in_the_middle_of_a_frame_takes_nothing_more() {
        let (ours, theirs) = platform::socket_pair().unwrap();
        let mut outbox = Outbox::default();
        outbox.push(vec![1; 4 << 20], Vec::new());
        assert!(outbox.flush(&ours));
        drop(theirs);
        assert!(!outbox.flush(&ours));
        outbox.push(vec![2; 24], Vec::new());
        assert!(!outbox.flush(&ours), "it is shorter than what was sent of the other one");
        assert!(outbox.is_empty());
    }
}
