//! Settings of a pool, as far as the scheduler needs them.

use std::time::Duration;

/// Settings of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "filled by one crate, in one place")]
pub struct PoolConfig {
    /// Workers that are always there.
    pub min: u32,
    /// Most workers; those above `min` start when calls wait.
    pub max: u32,
    /// How many calls a worker carries out at the same time.
    pub lanes: u32,
    /// How long a worker above `min` may be idle before it is ended.
    pub idle_limit: Duration,
    /// Most calls that may wait for a worker.
    pub queue_limit: usize,
    /// How long an interrupted call may go on before its worker is killed, and a worker that was
    /// asked to end may take.
    pub grace: Duration,
    /// The first wait after a failed start; it doubles with each further one.
    pub first_backoff: Duration,
    /// The longest wait after failed starts.
    pub last_backoff: Duration,
    /// When a worker is replaced though nothing is wrong with it.
    pub recycle: Recycle,
}

/// When a worker is replaced. `None` means never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "filled by one crate, in one place")]
pub struct Recycle {
    /// After this many calls.
    pub calls: Option<u64>,
    /// At this age.
    pub age: Option<Duration>,
    /// When it uses this many bytes of memory.
    pub bytes: Option<u64>,
    /// How long objects that are still held may keep a worker that is due. `None`: as long as they
    /// are held.
    pub drain_limit: Option<Duration>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            min: 1,
            max: 1,
            lanes: 1,
            idle_limit: Duration::from_secs(60),
            queue_limit: 1000,
            grace: Duration::from_secs(1),
            first_backoff: Duration::from_millis(500),
            last_backoff: Duration::from_secs(30),
            recycle: Recycle::default(),
        }
    }
}
