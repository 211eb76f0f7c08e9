//! Segments that nobody uses at the moment.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::segment::{Segment, size_for};

/// Keeps segments for the next use, up to a number of bytes.
#[derive(Debug)]
pub struct Cache {
    most_bytes: usize,
    /// Those that came last at the end: their pages are the warmest.
    free: Mutex<VecDeque<Free>>,
}

#[derive(Debug)]
struct Free {
    segment: Segment,
    /// Whether it was here when those that stay unused were last looked for.
    is_old: bool,
}

impl Cache {
    /// A cache that keeps so many bytes at most.
    #[must_use]
    pub const fn new(most_bytes: usize) -> Self {
        Self { most_bytes, free: Mutex::new(VecDeque::new()) }
    }

    /// A segment of at least so many bytes, with whatever was in it before.
    ///
    /// # Errors
    /// There is none, and a new one cannot be made.
    pub fn take(&self, least: usize) -> io::Result<Segment> {
        let size = size_for(least).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut free = self.lock();
        if let Some(place) = free.iter().rposition(|free| free.segment.len() == size)
            && let Some(found) = free.remove(place)
        {
            return Ok(found.segment);
        }
        drop(free);
        self.make(size)
    }

    /// A copy of the first bytes of a segment, for a process that must not have that itself: with the same id, and nothing
    /// else in it. The segment has another id when it is taken the next time.
    ///
    /// # Errors
    /// It cannot be made.
    ///
    /// # Panics
    /// If the segment has fewer bytes.
    pub fn copy(&self, segment: &Segment, len: usize) -> io::Result<Segment> {
        let mut copy = self.make(len)?;
        segment.copy_to(&mut copy, len);
        Ok(copy)
    }

    fn make(&self, least: usize) -> io::Result<Segment> {
        Segment::new(least).or_else(|error| {
            // One that nobody uses may be what stands in the way.
            let oldest = self.lock().pop_front().ok_or(error)?;
            drop(oldest);
            Segment::new(least)
        })
    }

    /// Keeps a segment. Others may have to go for it, or it is too large itself.
    pub fn put(&self, mut segment: Segment) {
        if segment.has_copies() {
            segment.renew();
        }
        let mut gone = Vec::new();
        let mut free = self.lock();
        let before: usize = free.iter().map(|free| free.segment.len()).sum();
        let mut bytes = before + segment.len();
        free.push_back(Free { segment, is_old: false });
        while bytes > self.most_bytes
            && let Some(oldest) = free.pop_front()
        {
            bytes -= oldest.segment.len();
            gone.push(oldest);
        }
        drop(free); // Giving large memory back takes a while.
        drop(gone);
    }

    /// Gives back what nobody has used since the last time that this was called.
    pub fn age(&self) {
        let mut free = self.lock();
        let (old, mut used): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut *free).into_iter().partition(|free| free.is_old);
        used.iter_mut().for_each(|free| free.is_old = true);
        *free = used;
        drop(free);
        drop(old);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Free>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::SMALLEST;

    #[test]
    fn a_segment_is_used_again() {
        let cache = Cache::new(1 << 20);
        let first = cache.take(SMALLEST).unwrap();
        let id = first.id();
        cache.put(first);
        assert_ne!(cache.take(2 * SMALLEST).unwrap().id(), id, "it is too small");
        assert_eq!(cache.take(1).unwrap().id(), id);
        assert_ne!(cache.take(1).unwrap().id(), id, "it is in use");
    }

    #[test]
    fn copies_have_the_id_alone_when_it_is_used_again() {
        let cache = Cache::new(1 << 20);
        let mut segment = cache.take(1).unwrap();
        segment.write(b"secret");
        let (id, token) = (segment.id(), segment.token());
        let copy = cache.copy(&segment, 3).unwrap();
        assert_eq!((copy.id(), &copy.bytes()[..6]), (id, &b"sec\0\0\0"[..]));
        assert!(segment.has_copies() && !copy.has_copies());
        cache.put(segment);
        let again = cache.take(1).unwrap();
        assert_eq!(&again.bytes()[..6], b"secret");
        assert!(again.id() != id && !again.has_copies());
        assert_eq!((token.strong_count(), again.token().strong_count()), (0, 1));
    }

    #[test]
    fn what_stays_unused_is_given_back() {
        let cache = Cache::new(1 << 20);
        let [used, unused] = [1, 2].map(|n| cache.take(n * SMALLEST).unwrap());
        let tokens = [used.token(), unused.token()];
        cache.put(unused);
        cache.put(used);
        cache.age();
        let used = cache.take(SMALLEST).unwrap();
        cache.put(used);
        cache.age();
        assert_eq!(tokens.each_ref().map(Weak::strong_count), [1, 0]);
        cache.age();
        assert_eq!(tokens.each_ref().map(Weak::strong_count), [0, 0]);
    }

    #[test]
    fn the_oldest_go_first_and_what_is_too_large_at_once() {
        let cache = Cache::new(3 * SMALLEST);
        let segments: Vec<Segment> = (0..4).map(|_| cache.take(1).unwrap()).collect();
        let mut tokens: Vec<_> = segments.iter().map(Segment::token).collect();
        segments.into_iter().for_each(|segment| cache.put(segment));
        let left = |tokens: &[Weak<()>]| tokens.iter().map(Weak::strong_count).collect::<Vec<_>>();
        assert_eq!(left(&tokens), [0, 1, 1, 1]);
        let large = cache.take(8 * SMALLEST).unwrap();
        tokens.push(large.token());
        cache.put(large);
        assert_eq!(left(&tokens), [0; 5]);
    }
}
