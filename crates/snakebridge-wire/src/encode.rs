//! Writing values: the opcodes, and what is remembered between them.

use serde::Serialize;

use crate::error::EncodeError;
use crate::opcode as op;
use crate::ser::Serializer;
use crate::token::{MARKER_MODULE, Marker};

/// Writes values of the pickle subset, one after the other, into one buffer.
///
/// Repeated keys of dicts are written once and then fetched from the memo, which makes lists of
/// records three times faster to load in Python. All values of one encoder share the memo, so its
/// output belongs into one frame as a whole.
#[derive(Debug, Default)]
pub struct Encoder {
    out: Vec<u8>,
    keys: KeyMemo,
    markers: [Option<u32>; Marker::ALL.len()],
    memo_len: u32,
    has_refs: bool,
    /// Nothing is put into the memo.
    forgetful: bool,
    /// Puts bytes into shared memory if they are worth it: the id of their segment.
    share: Option<Share>,
}

type Share = fn(&[u8]) -> Option<u64>;

impl Encoder {
    /// An encoder that appends to `out`.
    #[must_use]
    pub fn new(out: Vec<u8>) -> Self {
        Self { out, ..Self::default() }
    }

    /// The same encoder, which offers bytes and text to this function: what puts them into shared memory, if
    /// they are worth it, and gives the id of their segment.
    #[must_use]
    pub fn sharing(mut self, share: fn(&[u8]) -> Option<u64>) -> Self {
        self.share = Some(share);
        self
    }

    /// Writes bytes as a marker, if they are in shared memory now.
    pub(crate) fn shared(&mut self, marker: Marker, bytes: &[u8]) -> bool {
        let Some(segment) = self.share.and_then(|share| share(bytes)) else { return false };
        self.marker(marker);
        self.unsigned(segment);
        self.unsigned(bytes.len() as u64);
        self.out.extend_from_slice(&[op::TUPLE2, op::TUPLE1, op::REDUCE]);
        true
    }

