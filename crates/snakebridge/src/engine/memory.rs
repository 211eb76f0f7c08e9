//! Arrays in shared memory: who has which segment.
//!
//! Segments for arguments come from one cache of the process, and are lent to a worker with a
//! request. They are free again with the reply, unless the worker says that it keeps them. Segments for
//! results are made for one worker, which fills them; they are free again when nobody reads them here.
//! What stays unused for a while is given back.
//!
//! A worker that is confined shares no memory with others: it is given copies of arguments, each in a segment of its
//! own. Those it can read as long as it likes, whatever the original is used for after that.

use std::collections::HashMap;
use std::ops::Range;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use snakebridge_pool::WorkerKey;
use snakebridge_shm::{Cache, SMALLEST, Segment};

use super::{Command, Shared};
use crate::status::MemoryStatus;

/// Most bytes that are kept for further arguments.
const MOST_CACHED: usize = 512 << 20;

/// Most bytes that a worker keeps for further results.
const MOST_LENT: usize = 256 << 20;

/// Arguments of all bridges.
static CACHE: Cache = Cache::new(MOST_CACHED);

/// Bytes in shared memory that nobody changes any more. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Region(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// None only while it is dropped.
    segment: Option<Arc<Segment>>,
    len: usize,
    /// Whether it was copied here, and that was not counted yet.
    is_fresh: AtomicBool,
    /// Who has filled it; none for arguments.
    lent_by: Option<(Weak<Shared>, WorkerKey)>,
}

/// Gives back the segments for arguments that nobody has used since the last time that this was called.
/// Whether there are others still, in use or not.
pub(crate) fn age() -> bool {
    CACHE.age();
    Segment::count() > 0
}

/// A segment for so many bytes of arguments, where they are enough for one and there is memory to share.
pub(crate) fn take_segment(len: usize) -> Option<Segment> {
    (len >= SMALLEST).then(|| CACHE.take(len).ok()).flatten()
}

impl Region {
    /// A copy of these bytes; `None` where [`take_segment`] gives none.
    pub(crate) fn copy_of(data: &[u8]) -> Option<Self> {
        let mut segment = take_segment(data.len())?;
        segment.write(data);
        Some(Self::copied(segment, data.len()))
    }

    /// The first bytes of a segment, into which something was copied.
    pub(crate) fn copied(segment: Segment, len: usize) -> Self {
        Self::new(Arc::new(segment), len, true, None)
    }

    /// The first bytes of a segment, which is complete.
    pub(crate) fn of(segment: Segment, len: usize) -> Self {
        Self::new(Arc::new(segment), len, false, None)
    }

    fn new(
        segment: Arc<Segment>,
        len: usize,
        is_fresh: bool,
        lent_by: Option<(Weak<Shared>, WorkerKey)>,
    ) -> Self {
        let is_fresh = AtomicBool::new(is_fresh);
        Self(Arc::new(Inner { segment: Some(segment), len, is_fresh, lent_by }))
    }

    pub(crate) fn id(&self) -> u64 {
        self.0.segment.as_ref().map_or(0, |segment| segment.id())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        let segment = self.0.segment.as_ref();
        segment.and_then(|segment| segment.bytes().get(..self.0.len)).unwrap_or_default()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(segment) = self.segment.take() else { return };
        if let Some((shared, worker)) = &self.lent_by {
            if let Some(shared) = shared.upgrade() {
                shared.placement.ask(Command::FreeSegment(*worker, segment.id()));
            }
        } else if let Ok(segment) = Arc::try_unwrap(segment) {
            CACHE.put(segment);
        }
    }
}

/// What the workers of a bridge have of it.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Places of workers that are confined.
    confined: Vec<Range<u32>>,
    state: Mutex<State>,
    /// Bytes that were copied into shared memory, and those that were there already.
    copied: AtomicU64,
    shared: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Segments for arguments that a worker has mapped.
    known: HashMap<(WorkerKey, u64), Weak<()>>,
    /// Segments for results.
    lent: HashMap<(WorkerKey, u64), Lent>,
    /// Arguments that a worker still uses, with the number under which it has said so last.
    kept: HashMap<(WorkerKey, u64), (u64, Region)>,
    /// Up to which number a worker has said that it uses arguments in a segment no more. Its lanes are read in any
    /// order, so that may come before it is known that it does use them.
    gone: HashMap<(WorkerKey, u64), u64>,
}

