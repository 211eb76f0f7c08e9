//! What went wrong, sorted by who must act.

/// The kind of an [`Error`](crate::Error).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Python raised an exception: the Python code, or what it was given, must change.
    Python,
    /// An argument cannot be sent: the caller's types must change.
    Encode,
    /// The result does not fit the type that was asked for: the caller's types must change.
    Decode,
    /// A setting cannot be used; found when the bridge is built.
    Config,
    /// The API was used in a way that can never work, such as two refs of different workers in one
    /// call.
    Misuse,
    /// A call of a pipeline was not made, because it uses the result of one that has failed.
    NotMade,
    /// No helper has the name that was given.
    HelperNotFound,
    /// The settings of the bridge do not allow the call: its guard, or the list of allowed helpers.
    NotAllowed,
    /// The ref was released.
    RefReleased,
    /// The worker that held the object has ended.
    RefLost,
    /// The ref belongs to another session than the call.
    SessionMismatch,
    /// The session was closed.
    SessionClosed,
    /// The call took longer than it may.
    Timeout,
    /// There is no pool with the name that was given.
    UnknownPool,
    /// Too many calls wait for a worker of the pool already.
    Saturated,
    /// The session's worker is busy, and the call is not to wait: [`Affinity::StrictFailFast`].
    ///
    /// [`Affinity::StrictFailFast`]: crate::Affinity::StrictFailFast
    Busy,
    /// No worker could be started: there is no usable interpreter, or it failed.
    Spawn,
    /// The interpreter is none that can be used: its version, or its implementation.
    Incompatible,
    /// The environment with the packages that are declared cannot be made: what is declared, the
    /// network or the disk must change.
    Environment,
    /// The worker ended while it carried out the call.
    WorkerLost,
    /// The worker sent what it must not send. Please report it.
    Protocol,
    /// The bridge was shut down.
    Closed,
}

/// Whether a call may be made again after it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// The same call would fail in the same way.
    Never,
    /// Python may have carried out the call, or a part of it: only if that does no harm.
    IfIdempotent,
    /// Python has not begun with the call.
    Safe,
}
