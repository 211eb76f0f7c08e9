//! Objects that stay in Python.

mod object;
mod registry;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer};
use serde::ser::{Error as _, Serialize, Serializer};
use snakebridge_pool::WorkerKey;
use snakebridge_wire::reply::traits;
use snakebridge_wire::{Kind, token};

use crate::args::IntoArgs;
use crate::bridge::Home;
use crate::call::Call;
use crate::draft::Draft;
use crate::engine::sessions::SessionState;
use crate::engine::{Engine, WorkerId};
use crate::error::{Error, ErrorKind, Result};
use crate::options::CallOptions;
use crate::scope;
use crate::streams::Iter;
pub(crate) use object::{Described, Object};
pub(crate) use registry::Registry;

use object::End;

/// An object that stays in Python.
///
/// Cheap to clone and free to send between threads. Can be an argument, or a part of one. The
/// object is released when the last clone is dropped, with the next call to its worker or soon
/// after; dropping never blocks and never fails. A ref does not keep its bridge running: once the
/// last [`Bridge`](crate::Bridge) is gone, using it is an error.
///
/// Calls on a ref always go to the worker that holds the object, in the session in which the ref
/// was made.
///
/// ```
/// use snakebridge::{Bridge, Ref};
///
/// let py = Bridge::new()?;
/// let path: Ref = py.call("pathlib", "PurePosixPath", ("/tmp/example.txt",)).wait()?;
/// let name: String = path.attr("name").wait()?;
/// assert_eq!(name, "example.txt");
/// let absolute: bool = path.method("is_absolute", ()).wait()?;
/// assert!(absolute);
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone)]
pub struct Ref(Arc<Object>);

impl Ref {
    /// Calls a method: `object.name(*args)`.
    pub fn method<R>(&self, name: &str, args: impl IntoArgs) -> Call<R>
    where
        R: DeserializeOwned + 'static,
    {
        Draft::on_ref(Kind::Method, self).member(name).args(args).finish()
    }

    /// Reads an attribute: `object.name`.
    pub fn attr<R>(&self, name: &str) -> Call<R>
    where
        R: DeserializeOwned + 'static,
    {
        Draft::on_ref(Kind::Attr, self).member(name).finish()
    }

    /// Writes an attribute: `object.name = value`.
    pub fn set_attr(&self, name: &str, value: impl Serialize) -> Call<()> {
        Draft::on_ref(Kind::SetAttr, self).member(name).item("the value", &value).finish()
    }

    /// Deletes an attribute: `del object.name`.
    pub fn del_attr(&self, name: &str) -> Call<()> {
        Draft::on_ref(Kind::DelAttr, self).member(name).finish()
    }

    /// Reads an item: `object[key]`.
    pub fn item<R>(&self, key: impl Serialize) -> Call<R>
    where
        R: DeserializeOwned + 'static,
    {
        Draft::on_ref(Kind::Item, self).operation("an item").item("the key", &key).finish()
    }

    /// Writes an item: `object[key] = value`.
    pub fn set_item(&self, key: impl Serialize, value: impl Serialize) -> Call<()> {
        Draft::on_ref(Kind::SetItem, self)
            .operation("an item")
            .item("the key", &key)
            .item("the value", &value)
            .finish()
    }

    /// Deletes an item: `del object[key]`.
    pub fn del_item(&self, key: impl Serialize) -> Call<()> {
        Draft::on_ref(Kind::DelItem, self).operation("an item").item("the key", &key).finish()
    }

    /// Calls the object itself: `object(*args)`.
    pub fn call<R>(&self, args: impl IntoArgs) -> Call<R>
    where
        R: DeserializeOwned + 'static,
    {
        Draft::on_ref(Kind::Invoke, self).operation("a call").args(args).finish()
    }

    /// `len(object)`.
    pub fn len(&self) -> Call<usize> {
        Draft::on_ref(Kind::Len, self).operation("the length").finish()
    }

    /// `item in object`.
    pub fn contains(&self, item: impl Serialize) -> Call<bool> {
        Draft::on_ref(Kind::Contains, self).operation("membership").item("the item", &item).finish()
    }

