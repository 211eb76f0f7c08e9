//! Arrays that are filled where Python will read them.

use std::fmt;

use snakebridge_shm::Segment;

use super::items::Items;
use super::{Array, Element, ShapeError, places};
use crate::engine::memory::{Region, take_segment};

/// An array that is being filled, in memory that workers can read: as an argument it is not copied.
///
/// [`freeze`](Self::freeze) makes an [`Array`] of it. That can be an argument of many calls, also of several
/// workers at once, and none of them copies it.
///
/// ```no_run
/// use snakebridge::{ArrayMut, Bridge};
///
/// let py = Bridge::new()?;
/// let mut image = ArrayMut::<u8>::zeros(&[1080, 1920, 3])?;
/// image.as_mut_slice()[0] = 255;
/// let image = image.freeze();
/// let sum: u64 = py.call("numpy", "sum", (&image,)).wait()?;
/// let max: u8 = py.call("numpy", "max", (&image,)).wait()?;
/// assert_eq!((sum, max), (255, 255));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ArrayMut<T> {
    shape: Box<[usize]>,
    memory: Memory<T>,
}

enum Memory<T> {
    Own(Vec<T>),
    Shared { segment: Segment, len: usize },
}

impl<T: Element> ArrayMut<T> {
    /// An array of this shape, whose items are all zero.
    ///
    /// # Errors
    /// There is no memory that large.
    pub fn zeros(shape: &[usize]) -> Result<Self, ShapeError> {
        let count = places(shape).ok_or_else(|| ShapeError::new(shape, usize::MAX))?;
        let bytes = count.checked_mul(size_of::<T>()).filter(|bytes| *bytes <= isize::MAX as usize);
        let len = bytes.ok_or_else(|| ShapeError::new(shape, count))?;
        let memory = match take_segment(len) {
            Some(mut segment) if T::in_place(segment.bytes()).is_some() => {
                segment.bytes_mut()[..len].fill(0);
                Memory::Shared { segment, len }
            }
            _ => Memory::Own(vec![T::zeroed(); count]),
        };
        Ok(Self { shape: shape.into(), memory })
    }

    /// How many items there are in each dimension.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All items, in C order.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        match &mut self.memory {
            Memory::Own(items) => items,
            // That they can be looked at so was seen when it was made.
            Memory::Shared { segment, len } => {
                T::in_place_mut(&mut segment.bytes_mut()[..*len]).unwrap_or_default()
            }
        }
    }

    /// The array, which nobody changes any more.
    #[must_use]
    pub fn freeze(self) -> Array<T> {
        let items = match self.memory {
            Memory::Own(items) => Items::Own(items),
            Memory::Shared { segment, len } => Items::Shared(Region::of(segment, len)),
        };
        Array { shape: self.shape, items }
    }
}

impl<T: Element> fmt::Debug for ArrayMut<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArrayMut").field("dtype", &T::NAME).field("shape", &self.shape).finish()
    }
}