    /// Writes one value.
    ///
    /// # Errors
    /// The type's own `Serialize` failed, or the value is nested too deeply.
    pub fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(Serializer::new(self))
    }

    /// Writes one value without the memo, so that a fragment can still be
    /// [spliced](Self::splice) in after it.
    ///
    /// # Errors
    /// As for [`value`](Self::value).
    pub fn value_before_splice<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.forgetful = true;
        let done = self.value(value);
        self.forgetful = false;
        done
    }

    /// Opens a tuple; [`end_tuple`](Self::end_tuple) closes it over all values written since.
    pub fn begin_tuple(&mut self) {
        self.out.push(op::MARK);
    }

    /// Closes the innermost open tuple.
    pub fn end_tuple(&mut self) {
        self.out.push(op::TUPLE);
    }

    /// Opens a dict of keyword arguments; keys and values follow in turn.
    pub fn begin_dict(&mut self) {
        self.out.extend_from_slice(&[op::EMPTY_DICT, op::MARK]);
    }

    /// Closes the innermost open dict.
    pub fn end_dict(&mut self) {
        self.out.push(op::SETITEMS);
    }

    /// Appends what another encoder wrote.
    ///
    /// # Panics
    /// If this encoder has used its memo: positions in it would no longer be right.
    pub fn splice(&mut self, other: &Self) {
        assert_eq!(self.memo_len, 0, "only an encoder with an empty memo can take a fragment");
        let offset = self.out.len();
        self.out.extend_from_slice(&other.out);
        self.keys = other.keys.moved_by(offset);
        self.markers = other.markers;
        self.memo_len = other.memo_len;
        self.has_refs |= other.has_refs;
    }

    /// Ends the value of the frame and gives the buffer back.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(op::STOP);
        self.out
    }

    /// Length of what was written so far, the buffer's own start included.
    #[must_use]
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Whether a ref was written, so that the frame needs the flag for it.
    #[must_use]
    pub fn has_refs(&self) -> bool {
        self.has_refs
    }

    /// Writes a text.
    pub fn str(&mut self, text: &str) {
        match u8::try_from(text.len()) {
            Ok(len) => self.out.extend_from_slice(&[op::SHORT_BINUNICODE, len]),
            Err(_) => self.long_prefix(text.len(), op::BINUNICODE, op::BINUNICODE8),
        }
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Writes an unsigned number.
    pub fn unsigned(&mut self, value: u64) {
        match value {
            0..=0xff => self.out.extend_from_slice(&[op::BININT1, value as u8]),
            0x100..=0xffff => {
                let [low, high] = (value as u16).to_le_bytes();
                self.out.extend_from_slice(&[op::BININT2, low, high]);
            }
            0x1_0000..=0x7fff_ffff => {
                self.out.push(op::BININT);
                self.out.extend_from_slice(&(value as u32).to_le_bytes());
            }
            _ => self.wide(i128::from(value)),
        }
    }

    pub(crate) fn signed(&mut self, value: i64) {
        if let Ok(value) = u64::try_from(value) {
            self.unsigned(value);
        } else if let Ok(value) = i32::try_from(value) {
            self.out.push(op::BININT);
            self.out.extend_from_slice(&value.to_le_bytes());
        } else {
            self.wide(i128::from(value));
        }
    }

    pub(crate) fn wide(&mut self, value: i128) {
        self.long(&value.to_le_bytes());
    }

    /// Writes an integer given as two's complement, little-endian, in as few bytes as it needs.
    pub(crate) fn long(&mut self, bytes: &[u8]) {
        let bytes = trim(bytes);
        match u8::try_from(bytes.len()) {
            Ok(len) => self.out.extend_from_slice(&[op::LONG1, len]),
            Err(_) => {
                self.out.push(op::LONG4);
                // Four bytes of length hold numbers of 5 * 10^9 decimal digits.
                self.out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            }
        }
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn float(&mut self, value: f64) {
        self.out.push(op::BINFLOAT);
        self.out.extend_from_slice(&value.to_bits().to_be_bytes());
    }

    /// Writes bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        match u8::try_from(value.len()) {
            Ok(len) => self.out.extend_from_slice(&[op::SHORT_BINBYTES, len]),
            Err(_) => self.long_prefix(value.len(), op::BINBYTES, op::BINBYTES8),
        }
        self.out.extend_from_slice(value);
    }

    /// Writes a value as it is: what [`plain`](crate::plain) has given.
    pub fn plain(&mut self, opcodes: &[u8]) {
        self.out.extend_from_slice(opcodes);
    }

    /// Writes a text that is likely to come again: a key of a dict, a field of a struct.
    pub(crate) fn key(&mut self, text: &str) {
        if self.forgetful {
            return self.str(text);
        }
        match self.keys.find(text, &self.out) {
            Found::At(memo) => self.fetch(memo),
            Found::Free(slot) => {
                self.str(text);
                self.keys.insert(slot, text, &self.out, self.memo_len);
                self.memoize();
            }
            Found::Not => self.str(text),
        }
    }

    pub(crate) fn marker(&mut self, marker: Marker) {
        if let Some(memo) = self.markers[marker as usize] {
            return self.fetch(memo);
        }
        self.str(MARKER_MODULE);
        self.str(marker.name());
        self.out.push(op::STACK_GLOBAL);
        if self.forgetful {
            return;
        }
        self.markers[marker as usize] = Some(self.memo_len);
        self.memoize();
    }

    /// Writes a ref by its id.
    pub fn ref_id(&mut self, id: u64) {
        self.has_refs = true;
        self.unsigned(id);
        self.out.push(op::BINPERSID);
    }

    /// Writes a callback: its persistent id below zero, so that it cannot be taken for a ref.
    pub(crate) fn callback_id(&mut self, id: u64) {
        self.signed((id as i64).wrapping_neg());
        self.out.push(op::BINPERSID);
        self.has_refs = true;
    }

    pub(crate) fn op(&mut self, opcode: u8) {
        self.out.push(opcode);
    }

    fn memoize(&mut self) {
        self.out.push(op::MEMOIZE);
        self.memo_len += 1;
    }

    fn fetch(&mut self, memo: u32) {
        match u8::try_from(memo) {
            Ok(short) => self.out.extend_from_slice(&[op::BINGET, short]),
            Err(_) => {
                self.out.push(op::LONG_BINGET);
                self.out.extend_from_slice(&memo.to_le_bytes());
            }
        }
    }

    fn long_prefix(&mut self, len: usize, four: u8, eight: u8) {
        match u32::try_from(len) {
            Ok(len) => {
                self.out.push(four);
                self.out.extend_from_slice(&len.to_le_bytes());
            }
            Err(_) => {
                self.out.push(eight);
                self.out.extend_from_slice(&(len as u64).to_le_bytes());
            }
        }
    }
}

