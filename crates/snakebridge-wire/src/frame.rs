//! Frames: a header of sixteen bytes, then a body.
//!
//! | bytes | field | |
//! | --- | --- | --- |
//! | 0 | version | [`PROTOCOL_VERSION`] |
//! | 1 | kind | [`Kind`] |
//! | 2..4 | flags | bits of [`flags`], little-endian |
//! | 4..8 | session | number of the session, little-endian; 0 where there is none |
//! | 8..16 | length | bytes of the body, little-endian |

use std::fmt;

use crate::limits::Limits;

/// Version of frames and values. Both sides must have the same one.
pub const PROTOCOL_VERSION: u8 = 1;

/// Length of a header in bytes.
pub const HEADER_LEN: usize = 16;

/// Flag bits of a request.
pub mod flags {
    /// The body holds persistent ids, which stand for refs.
    pub const HAS_REFS: u16 = 1;
    /// The result stays in Python, also when it could be a value.
    pub const BY_REF: u16 = 2;
    /// The first item of the body is the id of a ref, not a value.
    pub const TARGET_REF: u16 = 4;
    /// The result is not wanted; the reply is `None`.
    pub const NO_RESULT: u16 = 8;
    /// Arrays in the result are copied, as values. Also of `Again`.
    pub const ARRAYS: u16 = 16;
    /// Tables in the result are copied, as values. Also of `Again`.
    pub const TABLES: u16 = 32;
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// Call a function: `(module, function, args[, kwargs])`.
    Call = 1,
    /// Read a module attribute: `(module, name)`.
    Get = 2,
    /// Call a method: `(target, name, args[, kwargs])`.
    Method = 3,
    /// Read an attribute: `(target, name)`.
    Attr = 4,
    /// Write an attribute: `(target, name, value)`.
    SetAttr = 5,
    /// Delete an attribute: `(target, name)`.
    DelAttr = 6,
    /// `target[key]`: `(target, key)`.
    Item = 7,
    /// `target[key] = value`: `(target, key, value)`.
    SetItem = 8,
    /// `del target[key]`: `(target, key)`.
    DelItem = 9,
    /// `target(*args, **kwargs)`: `(target, args[, kwargs])`.
    Invoke = 10,
    /// `len(target)`: `(target,)`.
    Len = 11,
    /// `item in target`: `(target, item)`.
    Contains = 12,
    /// `str(target)`: `(target,)`.
    Str = 13,
    /// `repr(target)`: `(target,)`.
    Repr = 14,
    /// The next items of an iterator: `(target, count)`.
    Next = 15,
    /// The first items of anything that can be iterated over: `(target,)`.
    Iter = 16,
    /// What comes of awaiting an object: `(target,)`.
    Await = 17,
    /// Enter a context manager: `(target,)`.
    Enter = 18,
    /// Leave a context manager: `(target, number, failure)`.
    Exit = 19,
    /// Many requests, one after the other: `(kind, flags, body, kind, flags, body, ...)`.
    Pipeline = 20,
    /// Call a helper: `(name, args[, kwargs])`.
    Helper = 21,
    /// What helpers there are: `()`.
    Helpers = 22,
    /// Forget refs: `(session, id, session, id, ...)`; the id 0 stands for all refs of the session.
    /// Has no reply.
    Release = 32,
    /// Forget all refs of the session in the header.
    CloseSession = 33,
    /// Encode the last result again, with care.
    Again = 34,
    /// The result of the callback that the worker waits for.
    CallbackValue = 35,
    /// The callback that the worker waits for has failed: `(class, message, causes)`.
    CallbackError = 36,
    /// Cancel the request that runs on this lane; has no reply of its own. Only where a worker has many lanes.
    Cancel = 37,

    /// Reply: the result as a value.
    Value = 64,
    /// Reply: the result is a ref, `(id, module, qualname, traits)`.
    Ref = 65,
    /// Reply: Python raised an exception.
    Error = 66,
    /// Reply: the request could not be carried out, `(code, text)`.
    Fault = 67,
    /// Before the reply: the worker calls a callback and waits for its result. The id of the callback
    /// in eight bytes, then `(args, kwargs)`.
    Callback = 68,
    /// Before the reply: callables that Python has dropped, `(id, count, id, count, ...)`, with how
    /// often each had come.
    CallbacksDropped = 69,
    /// Before the reply: segments whose arrays are still used by the worker, `(id, ...)`.
    RegionsKept = 70,
    /// Before the reply: segments of earlier requests whose arrays are not used any more.
    RegionsGone = 71,

