//! The scheduler of SnakeBridge, as a state machine without I/O.
//!
//! It decides everything about pools, workers, leases, sessions, queues, deadlines, restarts and
//! recycling: events and the present time go in, [`Action`]s come out. It reads no clock, starts no
//! thread and makes no random choice, so a run can be repeated exactly; `tests/simulation.rs` does
//! that with fake workers that start slowly, die, hang and answer late.
//!
//! The crate has no stable API of its own: depend on `snakebridge`.

#![forbid(unsafe_code)]

mod config;
mod scheduler;

pub use config::{PoolConfig, Recycle};
pub use scheduler::{
    Action, Affinity, LaneKey, Outcome, PoolId, PoolStatus, Refusal, Returned, Scheduler,
    SessionKey, Ticket, Want, WorkerKey, WorkerStage,
};