/// A segment for results, at a worker.
#[derive(Debug)]
struct Lent {
    segment: Arc<Segment>,
    /// Whether no result has come in it since those that stay unused were last looked for.
    is_old: bool,
}

/// A segment that a worker has to be told of.
#[derive(Debug)]
pub(crate) struct Introduction {
    pub(crate) id: u64,
    pub(crate) size: usize,
    pub(crate) descriptor: OwnedFd,
    pub(crate) purpose: Purpose,
}

/// What a segment is for, by its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Arguments = 0,
    Results = 1,
    Mailbox = 2,
}

impl Memory {
    /// The memory of a bridge. The workers in these places are confined.
    pub(crate) fn new(confined: Vec<Range<u32>>) -> Self {
        Self { confined, ..Self::default() }
    }

    fn is_confined(&self, worker: WorkerKey) -> bool {
        self.confined.iter().any(|places| places.contains(&worker.slot))
    }

    /// Lends arguments to a worker. Gives those that it has to be told of first, and the ids of those that
    /// it can forget.
    ///
    /// # Errors
    /// There is no descriptor to send.
    pub(crate) fn introduce(
        &self,
        worker: WorkerKey,
        regions: &[Region],
    ) -> std::io::Result<(Vec<Introduction>, Vec<u64>)> {
        regions.iter().for_each(|region| self.count(region));
        if self.is_confined(worker) {
            return self.introduce_copies(worker, regions);
        }
        let mut state = self.lock();
        let mut new: Vec<Introduction> = Vec::new();
        let mut tokens = Vec::new();
        for segment in regions.iter().filter_map(|region| region.0.segment.as_ref()) {
            let id = segment.id();
            if !state.known.contains_key(&(worker, id)) && new.iter().all(|known| known.id != id) {
                new.push(introduction(segment, Purpose::Arguments)?);
                tokens.push(((worker, id), segment.token()));
            }
        }
        // Only now: where one of them cannot be introduced, none is.
        state.known.extend(tokens);
        Ok((new, state.forget_those_gone(worker)))
    }

    /// The same, with copies of the arguments that the worker does not know.
    fn introduce_copies(
        &self,
        worker: WorkerKey,
        regions: &[Region],
    ) -> std::io::Result<(Vec<Introduction>, Vec<u64>)> {
        let state = self.lock();
        let mut unknown: Vec<(&Segment, &Region)> = Vec::new();
        for region in regions {
            let Some(segment) = region.0.segment.as_deref() else { continue };
            let id = segment.id();
            if !state.known.contains_key(&(worker, id)) && unknown.iter().all(|it| it.0.id() != id)
            {
                unknown.push((segment, region));
            }
        }
        drop(state); // Copying takes a while.
        let copy = |(segment, region): &(&Segment, &Region)| {
            let copy = CACHE.copy(segment, region.0.len)?;
            self.copied.fetch_add(region.0.len as u64, Ordering::Relaxed);
            introduction(&copy, Purpose::Arguments)
        };
        let copies = unknown.iter().map(copy).collect::<std::io::Result<_>>()?;
        let tokens = unknown.iter().map(|(segment, _)| ((worker, segment.id()), segment.token()));
        let mut state = self.lock();
        state.known.extend(tokens);
        Ok((copies, state.forget_those_gone(worker)))
    }

    /// Makes a segment for results of a worker.
    pub(crate) fn lend(&self, worker: WorkerKey, size: usize) -> std::io::Result<Introduction> {
        let segment = Arc::new(Segment::to_be_filled(size)?);
        let introduction = introduction(&segment, Purpose::Results)?;
        let mut state = self.lock();
        // It may come back as an argument.
        state.known.insert((worker, segment.id()), segment.token());
        state.lent.insert((worker, segment.id()), Lent { segment, is_old: false });
        Ok(introduction)
    }

    /// A result that a worker has put into a segment; `None` if it has no such segment.
    pub(crate) fn claim(
        &self,
        shared: &Arc<Shared>,
        worker: WorkerKey,
        id: u64,
        len: u64,
    ) -> Option<Region> {
        let mut state = self.lock();
        let lent = state.lent.get_mut(&(worker, id))?;
        lent.is_old = false;
        let segment = Arc::clone(&lent.segment);
        drop(state);
        let len = usize::try_from(len).ok().filter(|len| *len <= segment.len())?;
        let lent_by = Some((Arc::downgrade(shared), worker));
        self.copied.fetch_add(len as u64, Ordering::Relaxed);
        Some(Region::new(segment, len, false, lent_by))
    }

