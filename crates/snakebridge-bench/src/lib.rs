//! What the benchmarks and the soak test have in common: a look at processes from outside.

#![forbid(unsafe_code)]

pub mod process;
