//! Wire format of SnakeBridge, as pure functions over bytes.
//!
//! What travels between the Rust host and a Python worker is a sequence of [frames](frame), each
//! holding one value in a subset of pickle protocol 5. This crate writes such values straight from
//! [serde] ([`Encoder`]), reads them straight back ([`Tape`]), cuts byte streams into frames
//! ([`Deframer`]) and knows what the replies of a worker mean ([`reply`]).
//!
//! It does no I/O, reads no clock and starts no thread. The format is written down in
//! `spec/wire.md`. The crate has no stable API of its own: depend on `snakebridge`.

#![forbid(unsafe_code)]

mod de;
mod decimal;
mod encode;
mod error;
pub mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub mod limits;
mod opcode;
mod plain;
mod print;
pub mod reply;
mod scan;
mod ser;
mod tape;
pub mod token;

pub use de::Deserializer;
pub use decimal::{int_from_decimal, int_to_decimal};
pub use encode::Encoder;
pub use error::{Careful, DecodeError, DecodeErrorKind, EncodeError, PathSegment};
pub use frame::{Deframer, Frame, FrameError, Header, Kind, PROTOCOL_VERSION};
pub use limits::Limits;
pub use plain::plain;
pub use tape::Tape;
