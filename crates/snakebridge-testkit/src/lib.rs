//! Runs conformance cases: steps in JSON, with what must come of them, the same for every library
//! of this kind. The format is described in `cases/README.md`.

#![forbid(unsafe_code)]

mod callback;
pub mod case;
mod check;
pub mod environment;
mod run;
mod value;

pub use run::{Report, Settings, run};
