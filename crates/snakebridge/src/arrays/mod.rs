//! Arrays of numbers: numpy's, and all that numpy can look at.

mod element;
mod fill;
mod items;
#[cfg(feature = "ndarray")]
mod ndarray;
mod raw;
mod read;
mod view;

use std::fmt;

use serde::ser::{Serialize, Serializer};

pub use element::Element;
pub(crate) use element::is_array;
pub use fill::ArrayMut;
use items::Items;
pub use raw::RawArray;
pub use view::ArrayView;

use crate::scope;

/// An array of numbers in any number of dimensions, in C order: the last index changes fastest.
///
/// As a result it is a copy of an array in Python: of numpy, a tensor of torch on the CPU, a
/// `memoryview`, an `array.array`. Items have to be of the dtype that [`Element`] names for `T`; nothing is
/// converted silently; a [`RawArray`](crate::RawArray) has items of any dtype. Strides and Fortran order are made C order while the array is copied. An array stays in
/// Python where a [`Ref`](crate::Ref) is asked for, or a [`Value`](crate::Value).
///
/// As an argument it is an array of numpy that Python cannot write to, or where numpy is missing a
/// `memoryview`. [`ArrayView`] is the same for items that are somewhere else already, and [`ArrayMut`] is for
/// items that are made for Python, and then not copied. Nor is a large array that has come from Python.
///
/// ```no_run
/// use snakebridge::{Array, ArrayView, Bridge};
///
/// let py = Bridge::new()?;
/// let samples = vec![1.0, 2.0, 3.0, 4.0];
/// let mean: f64 = py.call("numpy", "mean", (ArrayView::from(&samples),)).wait()?;
/// let square: Array<f64> = py.call("numpy", "eye", (2,)).wait()?;
/// assert_eq!((mean, square.shape()), (2.5, [2, 2].as_slice()));
/// assert_eq!(square.as_slice(), [1.0, 0.0, 0.0, 1.0]);
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone)]
pub struct Array<T> {
    shape: Box<[usize]>,
    items: Items<T>,
}

/// The number of items is not what the shape says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShapeError {
    shape: Box<[usize]>,
    items: usize,
}

impl<T: Element> Array<T> {
    /// An array of this shape, with these items in C order.
    ///
    /// # Errors
    /// There are more or fewer items than the shape has places.
    pub fn new(shape: &[usize], items: Vec<T>) -> Result<Self, ShapeError> {
        check(shape, items.len())?;
        Ok(Self { shape: shape.into(), items: Items::Own(items) })
    }

    /// How many items there are in each dimension.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many items there are in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// All items, in C order.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        self.items.as_slice()
    }

    /// All items, in C order. Copies those of a large array from Python.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.items.into_vec()
    }

    /// The item at these indices, one for each dimension.
    #[must_use]
    pub fn get(&self, indices: &[usize]) -> Option<&T> {
        if indices.len() != self.shape.len() {
            return None;
        }
        let mut place = 0;
        for (index, count) in indices.iter().zip(&self.shape) {
            place = (index < count).then_some(place * count + index)?;
        }
        self.as_slice().get(place)
    }

    /// The array as an argument, without a copy.
    #[must_use]
    pub fn view(&self) -> ArrayView<'_, T> {
        ArrayView { shape: self.shape.as_ref().into(), items: self.as_slice() }
    }
}

/// The items as an array of one dimension.
impl<T: Element> From<Vec<T>> for Array<T> {
    fn from(items: Vec<T>) -> Self {
        Self { shape: [items.len()].into(), items: Items::Own(items) }
    }
}

impl<T: Element> PartialEq for Array<T> {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.as_slice() == other.as_slice()
    }
}

impl<T: Element> Serialize for Array<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.items.region() {
            Some(region) => {
                let share = || scope::share_region(region.clone());
                view::write(serializer, T::DTYPE, &self.shape, region.bytes(), share)
            }
            None => self.view().serialize(serializer),
        }
    }
}

/// Shows the dtype, the shape and the first items.
impl<T: Element> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

/// Whether so many items fill a shape.
fn check(shape: &[usize], items: usize) -> Result<(), ShapeError> {
    match places(shape) == Some(items) {
        true => Ok(()),
        false => Err(ShapeError::new(shape, items)),
    }
}

/// How many items fill a shape.
fn places(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |places, count| places.checked_mul(*count))
}

impl ShapeError {
    fn new(shape: &[usize], items: usize) -> Self {
        Self { shape: shape.into(), items }
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} items do not fill an array of shape {:?}", self.items, self.shape)
    }
}

impl std::error::Error for ShapeError {}