    /// On the control channel, host to worker: the settings, with the lanes' descriptors.
    Init = 96,
    /// On the control channel, worker to host: ready.
    Hello = 97,
    /// On the control channel, worker to host: this interpreter cannot be used; plain text.
    Refused = 98,
    /// On the control channel, worker to host: a log record,
    /// `(level, level name, logger, message, exception, file, line, call)`.
    Log = 99,
    /// On the control channel, worker to host: a warning,
    /// `(category, message, file, line, call)`.
    Warning = 100,
    /// On the control channel, worker to host: so many log records and warnings were not sent,
    /// `(count,)`.
    EventsDropped = 101,
    /// Write the stacks of all threads to the descriptor that comes with this.
    DumpStacks = 102,
    /// On the control channel, worker to host: a thread calls a callback that no call waits for. A
    /// number and the id of the callback in eight bytes each, then `(args, kwargs)`.
    BackgroundCallback = 103,
    /// On the control channel, host to worker: the number, then the result of that callback.
    BackgroundValue = 104,
    /// On the control channel, host to worker: the number, then the failure of that callback,
    /// `(class, message, causes)`.
    BackgroundError = 105,
    /// On the control channel, worker to host: the refs in the result with this number were taken.
    BackgroundTaken = 106,
    /// On the control channel, host to worker: descriptors of further lanes.
    Lanes = 107,

    /// To a fork server, first: the settings of the workers.
    ForkServer = 112,
    /// To a fork server, with three descriptors: fork a worker. A number in eight bytes.
    Fork = 113,
    /// From a fork server: `(number, process id, reason)`; without a process the reason for that.
    Forked = 114,
    /// To a fork server: take note of the end of a worker. Its process id in eight bytes.
    Reap = 115,
    /// From a fork server: `(process id, status)`, as `waitpid` gives it.
    Ended = 116,
    /// From a fork server, in the place of `Hello`: `(module, reason)`.
    Unforkable = 117,

    /// On the control channel, host to worker: a segment of shared memory, with its descriptor. Its id and
    /// its size in eight bytes each, and a byte that is 1 if it is for results; size 0 if there is none.
    Segment = 118,
    /// On the control channel, worker to host: a segment of this size is wanted for results.
    WantSegment = 119,
    /// On the control channel, host to worker: the segment with this id can be used for another result.
    SegmentFreed = 120,
    /// On the control channel, host to worker: the segment with this id is not used any more.
    SegmentForgotten = 121,
    /// On the control channel, host to worker: the segment with this id, which is for results, is wanted back
    /// if it is free.
    SegmentRecalled = 122,
    /// On the control channel, worker to host: the segment with this id, which was wanted back, is not used
    /// any more.
    SegmentReturned = 123,

    /// Ahead of a request: the lane shifts into second gear, with the mailbox in the segment with this id (eight bytes),
    /// in which the worker looks 2^n times (one byte) before it sleeps; into first gear for id 0. Has no reply.
    Mailbox = 38,
    /// In both directions: there is something in the box of whoever reads this. Has no body.
    Ring = 72,

    /// As [`Call`](Self::Call), and then the first items of the result.
    CallIter = 129,
    /// As [`Get`](Self::Get), and then the first items of the result.
    GetIter = 130,
    /// As [`Method`](Self::Method), and then the first items of the result.
    MethodIter = 131,
    /// As [`Attr`](Self::Attr), and then the first items of the result.
    AttrIter = 132,
    /// As [`Item`](Self::Item), and then the first items of the result.
    ItemIter = 135,
    /// As [`Invoke`](Self::Invoke), and then the first items of the result.
    InvokeIter = 138,
    /// As [`Helper`](Self::Helper), and then the first items of the result.
    HelperIter = 149,
    /// As [`Call`](Self::Call), and then what comes of awaiting the result.
    CallAwait = 161,
    /// As [`Get`](Self::Get), and then what comes of awaiting the result.
    GetAwait = 162,
    /// As [`Method`](Self::Method), and then what comes of awaiting the result.
    MethodAwait = 163,
    /// As [`Attr`](Self::Attr), and then what comes of awaiting the result.
    AttrAwait = 164,
    /// As [`Item`](Self::Item), and then what comes of awaiting the result.
    ItemAwait = 167,
    /// As [`Invoke`](Self::Invoke), and then what comes of awaiting the result.
    InvokeAwait = 170,
    /// As [`Helper`](Self::Helper), and then what comes of awaiting the result.
    HelperAwait = 181,
}

