//! What the replies of a worker say.

use crate::error::DecodeError;
use crate::limits::Limits;
use crate::tape::Tape;

/// Bits of a ref's `traits`, which the host then knows without asking.
pub mod traits {
    /// Can be called.
    pub const CALLABLE: u32 = 1;
    /// Can be iterated over.
    pub const ITERABLE: u32 = 2;
    /// Is an iterator or a generator, plain or asynchronous.
    pub const STREAM: u32 = 4;
    /// Has `__enter__` and `__exit__`.
    pub const CONTEXT_MANAGER: u32 = 8;
    /// Can be awaited.
    pub const AWAITABLE: u32 = 16;
}

/// Where later requests of a pipeline name the results of earlier ones like refs: the id of the first.
pub const FIRST_RESULT: u64 = 1 << 60;

/// Why a worker could not carry out a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultCode {
    /// No object has this ref's id in this session.
    RefNotFound,
    /// The arguments could not be made into Python objects.
    Arguments,
    /// The result could be neither copied nor kept.
    Result,
    /// The request is not one of this protocol.
    Request,
    /// A call of a pipeline was not made: it uses the result of one that has failed.
    NotMade,
    /// No helper has this name.
    HelperNotFound,
    /// The settings of the worker do not allow it.
    NotAllowed,
    /// A code that this version does not know.
    Other(i64),
}

/// A reply of kind [`Fault`](crate::Kind::Fault).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete by nature: the fields of the reply")]
pub struct Fault {
    /// What is wrong.
    pub code: FaultCode,
    /// The details, for people; the id of the ref where that was not found.
    pub text: String,
}

impl Fault {
    /// Reads the body of the reply.
    ///
    /// # Errors
    /// It is no fault.
    pub fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        let (code, text): (i64, String) = Tape::scan(body, Limits::DEFAULT)?.decode()?;
        Ok(Self { code: code.into(), text })
    }
}

impl From<i64> for FaultCode {
    fn from(code: i64) -> Self {
        match code {
            1 => Self::RefNotFound,
            2 => Self::Arguments,
            3 => Self::Result,
            4 => Self::Request,
            5 => Self::NotMade,
            6 => Self::HelperNotFound,
            7 => Self::NotAllowed,
            other => Self::Other(other),
        }
    }
}