    /// Nobody reads a result any more. Whether its worker can use the segment for another one; otherwise it
    /// has to forget it.
    pub(crate) fn is_to_be_used_again(&self, worker: WorkerKey, id: u64) -> bool {
        let mut state = self.lock();
        let own = state.lent.iter().filter(|((of, _), _)| *of == worker);
        let bytes: usize = own.map(|(_, lent)| lent.segment.len()).sum();
        let is_fit = |lent: &Lent| !lent.segment.has_copies();
        if bytes <= MOST_LENT && state.lent.get(&(worker, id)).is_some_and(is_fit) {
            return true;
        }
        let gone = state.lent.remove(&(worker, id));
        drop(state); // Giving large memory back takes a while.
        drop(gone);
        false
    }

    /// Segments for results that nobody has used since the last time that this was called, here or as far
    /// as is known there.
    pub(crate) fn unused(&self) -> Vec<(WorkerKey, u64)> {
        let mut state = self.lock();
        let mut unused = Vec::new();
        for (key, lent) in &mut state.lent {
            if Arc::strong_count(&lent.segment) > 1 {
                continue;
            }
            if lent.is_old {
                unused.push(*key);
            }
            lent.is_old = true;
        }
        unused
    }

    /// A worker has given back a segment for results.
    pub(crate) fn returned(&self, worker: WorkerKey, id: u64) {
        let mut state = self.lock();
        state.known.remove(&(worker, id));
        let gone = state.lent.remove(&(worker, id));
        drop(state); // Giving large memory back takes a while.
        drop(gone);
    }

    pub(crate) fn status(&self) -> MemoryStatus {
        MemoryStatus {
            copied: self.copied.load(Ordering::Relaxed),
            shared: self.shared.load(Ordering::Relaxed),
            segments: Segment::count(),
        }
    }

    fn count(&self, region: &Region) {
        let is_fresh = region.0.is_fresh.swap(false, Ordering::Relaxed);
        let counter = if is_fresh { &self.copied } else { &self.shared };
        counter.fetch_add(region.0.len as u64, Ordering::Relaxed);
    }

    /// A worker goes on using arguments after its reply; each with the number under which it has said so.
    pub(crate) fn keep(&self, worker: WorkerKey, used: Vec<(u64, Region)>) {
        if used.is_empty() {
            return;
        }
        let mut state = self.lock();
        let dropped: Vec<_> =
            used.into_iter().map(|(number, region)| state.keep(worker, number, region)).collect();
        drop(state); // What is dropped with them takes a while.
        drop(dropped);
    }

    /// A worker does not use these arguments any more: segments, with the number of the last time that it has said
    /// to use them.
    pub(crate) fn gone(&self, worker: WorkerKey, pairs: &[(u64, u64)]) {
        let mut state = self.lock();
        let gone: Vec<_> =
            pairs.iter().map(|(id, number)| state.gone(worker, *id, *number)).collect();
        drop(state); // What is dropped with them takes a while.
        drop(gone);
    }

