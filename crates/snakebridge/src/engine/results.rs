//! Results that are kept, so that an idempotent call is not made twice.
//!
//! A result is found by the request that asked for it, byte for byte, and is itself kept as it came:
//! reading it once more cannot change it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::status::ResultsStatus;

/// How much a pool keeps.
#[derive(Clone, Debug)]
pub(crate) struct ResultLimits {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    pub(crate) max_age: Duration,
}

/// The results that a pool keeps.
#[derive(Debug)]
pub(crate) struct Results {
    limits: ResultLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Arc<[u8]>, Entry>,
    /// Keys by age, oldest first.
    order: VecDeque<Arc<[u8]>>,
    bytes: usize,
    hits: u64,
    misses: u64,
    /// How often everything was forgotten, so that a call from before brings nothing back.
    clears: u64,
}

#[derive(Debug)]
struct Entry {
    body: Arc<[u8]>,
    kept: Instant,
}

/// What was found for a request.
#[derive(Debug)]
pub(crate) struct Lookup {
    results: Arc<Results>,
    key: Arc<[u8]>,
    pub(crate) found: Option<Arc<[u8]>>,
    clears: u64,
}

impl Results {
    pub(crate) fn new(limits: ResultLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Looks for the result of a request.
    pub(crate) fn look_up(self: &Arc<Self>, key: Arc<[u8]>, now: Instant) -> Lookup {
        let mut state = self.lock();
        state.forget_old(now, self.limits.max_age);
        let found = state.entries.get(&key).map(|entry| Arc::clone(&entry.body));
        match found {
            Some(_) => state.hits += 1,
            None => state.misses += 1,
        }
        Lookup { results: Arc::clone(self), key, found, clears: state.clears }
    }

    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        state.clears += 1;
        state.entries.clear();
        state.order.clear();
        state.bytes = 0;
    }

    pub(crate) fn status(&self) -> ResultsStatus {
        let mut state = self.lock();
        state.forget_old(Instant::now(), self.limits.max_age);
        let State { bytes, hits, misses, .. } = *state;
        ResultsStatus { entries: state.entries.len(), bytes, hits, misses }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lookup {
    /// Keeps the body of the reply; the oldest results make room.
    pub(crate) fn keep(&self, body: &[u8], now: Instant) {
        let limits = &self.results.limits;
        let size = self.key.len() + body.len();
        if size > limits.bytes || limits.entries == 0 {
            return;
        }
        let body: Arc<[u8]> = body.into();
        let mut state = self.results.lock();
        if state.clears != self.clears || state.entries.contains_key(&self.key) {
            return;
        }
        while state.bytes + size > limits.bytes || state.entries.len() >= limits.entries {
            state.forget_oldest();
        }
        state.bytes += size;
        state.order.push_back(Arc::clone(&self.key));
        state.entries.insert(Arc::clone(&self.key), Entry { body, kept: now });
    }
}

impl State {
    fn forget_old(&mut self, now: Instant, max_age: Duration) {
        let is_old = |entry: &Entry| now.saturating_duration_since(entry.kept) > max_age;
        while self.order.front().and_then(|key| self.entries.get(key)).is_some_and(is_old) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.order.pop_front();
        if let Some((key, entry)) = oldest.and_then(|key| self.entries.remove_entry(&key)) {
            self.bytes -= key.len() + entry.body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(entries: usize, bytes: usize) -> Arc<Results> {
        let limits = ResultLimits { entries, bytes, max_age: Duration::from_secs(10) };
        Arc::new(Results::new(limits))
    }

    fn look(results: &Arc<Results>, key: &[u8], now: Instant) -> Lookup {
        results.look_up(key.into(), now)
    }

    #[test]
    fn the_oldest_make_room() {
        let (results, now) = (results(2, 100), Instant::now());
        for key in [b"a", b"b", b"c"] {
            look(&results, key, now).keep(b"x", now);
        }
        assert!(look(&results, b"a", now).found.is_none());
        assert!(look(&results, b"c", now).found.is_some());
        assert_eq!(results.status().bytes, 4);
    }

    #[test]
    fn what_is_larger_than_all_the_room_is_not_kept() {
        let (results, now) = (results(2, 5), Instant::now());
        look(&results, b"a", now).keep(b"1234", now);
        look(&results, b"b", now).keep(b"12345", now);
        assert!(look(&results, b"a", now).found.is_some());
        look(&results, b"c", now).keep(b"1", now);
        assert_eq!((results.status().entries, results.status().bytes), (1, 2));
    }

    #[test]
    fn old_results_are_forgotten() {
        let (results, now) = (results(2, 100), Instant::now());
        look(&results, b"a", now).keep(b"x", now);
        let later = now + Duration::from_secs(10);
        assert!(look(&results, b"a", later).found.is_some());
        assert!(look(&results, b"a", later + Duration::from_nanos(1)).found.is_none());
    }

    #[test]
    fn a_call_from_before_a_clear_brings_nothing_back() {
        let (results, now) = (results(2, 100), Instant::now());
        let before = look(&results, b"a", now);
        results.clear();
        before.keep(b"x", now);
        assert!(look(&results, b"a", now).found.is_none());
        assert_eq!((results.status().hits, results.status().misses), (0, 2));
    }
}
