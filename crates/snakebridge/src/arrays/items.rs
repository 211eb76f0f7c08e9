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

impl<T: Element> PartialEq for Items<T> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: Element> Items<T> {
    /// The items that are in shared memory; `None` if those bytes are none.
    pub(super) fn shared(region: Region) -> Option<Self> {
        match T::in_place(region.bytes()) {
            Some(_) => Some(Self::Shared(region)),
            None => T::copied(region.bytes()).map(Self::Own),
        }
    }

    /// The items that the bytes of others are; `None` if they are none. Those in shared memory stay there.
    pub(super) fn of_bytes(bytes: &Items<u8>) -> Option<Self> {
        match bytes {
            Items::Own(bytes) => T::copied(bytes).map(Self::Own),
            Items::Shared(region) => Self::shared(region.clone()),
        }
    }

    /// The bytes of the items. Those in shared memory stay there.
    pub(super) fn into_bytes(self) -> Items<u8> {
        match self {
            Self::Own(items) => Items::Own(bytemuck::cast_slice(&items).to_vec()),
            Self::Shared(region) => Items::Shared(region),
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
