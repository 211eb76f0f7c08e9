//! Arrays of the crate `ndarray`.

use ndarray::{ArrayBase, ArrayD, Data, Dimension, IxDyn};

use super::items::Items;
use super::{Array, ArrayView, Element};

/// Copies the items of a large array from Python, and no others.
impl<T: Element> TryFrom<Array<T>> for ArrayD<T> {
    type Error = ndarray::ShapeError;

    fn try_from(array: Array<T>) -> Result<Self, ndarray::ShapeError> {
        Self::from_shape_vec(IxDyn(&array.shape), array.items.into_vec())
    }
}

/// Copies the items, in C order.
impl<T, S, D> From<&ArrayBase<S, D>> for Array<T>
where
    T: Element,
    S: Data<Elem = T>,
    D: Dimension,
{
    fn from(array: &ArrayBase<S, D>) -> Self {
        Self { shape: array.shape().into(), items: Items::Own(array.iter().copied().collect()) }
    }
}

impl<'a, T: Element> ArrayView<'a, T> {
    /// An array of `ndarray` as an argument, without a copy; `None` if its items are not in C order.
    #[must_use]
    pub fn of_ndarray<S, D>(array: &'a ArrayBase<S, D>) -> Option<Self>
    where
        S: Data<Elem = T>,
        D: Dimension,
    {
        Some(Self { shape: array.shape().into(), items: array.as_slice()? })
    }
}
