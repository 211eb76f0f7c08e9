//! What refs need to know while serde passes them by.
//!
//! serde hands no context to a type that is written or read. A ref that is written must be noted,
//! so that the call goes to its worker and keeps it alive, and so must a callback; a ref that is read
//! must be given its bridge. All of that happens through a table of the current thread, which is there only while this
//! crate's own codec runs. Outside of it a ref can be neither written nor read, so none can leak
//! into JSON or be made up from it.

use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::callback::Callback;
use crate::engine::memory::Region;
#[cfg(feature = "arrow")]
use crate::engine::memory::take_segment;
use crate::refs::Ref;

thread_local! {
    /// What was written so far, while arguments are encoded.
    static ENCODING: RefCell<Option<Noted>> = const { RefCell::new(None) };
    /// The refs of the result that is being decoded.
    static DECODING: RefCell<Option<Table>> = const { RefCell::new(None) };
}

struct Table {
    key: u64,
    refs: Vec<Ref>,
    regions: Vec<Region>,
}

/// What has to live as long as a frame does in which it stands.
#[derive(Debug, Default)]
#[expect(unnameable_types, reason = "it is in a method of a sealed trait")]
pub struct Noted {
    pub(crate) refs: Vec<Ref>,
    pub(crate) callbacks: Vec<Callback>,
    /// The pipelines that the promises are of.
    pub(crate) promises: Vec<u64>,
    /// Arrays that are in shared memory.
    pub(crate) regions: Vec<Region>,
    /// Whether there is a way to send those.
    may_share: bool,
}

impl Noted {
    pub(crate) fn extend(&mut self, other: Self) {
        self.refs.extend(other.refs);
        self.callbacks.extend(other.callbacks);
        self.promises.extend(other.promises);
        self.regions.extend(other.regions);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.refs.is_empty()
            && self.callbacks.is_empty()
            && self.promises.is_empty()
            && self.regions.is_empty()
    }
}

/// Runs `encode`, which writes arguments of a call, and gives what it wrote.
pub(crate) fn encoding<T>(encode: impl FnOnce() -> T) -> (T, Noted) {
    encoding_into(Noted { may_share: true, ..Noted::default() }, encode)
}

/// The same where arrays cannot be in shared memory.
pub(crate) fn encoding_inline<T>(encode: impl FnOnce() -> T) -> (T, Noted) {
    encoding_into(Noted::default(), encode)
}

fn encoding_into<T>(noted: Noted, encode: impl FnOnce() -> T) -> (T, Noted) {
    // A `Serialize` of the user may itself make calls, so what was there before comes back.
    struct Restore(Option<Noted>);

    impl Drop for Restore {
        fn drop(&mut self) {
            let before = self.0.take();
            ENCODING.with(|scope| *scope.borrow_mut() = before);
        }
    }
    let restore = Restore(ENCODING.with(|scope| scope.borrow_mut().replace(noted)));
    let out = encode();
    let noted = ENCODING.with(|scope| scope.borrow_mut().take()).unwrap_or_default();
    drop(restore);
    (out, noted)
}

/// Whether this thread is writing arguments, rather than some other format.
pub(crate) fn is_encoding() -> bool {
    ENCODING.with(|scope| scope.borrow().is_some())
}

/// Notes that a ref was written. False outside of [`encoding`].
pub(crate) fn note_ref(written: &Ref) -> bool {
    note(|noted| noted.refs.push(written.clone()))
}

/// Notes that a callback was written. False outside of [`encoding`].
pub(crate) fn note_callback(written: &Callback) -> bool {
    note(|noted| noted.callbacks.push(written.clone()))
}

/// Notes that a promise of this pipeline was written. False outside of [`encoding`].
pub(crate) fn note_promise(pipeline: u64) -> bool {
    note(|noted| noted.promises.push(pipeline))
}

/// Puts bytes into shared memory, where there is any and they are many: the id of their segment.
pub(crate) fn share(data: &[u8]) -> Option<u64> {
    if !may_share() {
        return None;
    }
    share_region(Region::copy_of(data)?)
}

/// From this size on bytes and text go through shared memory.
const LARGE: usize = 1 << 18;

/// Puts bytes into shared memory, where there is any and they are worth it: the id of their segment.
pub(crate) fn share_if_large(data: &[u8]) -> Option<u64> {
    if data.len() < LARGE { None } else { share(data) }
}

/// Has `fill` write so many bytes to shared memory, where there is any and they are many: the id of their
/// segment.
#[cfg(feature = "arrow")]
pub(crate) fn share_with(len: usize, fill: impl FnOnce(&mut [u8])) -> Option<u64> {
    if !may_share() {
        return None;
    }
    let mut segment = take_segment(len)?;
    fill(&mut segment.bytes_mut()[..len]);
    share_region(Region::copied(segment, len))
}

fn may_share() -> bool {
    ENCODING.with(|scope| scope.borrow().as_ref().is_some_and(|noted| noted.may_share))
}

/// Sends what is in shared memory already, where there is a way to do so: the id of its segment.
pub(crate) fn share_region(region: Region) -> Option<u64> {
    if !may_share() {
        return None;
    }
    let id = region.id();
    note(|noted| noted.regions.push(region)).then_some(id)
}

fn note(add: impl FnOnce(&mut Noted)) -> bool {
    ENCODING.with(|scope| scope.borrow_mut().as_mut().map(add).is_some())
}

/// Runs `decode` with these refs and arrays at hand; it is given the key that proves a claim to refs.
pub(crate) fn decoding<T>(
    refs: Vec<Ref>,
    regions: Vec<Region>,
    decode: impl FnOnce(u64) -> T,
) -> T {
    struct Restore(Option<Table>);

    impl Drop for Restore {
        fn drop(&mut self) {
            let before = self.0.take();
            // Refs that nobody claimed are dropped, and so released, outside of the borrow.
            let unclaimed =
                DECODING.with(|scope| std::mem::replace(&mut *scope.borrow_mut(), before));
            drop(unclaimed);
        }
    }
    let key = new_key();
    let table = Table { key, refs, regions };
    let _restore = Restore(DECODING.with(|scope| scope.borrow_mut().replace(table)));
    decode(key)
}

/// The ref at this place of the result that is being decoded, if the key is the right one.
pub(crate) fn claim(key: u64, place: u64) -> Option<Ref> {
    DECODING.with(|scope| {
        let scope = scope.borrow();
        let table = scope.as_ref().filter(|table| table.key == key)?;
        table.refs.get(usize::try_from(place).ok()?).cloned()
    })
}

/// The array in shared memory with this id, of the result that is being decoded.
pub(crate) fn claim_region(id: u64) -> Option<Region> {
    DECODING.with(|scope| {
        let scope = scope.borrow();
        scope.as_ref()?.regions.iter().find(|region| region.id() == id).cloned()
    })
}

/// A copy of what is in shared memory with this id, of the result that is being decoded.
pub(crate) fn copy_region(id: u64) -> Option<Vec<u8>> {
    claim_region(id).map(|region| region.bytes().to_vec())
}

/// A number that nobody outside of this process can guess, another one each time.
fn new_key() -> u64 {
    static SECRET: OnceLock<RandomState> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut hasher = SECRET.get_or_init(RandomState::new).build_hasher();
    hasher.write_u64(COUNT.fetch_add(1, Ordering::Relaxed));
    hasher.finish()
}
