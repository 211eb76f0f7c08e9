//! Samples taken in rounds.
//!
//! The machines that this runs on are shared, so a single figure says little. Everything that is
//! compared is measured in turn, round after round, and the comparison is the median of the ratios
//! within each round.

use std::time::{Duration, Instant};

/// Everything measured of one thing.
#[derive(Debug, Default)]
pub(crate) struct Series {
    /// Microseconds of each repetition.
    all: Vec<f64>,
    /// Median of each round.
    rounds: Vec<f64>,
}

impl Series {
    /// Measures one round: runs `once` so many times, and times each.
    pub(crate) fn round<E>(
        &mut self,
        count: usize,
        mut once: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let first = self.all.len();
        self.all.reserve(count);
        // The end of one repetition is the start of the next: one look at the clock for each.
        let mut start = Instant::now();
        for _ in 0..count {
            once()?;
            let end = Instant::now();
            self.all.push(micros(end - start));
            start = end;
        }
        self.rounds.push(median(&self.all[first..]));
        Ok(())
    }

    /// The same for what is awaited.
    pub(crate) async fn round_awaited<E>(
        &mut self,
        count: usize,
        mut once: impl AsyncFnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let first = self.all.len();
        self.all.reserve(count);
        let mut start = Instant::now();
        for _ in 0..count {
            once().await?;
            let end = Instant::now();
            self.all.push(micros(end - start));
            start = end;
        }
        self.rounds.push(median(&self.all[first..]));
        Ok(())
    }

    /// Adds a round of one repetition that was timed elsewhere.
    pub(crate) fn add(&mut self, time: Duration) {
        self.all.push(micros(time));
        self.rounds.push(micros(time));
    }

    /// Adds a round of repetitions that were timed elsewhere.
    pub(crate) fn add_round(&mut self, times: &[Duration]) {
        let first = self.all.len();
        self.all.extend(times.iter().copied().map(micros));
        self.rounds.push(median(&self.all[first..]));
    }

    /// Forgets what was measured to warm up.
    pub(crate) fn clear(&mut self) {
        self.all.clear();
        self.rounds.clear();
    }

    /// Median of the medians of the rounds, in microseconds.
    pub(crate) fn p50_us(&self) -> f64 {
        median(&self.rounds)
    }

    /// The time that one in a hundred repetitions exceeds, in microseconds.
    pub(crate) fn p99_us(&self) -> f64 {
        percentile(&self.all, 99)
    }

    /// [`p50_us`](Self::p50_us) in milliseconds.
    pub(crate) fn p50_ms(&self) -> f64 {
        self.p50_us() / 1e3
    }

    /// Repetitions per second, over all rounds.
    pub(crate) fn per_second(&self) -> f64 {
        1e6 * self.all.len() as f64 / self.all.iter().sum::<f64>()
    }

    /// How many times longer this takes than `floor`: the median of the rounds' ratios.
    pub(crate) fn over(&self, floor: &Self) -> f64 {
        let rounds = self.rounds.iter().zip(&floor.rounds);
        let ratios: Vec<f64> = rounds.map(|(this, floor)| this / floor).collect();
        median(&ratios)
    }
}

/// How much longer `more` takes than `less`, as a multiple of `floor`: the median over the rounds.
pub(crate) fn added_over(more: &Series, less: &Series, floor: &Series) -> f64 {
    let rounds = more.rounds.iter().zip(&less.rounds).zip(&floor.rounds);
    let ratios: Vec<f64> = rounds.map(|((more, less), floor)| (more - less) / floor).collect();
    median(&ratios)
}

/// The middle value, or NaN if there is none.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = sorted.len() * percent / 100;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99)), (50.0, 99.0));
        assert_eq!(median(&[3.0]), 3.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let (mut slow, mut floor) = (Series::default(), Series::default());
        // The machine was ten times slower in the second round, for both.
        for factor in [1, 10, 1] {
            slow.add(Duration::from_micros(30 * factor));
            floor.add(Duration::from_micros(20 * factor));
        }
        assert_eq!(slow.over(&floor), 1.5);
        assert_eq!((slow.p50_us(), slow.p99_us()), (30.0, 300.0));
        assert_eq!(added_over(&slow, &floor, &floor), 0.5);
    }
}
