//! Where the items of an array are.

use crate::engine::memory::Region;

use super::Element;

/// Items in C order.
#[derive(Clone)]
pub(super) enum Items<T> {
    Own(Vec<T>),
    /// In shared memory, which nobody changes.
    Shared(Region),
}

impl<T: Element> Items<T> {
    /// The items that are in shared memory; `None` if those bytes are none.
    pub(super) fn shared(region: Region) -> Option<Self> {
        match T::in_place(region.bytes()) {
            Some(_) => Some(Self::Shared(region)),
            None => T::copied(region.bytes()).map(Self::Own),
        }
    }

    pub(super) fn as_slice(&self) -> &[T] {
        match self {
            Self::Own(items) => items,
            // It was looked at when it came.
            Self::Shared(region) => T::in_place(region.bytes()).unwrap_or_default(),
        }
    }

    /// Where they are in shared memory.
    pub(super) fn region(&self) -> Option<&Region> {
        match self {
            Self::Own(_) => None,
            Self::Shared(region) => Some(region),
        }
    }

    pub(super) fn into_vec(self) -> Vec<T> {
        match self {
            Self::Own(items) => items,
            Self::Shared(_) => self.as_slice().to_vec(),
        }
    }
}