    /// Iterates over the object: `for item in object`. An iterator goes on where it stands, anything
    /// else begins anew.
    ///
    /// ```
    /// use snakebridge::{Bridge, Ref};
    ///
    /// let py = Bridge::new()?;
    /// let table: Ref = py.call("builtins", "dict", ([("a", 1), ("b", 2)],)).wait()?;
    /// assert_eq!(table.iter::<String>().collect::<Result<Vec<_>, _>>()?, ["a", "b"]);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn iter<T: DeserializeOwned + 'static>(&self) -> Iter<T> {
        Iter::new(Draft::on_ref(Kind::Iter, self).operation("the items").finish_raw())
    }

    /// The same for async code.
    #[cfg(feature = "tokio")]
    pub fn stream<T: DeserializeOwned + Send + 'static>(&self) -> crate::Stream<T> {
        crate::Stream::new(Draft::on_ref(Kind::Iter, self).operation("the items").finish_raw())
    }

    /// Awaits the object: `await object`; see [`Call::awaited`].
    pub fn awaited<R>(&self) -> Call<R>
    where
        R: DeserializeOwned + 'static,
    {
        Draft::on_ref(Kind::Await, self).operation("the awaiting").finish()
    }

    /// `str(object)`.
    pub fn str(&self) -> Call<String> {
        Draft::on_ref(Kind::Str, self).operation("the text").finish()
    }

    /// `repr(object)`.
    pub fn repr(&self) -> Call<String> {
        Draft::on_ref(Kind::Repr, self).operation("the repr").finish()
    }

    /// Name of the object's class: `PosixPath`. Known without asking Python.
    #[must_use]
    pub fn type_name(&self) -> &str {
        self.0.qualname.rsplit('.').next().unwrap_or(&self.0.qualname)
    }

    /// Qualified name of the object's class within its module: `Outer.Inner`.
    #[must_use]
    pub fn type_qualname(&self) -> &str {
        &self.0.qualname
    }

    /// Module of the object's class: `pathlib`.
    #[must_use]
    pub fn type_module(&self) -> &str {
        &self.0.module
    }

    /// Whether the object can be called. Known without asking Python.
    #[must_use]
    pub fn is_callable(&self) -> bool {
        self.has(traits::CALLABLE)
    }

    /// Whether the object can be iterated over. Known without asking Python.
    #[must_use]
    pub fn is_iterable(&self) -> bool {
        self.has(traits::ITERABLE)
    }

    /// Whether the object is an iterator or a generator. Known without asking Python.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.has(traits::STREAM)
    }

    /// Whether the object is a context manager. Known without asking Python.
    #[must_use]
    pub fn is_context_manager(&self) -> bool {
        self.has(traits::CONTEXT_MANAGER)
    }

    /// Id of the session in which the ref was made.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.0.session.id
    }

    /// The worker that holds the object.
    #[must_use]
    pub fn worker_id(&self) -> WorkerId {
        WorkerId(self.0.worker.slot)
    }

    /// Releases the object now, for all clones: using one of them is an error from here on. Python
    /// is told with the next call to the worker, or soon after.
    pub fn release(&self) {
        if self.0.release() {
            self.0.session.registry().leave(self.0.place.load(Ordering::Relaxed));
            self.0.let_go();
        }
    }

    /// Refs to all these objects of one reply.
    pub(crate) fn all<'a>(
        engine: &Arc<Engine>,
        session: &Arc<SessionState>,
        defaults: &Arc<CallOptions>,
        worker: WorkerKey,
        described: impl Iterator<Item = Described<'a>>,
    ) -> Vec<Self> {
        let now = Instant::now();
        let make = |described| {
            let (engine, session) = (Arc::downgrade(engine), Arc::clone(session));
            let defaults = Arc::clone(defaults);
            Self(Arc::new(Object::new(engine, session, defaults, worker, described, now)))
        };
        let refs: Vec<Self> = described.map(make).collect();
        let evicted = session.enter(refs.iter().map(|made| &made.0), now);
        evicted.iter().for_each(|object| object.let_go());
        refs
    }

    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    pub(crate) fn worker(&self) -> WorkerKey {
        self.0.worker
    }

    pub(crate) fn session(&self) -> &Arc<SessionState> {
        &self.0.session
    }

    pub(crate) fn home(&self) -> Home {
        Home::of_ref(self.0.engine.upgrade(), &self.0.session, &self.0.defaults)
    }

    /// Marks the ref as used by a call in this session, until [`end_use`](Self::end_use).
    pub(crate) fn begin_use(
        &self,
        session: &SessionState,
        engine: &Arc<Engine>,
        now: Instant,
    ) -> Result<()> {
        if !std::ptr::eq(self.0.engine.as_ptr(), Arc::as_ptr(engine)) {
            let message = format!("{} belongs to another bridge", self.named());
            return Err(Error::new(ErrorKind::Misuse, message)
                .with_hint("refs can only be used with the bridge that made them"));
        }
        if self.0.session.is_closed() {
            let message =
                format!("{} was released with its session `{}`", self.named(), self.0.session.id);
            return Err(Error::new(ErrorKind::SessionClosed, message)
                .with_hint("keep the session open as long as its refs are used"));
        }
        if self.0.session.number != session.number {
            return Err(self.mismatch(
                &format!("session `{}`", self.0.session.id),
                &format!("session `{}`", session.id),
            ));
        }
        self.0.begin_use(now).map_err(|end| self.ended(end))
    }

    pub(crate) fn end_use(&self) {
        self.0.end_use();
    }

    fn ended(&self, end: End) -> Error {
        let (id, settings) = (&self.0.session.id, &self.0.session.settings);
        let (how, hint) = match end {
            End::Released => (
                "was released".to_owned(),
                "release a ref when nothing uses it any more, or let it be dropped",
            ),
            End::Evicted => (
                format!(
                    "was evicted: the session `{id}` may have {} refs, and this one was used \
                     least lately",
                    settings.max_refs.unwrap_or_default()
                ),
                "drop refs that are not used any more, or allow more with `max_refs`",
            ),
            End::Expired => (
                format!(
                    "has expired: it was not used for {:?}, the limit of the session `{id}`",
                    settings.ttl.unwrap_or_default()
                ),
                "make the object again, or allow a longer time with `ttl`",
            ),
        };
        Error::new(ErrorKind::RefReleased, format!("{} {how}", self.named())).with_hint(hint)
    }

    fn named(&self) -> String {
        format!("the ref to a `{}`", self.type_name())
    }

    /// The ref is used where it does not belong.
    pub(crate) fn mismatch(&self, own: &str, other: &str) -> Error {
        let message = format!(
            "the ref to a `{}` belongs to {own}, the call is made in {other}",
            self.type_name()
        );
        Error::new(ErrorKind::SessionMismatch, message)
            .with_hint("make the call in the session and the pool of the ref")
    }

    fn has(&self, bit: u32) -> bool {
        self.0.traits & bit != 0
    }
}