impl Kind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Call,
            2 => Self::Get,
            3 => Self::Method,
            4 => Self::Attr,
            5 => Self::SetAttr,
            6 => Self::DelAttr,
            7 => Self::Item,
            8 => Self::SetItem,
            9 => Self::DelItem,
            10 => Self::Invoke,
            11 => Self::Len,
            12 => Self::Contains,
            13 => Self::Str,
            14 => Self::Repr,
            15 => Self::Next,
            16 => Self::Iter,
            17 => Self::Await,
            18 => Self::Enter,
            19 => Self::Exit,
            20 => Self::Pipeline,
            21 => Self::Helper,
            22 => Self::Helpers,
            32 => Self::Release,
            33 => Self::CloseSession,
            34 => Self::Again,
            35 => Self::CallbackValue,
            36 => Self::CallbackError,
            37 => Self::Cancel,
            38 => Self::Mailbox,
            64 => Self::Value,
            65 => Self::Ref,
            66 => Self::Error,
            67 => Self::Fault,
            68 => Self::Callback,
            69 => Self::CallbacksDropped,
            70 => Self::RegionsKept,
            71 => Self::RegionsGone,
            72 => Self::Ring,
            96 => Self::Init,
            97 => Self::Hello,
            98 => Self::Refused,
            99 => Self::Log,
            100 => Self::Warning,
            101 => Self::EventsDropped,
            102 => Self::DumpStacks,
            103 => Self::BackgroundCallback,
            104 => Self::BackgroundValue,
            105 => Self::BackgroundError,
            106 => Self::BackgroundTaken,
            107 => Self::Lanes,
            112 => Self::ForkServer,
            113 => Self::Fork,
            114 => Self::Forked,
            115 => Self::Reap,
            116 => Self::Ended,
            117 => Self::Unforkable,
            118 => Self::Segment,
            119 => Self::WantSegment,
            120 => Self::SegmentFreed,
            121 => Self::SegmentForgotten,
            122 => Self::SegmentRecalled,
            123 => Self::SegmentReturned,
            129 => Self::CallIter,
            130 => Self::GetIter,
            131 => Self::MethodIter,
            132 => Self::AttrIter,
            135 => Self::ItemIter,
            138 => Self::InvokeIter,
            149 => Self::HelperIter,
            161 => Self::CallAwait,
            162 => Self::GetAwait,
            163 => Self::MethodAwait,
            164 => Self::AttrAwait,
            167 => Self::ItemAwait,
            170 => Self::InvokeAwait,
            181 => Self::HelperAwait,
            _ => return None,
        })
    }

    /// The kind of request that does the same and then awaits the result.
    #[must_use]
    pub const fn awaited(self) -> Option<Self> {
        Some(match self {
            Self::Call => Self::CallAwait,
            Self::Get => Self::GetAwait,
            Self::Method => Self::MethodAwait,
            Self::Attr => Self::AttrAwait,
            Self::Item => Self::ItemAwait,
            Self::Invoke => Self::InvokeAwait,
            Self::Helper => Self::HelperAwait,
            _ => return None,
        })
    }

    /// The kind of request that does the same and then gives the first items of the result.
    #[must_use]
    pub const fn iterated(self) -> Option<Self> {
        Some(match self {
            Self::Call => Self::CallIter,
            Self::Get => Self::GetIter,
            Self::Method => Self::MethodIter,
            Self::Attr => Self::AttrIter,
            Self::Item => Self::ItemIter,
            Self::Invoke => Self::InvokeIter,
            Self::Helper => Self::HelperIter,
            _ => return None,
        })
    }
}

