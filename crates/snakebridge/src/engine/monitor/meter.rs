//! How long calls take.

use std::time::{Duration, Instant};

use snakebridge_pool::LaneKey;

/// The times of the calls of all pools, from the lease of a lane until it is given back.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Lanes with a call, and since when.
    busy: Vec<(LaneKey, Instant)>,
    /// By pool.
    pools: Vec<Histogram>,
    /// By the place of the worker: how long its lanes had calls.
    workers: Vec<Duration>,
}

/// What the times of a pool come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) calls: u64,
    pub(crate) mean: Duration,
    /// Half of the calls were faster.
    pub(crate) p50: Duration,
    /// One call of a hundred was slower.
    pub(crate) p99: Duration,
}

impl Meter {
    pub(crate) fn new(pools: usize, workers: usize) -> Self {
        let pools = (0..pools).map(|_| Histogram::new()).collect();
        Self { busy: Vec::new(), pools, workers: vec![Duration::ZERO; workers] }
    }

    /// A lane was leased.
    pub(crate) fn begin(&mut self, lane: LaneKey) {
        self.busy.push((lane, Instant::now()));
    }

    /// A lane has come back. Only what was a call counts as one.
    pub(crate) fn end(&mut self, lane: LaneKey, pool: usize, is_call: bool) {
        let Some(place) = self.busy.iter().position(|(busy, _)| *busy == lane) else { return };
        let (_, since) = self.busy.swap_remove(place);
        let time = since.elapsed();
        self.workers[lane.worker.slot as usize] += time;
        if is_call {
            self.pools[pool].add(time);
        }
    }

    /// A worker has ended, and its lanes with it.
    pub(crate) fn forget(&mut self, worker: snakebridge_pool::WorkerKey) {
        self.busy.retain(|(lane, _)| lane.worker != worker);
    }

    pub(crate) fn latency(&self, pool: usize) -> Latency {
        self.pools[pool].summary()
    }

    /// How long the lanes of a worker had calls; what runs now is in it.
    pub(crate) fn busy(&self, slot: u32) -> Duration {
        let running = self.busy.iter().filter(|(lane, _)| lane.worker.slot == slot);
        self.workers[slot as usize] + running.map(|(_, since)| since.elapsed()).sum::<Duration>()
    }
}

/// Counts of times, by their size: four steps for each doubling, so that a time is known to an eighth.
#[derive(Debug)]
struct Histogram {
    counts: Box<[u64; STEPS]>,
    total: Duration,
}

const STEPS: usize = 4 * 64;

impl Histogram {
    fn new() -> Self {
        Self { counts: Box::new([0; STEPS]), total: Duration::ZERO }
    }

    fn add(&mut self, time: Duration) {
        self.counts[step(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))] += 1;
        self.total += time;
    }

    fn summary(&self) -> Latency {
        let calls: u64 = self.counts.iter().sum();
        if calls == 0 {
            return Latency::default();
        }
        let mean = self.total.div_f64(calls as f64);
        Latency { calls, mean, p50: self.quantile(calls, 0.5), p99: self.quantile(calls, 0.99) }
    }

    fn quantile(&self, calls: u64, part: f64) -> Duration {
        let wanted = (calls as f64 * part).ceil() as u64;
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        Duration::from_nanos(middle(found.unwrap_or(STEPS - 1)))
    }
}

/// The step of a time: its highest bit, and the two below.
fn step(nanos: u64) -> usize {
    let nanos = nanos.max(4);
    let high = 63 - nanos.leading_zeros();
    (4 * high + ((nanos >> (high - 2)) & 3) as u32) as usize
}

/// The time in the middle of a step.
fn middle(step: usize) -> u64 {
    let (high, part) = (step / 4, (step % 4) as u64);
    match high {
        0..=2 => part + 4,
        _ => ((4 + part) << (high - 2)) + (1 << (high - 3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_known_to_an_eighth() {
        let mut time = 4_u64;
        while time < 1 << 62 {
            let shown = middle(step(time));
            assert!(shown.abs_diff(time) <= time / 8 + 1, "{time} is shown as {shown}");
            time = time + time / 7 + 1;
        }
        assert!(step(0) < STEPS && step(u64::MAX) < STEPS);
    }

    #[test]
    fn what_times_come_to() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.summary(), Latency::default());
        (0..98).for_each(|_| histogram.add(Duration::from_micros(10)));
        (0..2).for_each(|_| histogram.add(Duration::from_millis(1)));
        let Latency { calls, mean, p50, p99 } = histogram.summary();
        assert_eq!((calls, mean), (100, Duration::from_nanos(29_800)));
        assert!((9..12).contains(&p50.as_micros()), "{p50:?}");
        assert!((875..1125).contains(&p99.as_micros()), "{p99:?}");
    }
}
