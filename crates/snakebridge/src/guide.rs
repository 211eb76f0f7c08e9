//! The documents for users, so that their examples are tested.

/// The way in.
#[doc = include_str!("../../../README.md")]
struct Readme;

/// From nothing to a program.
#[doc = include_str!("../../../docs/guide/getting-started.md")]
struct GettingStarted;

/// How values travel.
#[doc = include_str!("../../../docs/guide/values.md")]
struct Values;

/// What goes wrong.
#[doc = include_str!("../../../docs/guide/errors.md")]
struct Errors;

/// Objects that stay in Python.
#[doc = include_str!("../../../docs/guide/sessions-and-refs.md")]
struct SessionsAndRefs;

/// Workers, and what happens when calls are many, slow or deadly.
#[doc = include_str!("../../../docs/guide/pools-and-failure.md")]
struct PoolsAndFailure;

/// Rust functions that Python calls.
#[doc = include_str!("../../../docs/guide/callbacks.md")]
struct Callbacks;

/// What workers print and log, and whether all is well.
#[doc = include_str!("../../../docs/guide/output-and-health.md")]
struct OutputAndHealth;

/// The command `snakebridge`.
#[doc = include_str!("../../../docs/guide/command-line.md")]
struct CommandLine;

/// Numbers, many at once.
#[doc = include_str!("../../../docs/guide/arrays.md")]
struct Arrays;

/// Record batches, data frames, structs.
#[cfg(feature = "arrow")]
#[doc = include_str!("../../../docs/guide/tables.md")]
struct Tables;

/// Pipelines, fan-out, calls that are started.
#[doc = include_str!("../../../docs/guide/many-calls.md")]
struct ManyCalls;

/// Python functions of the project.
#[doc = include_str!("../../../docs/guide/helpers.md")]
struct Helpers;

/// What workers may do.
#[cfg(feature = "confine")]
#[doc = include_str!("../../../docs/guide/confinement.md")]
struct Confinement;

/// Items, one after the other.
#[cfg(feature = "tokio")]
#[doc = include_str!("../../../docs/guide/streaming.md")]
struct Streaming;

/// `with`, around code of the program.
#[cfg(feature = "tokio")]
#[doc = include_str!("../../../docs/guide/context-managers.md")]
struct ContextManagers;

/// Calls that are awaited.
#[cfg(feature = "tokio")]
#[doc = include_str!("../../../docs/guide/async.md")]
struct Async;

/// Packages that a program declares.
#[cfg(feature = "env")]
#[doc = include_str!("../../../docs/guide/environments.md")]
struct Environments;
