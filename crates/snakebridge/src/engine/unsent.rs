//! Frames that were given up while they were written.

use snakebridge_wire::frame::HEADER_LEN;

/// The rest of a frame that is of no use any more. Without it the worker would take what comes next for a part of the
/// frame. Its body ends with zeros, which no pickle does, so that the worker refuses it: nobody waits for what the
/// call would do.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    /// As it was meant to be: what goes ahead, and the header.
    head: Vec<u8>,
    /// In the place of the body.
    zeros: usize,
}

static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

impl Unsent {
    /// What is left of a frame of this length, after what is left to go ahead of it.
    pub(super) fn after(ahead: &[u8], frame: &[u8], len: usize) -> Self {
        let of_header = HEADER_LEN.saturating_sub(len - frame.len()).min(frame.len());
        let head = [ahead, &frame[..of_header]].concat();
        Self { head, zeros: frame.len() - of_header }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.zeros == 0
    }

    pub(super) fn next(&self) -> &[u8] {
        match &self.head[..] {
            [] => &ZEROS[..self.zeros.min(ZEROS.len())],
            head => head,
        }
    }

    pub(super) fn advance(&mut self, count: usize) {
        match self.head.is_empty() {
            true => self.zeros -= count,
            false => drop(self.head.drain(..count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_frame_is_its_header_and_zeros() {
        let frame: Vec<u8> = (1..=HEADER_LEN as u8 + 4).collect();
        for sent in 0..frame.len() {
            let mut unsent = Unsent::after(&[], &frame[sent..], frame.len());
            let mut whole = frame[..sent].to_vec();
            while !unsent.is_empty() {
                whole.push(unsent.next()[0]);
                unsent.advance(1);
            }
            assert_eq!(whole.len(), frame.len());
            assert_eq!(whole[..HEADER_LEN], frame[..HEADER_LEN]);
            assert_eq!(whole.last(), Some(&0));
        }
    }

    #[test]
    fn what_goes_ahead_is_sent_as_it_is() {
        let unsent = Unsent::after(b"ahead", &[7; HEADER_LEN + 100_000], HEADER_LEN + 100_000);
        assert_eq!(unsent.next(), [&b"ahead"[..], &[7; HEADER_LEN]].concat());
        assert_eq!(unsent.zeros, 100_000);
    }
}
