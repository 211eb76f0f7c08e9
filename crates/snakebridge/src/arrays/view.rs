//! Arrays as arguments.

use std::borrow::Cow;
use std::fmt;

use serde::ser::{Error as _, Serialize, SerializeTuple as _, Serializer};
use snakebridge_wire::token;

use super::{Element, ShapeError, check};
use crate::scope;

/// Items that are somewhere in memory, as an array of any shape: an argument that is an array in Python.
///
/// The items are in C order. See [`Array`](crate::Array) for what it becomes there.
///
/// ```
/// use snakebridge::ArrayView;
///
/// let pixels = [0_u8; 12];
/// let image = ArrayView::new(&[3, 4], &pixels)?;
/// assert_eq!(image.shape(), [3, 4]);
/// # Ok::<(), snakebridge::ShapeError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct ArrayView<'a, T> {
    pub(super) shape: Cow<'a, [usize]>,
    pub(super) items: &'a [T],
}

impl<'a, T: Element> ArrayView<'a, T> {
    /// An array of this shape, with these items in C order.
    ///
    /// # Errors
    /// There are more or fewer items than the shape has places.
    pub fn new(shape: &[usize], items: &'a [T]) -> Result<Self, ShapeError> {
        check(shape, items.len())?;
        Ok(Self { shape: shape.to_vec().into(), items })
    }

    /// How many items there are in each dimension.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All items, in C order.
    #[must_use]
    pub fn as_slice(&self) -> &'a [T] {
        self.items
    }
}

/// The items as an array of one dimension.
impl<'a, T: Element> From<&'a [T]> for ArrayView<'a, T> {
    fn from(items: &'a [T]) -> Self {
        Self { shape: vec![items.len()].into(), items }
    }
}

/// The items as an array of one dimension.
impl<'a, T: Element> From<&'a Vec<T>> for ArrayView<'a, T> {
    fn from(items: &'a Vec<T>) -> Self {
        items.as_slice().into()
    }
}

impl<T: Element> Serialize for ArrayView<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let data = bytemuck::cast_slice(self.items);
        write(serializer, T::DTYPE, &self.shape, data, || scope::share(data))
    }
}

/// Writes an array whose items may go through shared memory: then `share` gives the id of the segment.
pub(super) fn write<S: Serializer>(
    serializer: S,
    dtype: &str,
    shape: &[usize],
    data: &[u8],
    share: impl FnOnce() -> Option<u64>,
) -> Result<S::Ok, S::Error> {
    if !scope::is_encoding() {
        return Err(S::Error::custom("an array can only be an argument of a call"));
    }
    let shape = Shape(shape);
    match share() {
        Some(segment) => {
            let parts = (dtype, shape, (segment, data.len()));
            serializer.serialize_newtype_struct(token::ARRAY, &parts)
        }
        None => {
            let parts = (dtype, shape, Items(data));
            serializer.serialize_newtype_struct(token::ARRAY, &parts)
        }
    }
}

/// Written as a tuple.
struct Shape<'a>(&'a [usize]);

impl Serialize for Shape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|count| tuple.serialize_element(count))?;
        tuple.end()
    }
}

/// Written as bytes.
struct Items<'a>(&'a [u8]);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Shows the dtype, the shape and the first items.
impl<T: Element> fmt::Debug for ArrayView<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let first = self.items.get(..SHOWN).unwrap_or(self.items);
        write!(f, "<{} array of shape {:?}: {first:?}", T::NAME, self.shape)?;
        f.write_str(if self.items.len() > SHOWN { "...>" } else { ">" })
    }
}