/// The first sixteen bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete by nature: the fields of the format")]
pub struct Header {
    /// What the frame is for.
    pub kind: Kind,
    /// Bits of [`flags`].
    pub flags: u16,
    /// Number of the session, 0 where there is none.
    pub session: u32,
    /// Bytes of the body.
    pub len: u64,
}

impl Header {
    /// The header as bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [f0, f1] = self.flags.to_le_bytes();
        let [s0, s1, s2, s3] = self.session.to_le_bytes();
        let [l0, l1, l2, l3, l4, l5, l6, l7] = self.len.to_le_bytes();
        let kind = self.kind as u8;
        [PROTOCOL_VERSION, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3, l4, l5, l6, l7]
    }

    /// Reads a header.
    ///
    /// # Errors
    /// Another version, an unknown kind, or a body longer than the limit.
    pub fn parse(bytes: &[u8; HEADER_LEN], limits: &Limits) -> Result<Self, FrameError> {
        let [version, kind, f0, f1, s0, s1, s2, s3, len @ ..] = *bytes;
        if version != PROTOCOL_VERSION {
            return Err(FrameError::Version { found: version });
        }
        let kind = Kind::from_byte(kind).ok_or(FrameError::Kind { found: kind })?;
        let len = u64::from_le_bytes(len);
        if len > limits.frame_bytes {
            return Err(FrameError::TooLong { len, limit: limits.frame_bytes });
        }
        let flags = u16::from_le_bytes([f0, f1]);
        let session = u32::from_le_bytes([s0, s1, s2, s3]);
        Ok(Self { kind, flags, session, len })
    }
}

/// A byte stream that is not made of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame has another protocol version.
    Version {
        /// The version found.
        found: u8,
    },
    /// No frame kind has this number.
    Kind {
        /// The number found.
        found: u8,
    },
    /// The body would be longer than the limit.
    TooLong {
        /// Announced length in bytes.
        len: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { found } => {
                write!(f, "frame has protocol version {found}, expected {PROTOCOL_VERSION}")
            }
            Self::Kind { found } => write!(f, "unknown frame kind {found}"),
            Self::TooLong { len, limit } => {
                write!(f, "frame of {len} bytes is longer than the limit of {limit} bytes")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// One whole frame in the buffer of a [`Deframer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete by nature: header and body")]
pub struct Frame<'a> {
    /// The header.
    pub header: Header,
    /// The body.
    pub body: &'a [u8],
}

/// Cuts a byte stream into frames, whatever the pieces in which it arrives.
///
/// Bytes are appended to [`buffer`](Self::buffer), so that a reader can read straight into it.
#[derive(Debug, Default)]
pub struct Deframer {
    buf: Vec<u8>,
    /// Where the frame at hand begins.
    start: usize,
    limits: Limits,
}

impl Deframer {
    /// A deframer with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { buf: Vec::new(), start: 0, limits }
    }

    /// The buffer to append to, with room for the rest of the frame at hand as far as it is known,
    /// but for no more than eight megabytes: a damaged header must not allocate gigabytes.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.start == self.buf.len() {
            self.start = 0;
            self.buf.clear();
        }
        let have = self.buf.len() - self.start;
        let missing = match self.header() {
            Ok(Some(header)) => {
                let total = HEADER_LEN as u64 + header.len;
                total.saturating_sub(have as u64).min(MAX_RESERVE) as usize
            }
            _ => 0,
        };
        self.buf.reserve(missing.max(MIN_READ));
        &mut self.buf
    }

    /// The frame at hand, once it is whole.
    ///
    /// # Errors
    /// The header is damaged; the stream cannot be used any more.
    pub fn frame(&self) -> Result<Option<Frame<'_>>, FrameError> {
        let Some(header) = self.header()? else {
            return Ok(None);
        };
        let body = &self.buf[self.start + HEADER_LEN..];
        if (body.len() as u64) < header.len {
            return Ok(None);
        }
        Ok(Some(Frame { header, body: &body[..header.len as usize] }))
    }

    /// Drops the frame at hand and goes on to the next one. Gives memory back after a large frame.
    pub fn advance(&mut self) {
        let Ok(Some(frame)) = self.frame() else {
            return;
        };
        self.start += HEADER_LEN + frame.body.len();
        if self.start == self.buf.len() {
            self.start = 0;
            self.buf.clear();
            if self.buf.capacity() > KEEP {
                self.buf = Vec::new();
            }
        } else if self.start >= KEEP {
            self.buf.drain(..self.start);
            self.start = 0;
        }
    }

    /// Whether nothing is left of any frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.buf.len()
    }

    fn header(&self) -> Result<Option<Header>, FrameError> {
        match self.buf[self.start..].first_chunk() {
            Some(bytes) => Header::parse(bytes, &self.limits).map(Some),
            None => Ok(None),
        }
    }
}