/// Drops bytes that only repeat the sign. Zero becomes the empty slice, as pickle has it.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., last] = bytes {
        let sign = rest.last().map_or(0, |byte| byte >> 7) * 0xff;
        if *last != sign {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// Which keys are in the memo: a small table of where in the output they stand.
#[derive(Debug, Default)]
struct KeyMemo {
    /// Empty until the first key, then [`SLOTS`] long.
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    offset: usize,
    memo: u32,
    /// 0 marks a free slot; the empty key is not kept.
    len: u8,
}

enum Found {
    At(u32),
    Free(usize),
    /// Not in the memo, and not to be put there.
    Not,
}

/// Number of slots. Records have tens of fields; more keys than this are data rather than names.
const SLOTS: usize = 128;
/// Longest key that is kept. Longer ones cost more to compare than they save.
const LONGEST_KEY: usize = 48;
/// How many slots are tried for a key.
const PROBES: usize = 4;

impl KeyMemo {
    fn find(&mut self, text: &str, out: &[u8]) -> Found {
        let key = text.as_bytes();
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Found::Not;
        }
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, Slot::default());
        }
        let first = hash(key);
        for probe in 0..PROBES {
            let index = (first + probe) % SLOTS;
            let slot = self.slots[index];
            if slot.len == 0 {
                return Found::Free(index);
            }
            let len = usize::from(slot.len);
            if len == key.len() && &out[slot.offset..slot.offset + len] == key {
                return Found::At(slot.memo);
            }
        }
        Found::Not
    }

    /// Notes the key that was just written at the end of `out`.
    fn insert(&mut self, index: usize, text: &str, out: &[u8], memo: u32) {
        let slot = &mut self.slots[index];
        slot.offset = out.len() - text.len();
        slot.memo = memo;
        slot.len = text.len() as u8; // At most LONGEST_KEY.
    }

    fn moved_by(&self, offset: usize) -> Self {
        let mut slots = self.slots.clone();
        for slot in &mut slots {
            slot.offset += offset;
        }
        Self { slots }
    }
}

/// FNV-1a over length, first and last eight bytes: names differ there, and it is a few steps.
fn hash(key: &[u8]) -> usize {
    let head = key.iter().take(8);
    let tail = key.iter().rev().take(8);
    let mut state = 0xcbf2_9ce4_8422_2325_u64 ^ key.len() as u64;
    for byte in head.chain(tail) {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (state >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longs_are_as_short_as_they_can_be() {
        for (value, expected) in [
            (0_i128, &[][..]),
            (-1, &[0xff]),
            (127, &[0x7f]),
            (128, &[0x80, 0]),
            (-128, &[0x80]),
            (-129, &[0x7f, 0xff]),
            (1 << 63, &[0, 0, 0, 0, 0, 0, 0, 0x80, 0]),
        ] {
            let mut encoder = Encoder::default();
            encoder.wide(value);
            let out = encoder.finish();
            assert_eq!(&out[2..out.len() - 1], expected, "{value}");
        }
    }

    #[test]
    fn keys_are_written_once() {
        let mut encoder = Encoder::default();
        for _ in 0..3 {
            encoder.key("name");
        }
        let out = encoder.finish();
        assert_eq!(out, b"\x8c\x04name\x94h\x00h\x00.");
    }

    #[test]
    fn more_keys_than_slots_still_come_out_right() {
        let mut encoder = Encoder::default();
        for key in 0..1000 {
            encoder.key(&format!("key {key}"));
        }
        assert!(encoder.memo_len as usize <= SLOTS);
    }
}