    /// A worker has ended, with all that it had.
    pub(crate) fn worker_ended(&self, worker: WorkerKey) {
        let mut state = self.lock();
        state.known.retain(|(of, _), _| *of != worker);
        state.lent.retain(|(of, _), _| *of != worker);
        state.gone.retain(|(of, _), _| *of != worker);
        let gone: Vec<_> = state.kept.extract_if(|(of, _), _| *of == worker).collect();
        drop(state);
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives what is not to be kept, or not any more.
    fn keep(&mut self, worker: WorkerKey, number: u64, region: Region) -> Option<(u64, Region)> {
        let key = (worker, region.id());
        let is_gone = self.gone.get(&key).is_some_and(|gone| number <= *gone);
        let is_older = self.kept.get(&key).is_some_and(|(kept, _)| number < *kept);
        match is_gone || is_older {
            true => Some((number, region)),
            false => self.kept.insert(key, (number, region)),
        }
    }

    /// Gives what is not kept any more.
    fn gone(&mut self, worker: WorkerKey, id: u64, number: u64) -> Option<(u64, Region)> {
        let last = self.gone.entry((worker, id)).or_default();
        *last = number.max(*last);
        match self.kept.get(&(worker, id)) {
            Some((kept, _)) if *kept <= number => self.kept.remove(&(worker, id)),
            _ => None,
        }
    }

    /// Segments of a worker that do not exist any more.
    fn forget_those_gone(&mut self, worker: WorkerKey) -> Vec<u64> {
        let gone = self
            .known
            .extract_if(|(of, _), token| *of == worker && token.strong_count() == 0)
            .map(|((_, id), _)| id);
        let gone: Vec<u64> = gone.collect();
        for id in &gone {
            self.gone.remove(&(worker, *id));
        }
        gone
    }
}

fn introduction(segment: &Segment, purpose: Purpose) -> std::io::Result<Introduction> {
    let descriptor = segment.as_fd().try_clone_to_owned()?;
    Ok(Introduction { id: segment.id(), size: segment.len(), descriptor, purpose })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const WORKER: WorkerKey = WorkerKey { slot: 0, generation: 1 };

    fn region() -> Region {
        Region::copy_of(&vec![7; SMALLEST]).expect("there is memory to share")
    }

    #[test]
    fn what_is_kept_again_outlives_the_end_of_what_was_kept_before() {
        let (memory, region) = (Memory::default(), region());
        memory.keep(WORKER, vec![(1, region.clone())]);
        // Over another lane, and so read first: it is there again, under a higher number.
        memory.keep(WORKER, vec![(2, region.clone())]);
        memory.gone(WORKER, &[(region.id(), 1)]);
        assert_eq!(memory.lock().kept.len(), 1);
        memory.gone(WORKER, &[(region.id(), 2)]);
        assert_eq!(memory.lock().kept.len(), 0);
    }

    #[test]
    fn confined_workers_have_copies_of_what_they_do_not_know() {
        let (memory, region) = (Memory::new(vec![1..2, 2..3]), region());
        let confined = [1, 2].map(|slot| WorkerKey { slot, generation: 1 });
        let introduced = |worker| {
            let (new, _) = memory.introduce(worker, &[region.clone(), region.clone()]).unwrap();
            let inode = |it: &Introduction| rustix::fs::fstat(&it.descriptor).unwrap().st_ino;
            new.iter().map(|it| (it.id, inode(it))).collect::<Vec<_>>()
        };
        let [first, second, own] = [confined[0], confined[1], WORKER].map(introduced);
        assert_eq!([&first, &second, &own].map(Vec::len), [1; 3]);
        assert_eq!([first[0].0, second[0].0, own[0].0], [region.id(); 3]);
        assert!(first[0].1 != second[0].1 && first[0].1 != own[0].1 && second[0].1 != own[0].1);
        assert!(introduced(confined[0]).is_empty(), "it knows it");
    }

    #[test]
    fn a_result_of_which_there_are_copies_is_the_last_in_its_segment() {
        for (slot, is_used_again) in [(1, false), (2, true)] {
            let memory = Memory::new(vec![1..2, 3..4]);
            let id = memory.lend(WORKER, SMALLEST).unwrap().id;
            let segment = Arc::clone(&memory.lock().lent[&(WORKER, id)].segment);
            let result = Region::new(segment, SMALLEST, false, None);
            // Another bridge may have copied it, which cannot be seen here.
            let worker = WorkerKey { slot, generation: 1 };
            Memory::new(vec![1..2, 3..4]).introduce(worker, &[result]).unwrap();
            assert_eq!(memory.is_to_be_used_again(WORKER, id), is_used_again);
            assert_eq!(memory.lock().lent.len(), usize::from(is_used_again));
        }
    }

    #[test]
    fn an_end_that_is_read_before_what_it_ends_is_not_lost() {
        let (memory, region) = (Memory::default(), region());
        memory.gone(WORKER, &[(region.id(), 4)]);
        memory.keep(WORKER, vec![(3, region.clone())]);
        memory.keep(WORKER, vec![(4, region.clone())]);
        assert_eq!(memory.lock().kept.len(), 0);
        memory.keep(WORKER, vec![(5, region)]);
        assert_eq!(memory.lock().kept.len(), 1);
    }
}