/// Two refs are equal if they are clones of one, or name the same registration in Python.
impl PartialEq for Ref {
    fn eq(&self, other: &Self) -> bool {
        (self.0.id, self.0.worker) == (other.0.id, other.0.worker)
            && Weak::ptr_eq(&self.0.engine, &other.0.engine)
    }
}

/// Shows class and number, without asking Python: `<ref pathlib.PosixPath #7>`.
impl fmt::Debug for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0.module {
            "builtins" => write!(f, "<ref {} #{}>", self.0.qualname, self.0.id),
            module => write!(f, "<ref {module}.{} #{}>", self.0.qualname, self.0.id),
        }
    }
}

impl Serialize for Ref {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !scope::note_ref(self) {
            return Err(S::Error::custom("a ref can only be an argument of a call"));
        }
        serializer.serialize_newtype_struct(token::REF, &self.0.id)
    }
}

impl<'de> Deserialize<'de> for Ref {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Ref;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a ref")
            }

            // Reached through a buffer of serde, as in untagged enums.
            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Ref, D::Error> {
                deserializer.deserialize_map(self)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Ref, A::Error> {
                let claim: Option<(String, (u64, u64))> = map.next_entry()?;
                claim
                    .filter(|(name, _)| name == token::REF)
                    .and_then(|(_, (key, place))| scope::claim(key, place))
                    .ok_or_else(|| de::Error::custom("expected a ref, found a dict"))
            }
        }
        deserializer.deserialize_newtype_struct(token::REF, Visitor)
    }
}
