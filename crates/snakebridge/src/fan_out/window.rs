//! Which calls are made next, and which results are given next.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Calls that wait, are under way, or are done and were not given yet. Does no I/O.
#[derive(Debug)]
pub(super) struct Window<C, T> {
    workers: usize,
    is_ordered: bool,
    /// How many calls a chunk has, where that was said.
    fixed: Option<usize>,
    /// How many calls the next chunk may have.
    size: usize,
    /// Calls that are in no chunk yet; whether a chunk ends with it.
    waiting: VecDeque<(C, bool)>,
    /// How many chunks were taken, and how many were given, in all.
    taken: u64,
    given: u64,
    /// Chunks that are done: by their number, or by when they were.
    done: BTreeMap<u64, Vec<T>>,
    completed: u64,
    /// What is left of the chunk that is being given.
    ready: VecDeque<T>,
    is_at_end: bool,
}

/// How many chunks for each worker may be under way or wait to be given.
const AHEAD: u64 = 4;

/// Chunks that take less than this grow, and those that take more than twice as long shrink.
const CHUNK_TIME: Duration = Duration::from_millis(4);

/// Most calls of a chunk, where nothing else is said.
const MOST_CALLS: usize = 1000;

impl<C, T> Window<C, T> {
    pub(super) fn new(workers: usize, fixed: Option<usize>, is_ordered: bool) -> Self {
        Self {
            workers,
            is_ordered,
            fixed,
            size: fixed.unwrap_or(1),
            waiting: VecDeque::new(),
            taken: 0,
            given: 0,
            done: BTreeMap::new(),
            completed: 0,
            ready: VecDeque::new(),
            is_at_end: false,
        }
    }

    /// How many chunks may be under way at once.
    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    /// Whether there is room for further calls.
    pub(super) fn wants_more(&self) -> bool {
        !self.is_at_end && self.waiting.len() < self.size * self.workers
    }

    /// Adds a call. Whether it has to be the last of its chunk is for the caller to know.
    pub(super) fn push(&mut self, call: C, ends_chunk: bool) {
        self.waiting.push_back((call, ends_chunk));
    }

    /// There are no further calls.
    pub(super) fn end(&mut self) {
        self.is_at_end = true;
    }

    /// Whether no chunk will be taken any more.
    pub(super) fn is_exhausted(&self) -> bool {
        self.is_at_end && self.waiting.is_empty()
    }

    /// Takes the next chunk, with its number, if there is one and room for its results.
    pub(super) fn take(&mut self) -> Option<(u64, Vec<C>)> {
        if self.waiting.is_empty() || self.taken - self.given >= AHEAD * self.workers as u64 {
            return None;
        }
        let mut calls = Vec::new();
        while calls.len() < self.size {
            let Some((call, ends_chunk)) = self.waiting.pop_front() else { break };
            calls.push(call);
            if ends_chunk {
                break;
            }
        }
        self.taken += 1;
        Some((self.taken - 1, calls))
    }

    /// A chunk is done, and has taken this long.
    pub(super) fn put(&mut self, number: u64, outcomes: Vec<T>, time: Duration) {
        if self.fixed.is_none() {
            self.adapt(outcomes.len(), time);
        }
        let place = if self.is_ordered { number } else { self.completed };
        self.completed += 1;
        self.done.insert(place, outcomes);
    }

    /// The next result, if it is there.
    pub(super) fn pop(&mut self) -> Option<T> {
        while self.ready.is_empty() {
            self.ready = self.done.remove(&self.given)?.into();
            self.given += 1;
        }
        self.ready.pop_front()
    }

    /// Whether all results of all calls were given.
    pub(super) fn is_over(&self) -> bool {
        self.is_exhausted() && self.taken == self.given && self.ready.is_empty()
    }

    fn adapt(&mut self, calls: usize, time: Duration) {
        if time > 2 * CHUNK_TIME {
            self.size = self.size.min(calls).div_ceil(2);
        } else if time < CHUNK_TIME && calls >= self.size {
            self.size = (2 * self.size).min(MOST_CALLS);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_the_order_all_results_are_given(
            inputs in 0usize..300,
            workers in 1usize..5,
            chunk in prop::option::of(1usize..9),
            is_ordered: bool,
            mut choices in prop::collection::vec((any::<u8>(), 0u64..12), 1..200),
        ) {
            let mut window = Window::new(workers, chunk, is_ordered);
            let (mut next, mut under_way, mut given) = (0, Vec::new(), Vec::new());
            // So that it comes to an end.
            choices.extend([(0, 1), (1, 1), (2, 1), (3, 1)]);
            let mut choices = choices.iter().cycle();
            while !window.is_over() {
                let (choice, millis) = choices.next().unwrap();
                prop_assert!(window.taken - window.given <= AHEAD * workers as u64);
                prop_assert!(window.waiting.len() <= MOST_CALLS * workers);
                match choice % 4 {
                    0 if window.wants_more() && next == inputs => window.end(),
                    0 if window.wants_more() => {
                        window.push(next, choice % 11 == 0);
                        next += 1;
                    }
                    1 if under_way.len() < workers => under_way.extend(window.take()),
                    2 if !under_way.is_empty() => {
                        let done = usize::from(*choice) % under_way.len();
                        let (number, outcomes) = under_way.swap_remove(done);
                        window.put(number, outcomes, Duration::from_millis(*millis));
                    }
                    _ => given.extend(window.pop()),
                }
            }
            if !is_ordered {
                given.sort_unstable();
            }
            prop_assert_eq!(given, (0..inputs).collect::<Vec<_>>());
        }
    }

    #[test]
    fn chunks_grow_while_they_are_quick_and_shrink_when_they_are_slow() {
        let mut window = Window::new(1, None, true);
        let mut sizes = Vec::new();
        for millis in [1, 1, 1, 5, 9, 9, 9, 9] {
            while window.wants_more() {
                window.push((), false);
            }
            let (number, calls) = window.take().unwrap();
            sizes.push(calls.len());
            window.put(number, calls, Duration::from_millis(millis));
            while window.pop().is_some() {}
        }
        assert_eq!(sizes, [1, 2, 4, 8, 8, 4, 2, 1]);
    }
}
