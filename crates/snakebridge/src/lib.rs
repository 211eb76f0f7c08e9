//! Call any Python module from Rust at run time.
//!
//! Python runs in worker processes: nothing is linked against it, nothing is generated, and a
//! crash, a hang or a leak there never takes the Rust program down. Values arrive exact, or as a
//! [`Ref`] to an object that stays in Python, or as an [`Error`]; they are never altered silently.
//!
//! ```
//! use snakebridge::{args, Bridge, Bytes, Ref};
//!
//! let py = Bridge::new()?;
//! let root: f64 = py.call("math", "sqrt", (16,)).wait()?;
//! let short: f64 = py.call("builtins", "round", args![3.14159, ndigits = 2]).wait()?;
//! let path: Ref = py.call("pathlib", "Path", ("/tmp/example.txt",)).wait()?;
//! let name: String = path.attr("name").wait()?;
//! let md5: Ref = py.call("hashlib", "md5", (Bytes::from(b"abc"),)).wait()?;
//! # assert_eq!((root, short, name.as_str(), md5.type_name()), (4.0, 3.14, "example.txt", "HASH"));
//! # Ok::<(), snakebridge::Error>(())
//! ```
//!
//! # How values travel
//!
//! | Python | Rust, as an argument | Rust, as a result |
//! | --- | --- | --- |
//! | `None` | `()`, `None` | `()`, `Option` |
//! | `bool`, `int`, `float`, `str` | `bool`, integers, floats, text | the same; `int` of any size as [`types::BigInt`] |
//! | `bytes` | [`Bytes`] | [`Bytes`], `Vec<u8>` |
//! | `list` | sequences | sequences |
//! | `tuple` | tuples | tuples, sequences, structs |
//! | `dict` | maps, structs | maps, structs, [`value::Dict`] |
//! | `set`, `frozenset` | [`types::Set`], [`types::FrozenSet`] | any collection |
//! | `complex`, `datetime`, `date`, `time`, `timedelta`, `Decimal`, `UUID` | the types of [`types`] | the same; all but `complex` and `timedelta` also as text |
//! | arrays of numpy, tensors, `memoryview` | [`Array`], [`ArrayView`] | [`Array`], [`Ref`] |
//! | tables of pyarrow, data frames | `Table`, `Records` (feature `arrow`) | the same |
//! | anything else | a [`Ref`] | [`Ref`] |
//!
//! Instances of subclasses of builtin types (named tuples, `OrderedDict`, `IntEnum`) arrive as the
//! builtin value; [`Call::by_ref`] keeps the object itself. [`Value`] takes whatever comes.
//!
//! # Errors
//!
//! Everything that can fail gives an [`Error`], whose [`ErrorKind`] says who must act. A Python
//! exception comes whole: class, bases, arguments, traceback, causes, notes.

#![forbid(unsafe_code)]

mod adapters;
mod args;
mod arrays;
mod bridge;
mod builder;
mod bytes;
mod call;
mod callback;
#[cfg(feature = "env")]
mod configured;
#[cfg(feature = "env")]
mod configured_rules;
#[cfg(feature = "confine")]
mod confine;
mod contexts;
mod draft;
mod engine;
#[cfg(feature = "env")]
pub mod env;
pub mod error;
mod exchange;
mod fan_out;
#[cfg(feature = "tokio")]
mod future;
mod global;
mod guard;
#[cfg(doctest)]
mod guide;
mod helpers;
mod options;
mod pending;
mod pipeline;
mod pool;
mod profiles;
mod refs;
mod scope;
mod session;
mod status;
mod streams;
#[cfg(feature = "arrow")]
mod tables;
pub mod types;
pub mod value;
#[cfg(test)]
mod vectors;

#[cfg(feature = "arrow")]
#[doc(no_inline)]
pub use {arrow_array, arrow_schema};

pub use adapters::Adapter;
pub use args::{Args, IntoArgs};
pub use arrays::{Array, ArrayMut, ArrayView, Element, RawArray, ShapeError};
pub use bridge::Bridge;
pub use builder::BridgeBuilder;
pub use bytes::Bytes;
pub use call::Call;
#[cfg(feature = "tokio")]
pub use callback::AsyncCallbackFn;
pub use callback::{Callback, CallbackError, CallbackFn};
#[cfg(feature = "confine")]
pub use confine::{Confine, ConfineSupport};
pub use engine::output::{LogRecord, Output, OutputEvent, OutputPiece, WarningRecord};
pub use engine::{PythonInfo, WorkerId};
#[doc(inline)]
pub use error::{Error, ErrorKind, PythonError, Result, Retry};
#[cfg(feature = "tokio")]
pub use fan_out::MapStream;
pub use fan_out::{Map, MapIter};
#[cfg(feature = "tokio")]
pub use future::CallFuture;
pub use global::{bridge, call, exec, get, helper};
pub use guard::Guard;
pub use helpers::{BrokenHelperFile, HelperIndex, HelperInfo, HelperParameter, Helpers};
pub use options::{Affinity, CallOptions, Spin};
pub use pending::Pending;
pub use pipeline::{Batch, Pipeline, Promise, Results};
pub use pool::Pool;
pub use refs::Ref;
pub use session::{Session, SessionBuilder};
pub use status::{
    MemoryStatus, PoolStatus, RefStatus, ResultsStatus, SessionStatus, Status, WorkerState,
    WorkerStatus,
};
pub use streams::Iter;
#[cfg(feature = "tokio")]
pub use streams::Stream;
#[cfg(feature = "arrow")]
pub use tables::{Records, Table, TableError};
#[doc(inline)]
pub use value::Value;
