//! Shared memory of SnakeBridge: segments that two processes map, and their reuse.
//!
//! A **segment** is memory that this process has made, and that another one can map through its
//! descriptor. Fresh pages cost ten times what copying into used ones does, so segments are kept and used
//! again: their sizes are powers of two, and a [`Cache`] holds those that nobody uses.
//!
//! # What makes this sound
//!
//! The bytes of a [`Segment`] can be changed here only by its one owner (`&mut`), and are read only
//! through shared references afterwards. What the other process does is a matter of agreement: it maps
//! segments that are read here either read-only, or writes to them only before it says that they
//! are complete, and not again before it is told that nobody reads them any more. The worker of SnakeBridge keeps that
//! agreement. Code in the worker's process that looks for the mapping and writes to it behind its back breaks it, as
//! it can break all else in that process; what is read here is then arbitrary bytes.
//!
//! What the system can see to is no matter of agreement: nobody changes the size of any of this memory, which would have
//! whoever reads it killed, and, on Linux from 5.1 on, nobody but this process writes to a segment that is not
//! [to be filled](Segment::to_be_filled) by another one.
//!
//! A **mailbox** is no segment: it is memory with cells that both processes write to, each its own ones. Nobody ever
//! has a reference to its bytes; see [`mailbox`].
//!
//! The crate has no stable API of its own: depend on `snakebridge`.

mod cache;
pub mod mailbox;
mod mapping;
mod segment;

pub use cache::Cache;
pub use segment::{MOST, SMALLEST, Segment};