/// Largest piece of a frame for which room is made ahead.
const MAX_RESERVE: u64 = 8 << 20;
/// Room for a header and a small body in one read.
const MIN_READ: usize = 4096;
/// Largest buffer that is kept for the next frame.
const KEEP: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: Kind, body: &[u8]) -> Vec<u8> {
        let header = Header { kind, flags: 3, session: 7, len: body.len() as u64 };
        let mut out = header.to_bytes().to_vec();
        out.extend_from_slice(body);
        out
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
            cuts in prop::collection::vec(1usize..64, 1..200),
        ) {
            let stream: Vec<u8> = bodies.iter().flat_map(|body| frame(Kind::Value, body)).collect();
            let mut deframer = Deframer::default();
            let (mut rest, mut found) = (&stream[..], Vec::new());
            for cut in cuts.iter().cycle() {
                let (piece, tail) = rest.split_at((*cut).min(rest.len()));
                deframer.buffer().extend_from_slice(piece);
                rest = tail;
                while let Some(frame) = deframer.frame().unwrap() {
                    prop_assert_eq!(frame.header.session, 7);
                    found.push(frame.body.to_vec());
                    deframer.advance();
                }
                if rest.is_empty() { break }
            }
            prop_assert_eq!(found, bodies);
            prop_assert!(deframer.is_empty());
        }

        #[test]
        fn headers_round_trip(kind in 0u8..=255, flags: u16, session: u32, len in 0u64..1 << 36) {
            if let Some(kind) = Kind::from_byte(kind) {
                let header = Header { kind, flags, session, len };
                prop_assert_eq!(Header::parse(&header.to_bytes(), &Limits::DEFAULT), Ok(header));
            }
        }
    }

    #[test]
    fn every_split_of_two_frames_gives_both() {
        let stream = [frame(Kind::Call, b"abc"), frame(Kind::Ref, b"")].concat();
        for cut in 0..=stream.len() {
            let mut deframer = Deframer::default();
            let mut kinds = Vec::new();
            for piece in [&stream[..cut], &stream[cut..]] {
                deframer.buffer().extend_from_slice(piece);
                while let Some(frame) = deframer.frame().unwrap() {
                    kinds.push((frame.header.kind, frame.body.len()));
                    deframer.advance();
                }
            }
            assert_eq!(kinds, [(Kind::Call, 3), (Kind::Ref, 0)], "cut at {cut}");
        }
    }

    #[test]
    fn damaged_headers_are_refused() {
        let good = frame(Kind::Value, b"x");
        for (byte, value, error) in
            [(0, 9, FrameError::Version { found: 9 }), (1, 200, FrameError::Kind { found: 200 })]
        {
            let mut bad = good.clone();
            bad[byte] = value;
            let mut deframer = Deframer::default();
            deframer.buffer().extend_from_slice(&bad);
            assert_eq!(deframer.frame(), Err(error));
        }
        let mut deframer = Deframer::new(Limits::DEFAULT.with_frame_bytes(10));
        deframer.buffer().extend_from_slice(&frame(Kind::Value, &[0; 11]));
        assert_eq!(deframer.frame(), Err(FrameError::TooLong { len: 11, limit: 10 }));
    }

    #[test]
    fn a_large_announcement_reserves_little() {
        let header = Header { kind: Kind::Value, flags: 0, session: 0, len: 1 << 35 };
        let mut deframer = Deframer::default();
        deframer.buffer().extend_from_slice(&header.to_bytes());
        assert!(deframer.buffer().capacity() <= (MAX_RESERVE as usize) * 2);
    }
}
