//! Streams: the items of whatever Python can iterate over, one after the other.

mod feed;
mod iter;
#[cfg(feature = "tokio")]
mod stream;

pub use iter::Iter;
#[cfg(feature = "tokio")]
pub use stream::Stream;
