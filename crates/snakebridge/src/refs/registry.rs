//! The live refs of one session: for the list of them, and for the limits of the session.
//!
//! Times are microseconds since the session was opened. The order of last uses is brought up to date
//! when somebody looks, so using a ref costs one store.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::object::{End, Object};

/// All refs of a session that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    places: Vec<Option<Place>>,
    free: Vec<u32>,
    /// In sessions with a limit: last use, as far as it is known here, and place.
    order: BTreeSet<(u64, u32)>,
    /// Refs that were ended by the limits, so far.
    pub(crate) evicted: u64,
    pub(crate) expired: u64,
}

#[derive(Debug)]
struct Place {
    object: Weak<Object>,
    last_use: u64,
}

impl Registry {
    pub(crate) fn enter(&mut self, object: &Arc<Object>, ordered: bool) {
        let entry = Place { object: Arc::downgrade(object), last_use: object.made };
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        });
        object.place.store(place, Ordering::Relaxed);
        if ordered {
            self.order.insert((entry.last_use, place));
        }
        self.places[place as usize] = Some(entry);
    }

    /// Takes out a ref that has ended.
    pub(crate) fn leave(&mut self, place: u32) {
        if let Some(entry) = self.places.get_mut(place as usize).and_then(Option::take) {
            self.order.remove(&(entry.last_use, place));
            self.free.push(place);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// The refs that are live at this moment.
    pub(crate) fn live(&self) -> impl Iterator<Item = Arc<Object>> {
        self.places.iter().flatten().filter_map(|place| place.object.upgrade())
    }

    /// Ends the refs that were used least lately, until there are no more than `most`. Those that a
    /// call uses stay. The caller lets the objects go, without the lock.
    pub(crate) fn evict(&mut self, most: usize, now: u64) -> Vec<Arc<Object>> {
        let mut ended = Vec::new();
        while self.count() > most {
            match self.end_oldest(now, now, End::Evicted) {
                Some(object) => ended.push(object),
                None => break,
            }
        }
        self.evicted += ended.len() as u64;
        ended
    }

    /// Ends the refs that were last used before `before`. Those that a call uses stay.
    pub(crate) fn expire(&mut self, before: u64, now: u64) -> Vec<Arc<Object>> {
        let ended: Vec<_> =
            std::iter::from_fn(|| self.end_oldest(before, now, End::Expired)).collect();
        self.expired += ended.len() as u64;
        ended
    }

    /// The earliest last use of a ref, or earlier.
    pub(crate) fn oldest_use(&self) -> Option<u64> {
        self.order.first().map(|(last_use, _)| *last_use)
    }

    /// Ends the unused ref whose last use is oldest, if it is not after `until`.
    fn end_oldest(&mut self, until: u64, now: u64, end: End) -> Option<Arc<Object>> {
        while let Some(&(last_use, place)) = self.order.first() {
            if last_use > until {
                break;
            }
            self.order.pop_first();
            let entry = self.places[place as usize].as_mut()?;
            // One that is just being dropped takes itself out.
            let Some(object) = entry.object.upgrade() else { continue };
            let used = object.last_use();
            if used <= last_use && object.end_unused(end) {
                self.leave(place);
                return Some(object);
            }
            // It counts as used now if a call uses it; that also ends the loop.
            entry.last_use = if object.is_used() { now + 1 } else { used.max(last_use + 1) };
            self.order.insert((entry.last_use, place));
        }
        None
    }
}
