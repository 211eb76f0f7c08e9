//! Arrays whose items are of a type that only Python knows.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use snakebridge_wire::token;

use super::items::Items;
use super::read::{self, Parts};
use super::{Array, Element, ShapeError, places, view};
use crate::scope;

/// An array of items of any one size, as bytes with numpy's description of them: dates, records, fixed
/// text, numbers in another order of bytes.
///
/// The description is what numpy writes: `<M8[ns]` for dates in nanoseconds, `S5`, `>f8`, and for
/// records the list of their fields, `[('x', '<f8'), ('y', '<i4')]`. As an argument the array has that dtype.
///
/// ```no_run
/// use snakebridge::{Array, Bridge, RawArray, args};
///
/// let py = Bridge::new()?;
/// let days = args!["2024-02-28", "2024-03-02", dtype = "datetime64[D]"];
/// let days: RawArray = py.call("numpy", "arange", days).wait()?;
/// assert_eq!((days.dtype(), days.shape()), ("<M8[D]", [3].as_slice()));
///
/// // Dates are counted from 1970 on, in their unit; `NaT` is the smallest `i64`.
/// let counts: Array<i64> = days.to_array().unwrap();
/// assert_eq!(counts.as_slice()[0], 19_781);
/// let back = RawArray::from_array("<M8[D]", counts);
/// let months: RawArray = py.method(&back, "astype", ("datetime64[M]",)).wait()?;
/// assert_eq!(months.dtype(), "<M8[M]");
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct RawArray {
    dtype: Box<str>,
    shape: Box<[usize]>,
    items: Items<u8>,
}

impl RawArray {
    /// An array of this shape, with the bytes of its items in C order.
    ///
    /// # Errors
    /// There are more or fewer bytes than the shape has places for, as far as the dtype tells that here: the
    /// size of text and records is known to Python only, which makes it an error of the call.
    pub fn new(dtype: &str, shape: &[usize], bytes: Vec<u8>) -> Result<Self, ShapeError> {
        check(shape, bytes.len())?;
        if item_size(dtype).is_some_and(|size| Some(bytes.len()) != item_bytes(shape, size)) {
            return Err(ShapeError::new(shape, bytes.len()));
        }
        Ok(Self { dtype: dtype.into(), shape: shape.into(), items: Items::Own(bytes) })
    }

    /// The items of an array as those of another type of the same size.
    #[must_use]
    pub fn from_array<T: Element>(dtype: &str, array: Array<T>) -> Self {
        Self { dtype: dtype.into(), shape: array.shape, items: array.items.into_bytes() }
    }

    /// The items as those of another type of the same size; `None` if they have another size, cannot be of that
    /// type, or have another order of bytes.
    #[must_use]
    pub fn to_array<T: Element>(&self) -> Option<Array<T>> {
        let size = item_bytes(&self.shape, size_of::<T>())?;
        let is_swapped = self.dtype.contains('>') && size_of::<T>() > 1;
        if size != self.bytes().len() || is_swapped {
            return None;
        }
        Some(Array { shape: self.shape.clone(), items: Items::of_bytes(&self.items)? })
    }

    /// numpy's description of the type of the items.
    #[must_use]
    pub fn dtype(&self) -> &str {
        &self.dtype
    }

    /// How many items there are in each dimension.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The bytes of all items, in C order.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.items.as_slice()
    }
}

impl Serialize for RawArray {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.bytes();
        view::write(serializer, &self.dtype, &self.shape, bytes, || match self.items.region() {
            Some(region) => scope::share_region(region.clone()),
            None => scope::share(bytes),
        })
    }
}

impl<'de> Deserialize<'de> for RawArray {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(token::ARRAY, Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = RawArray;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut parts: A) -> Result<RawArray, A::Error> {
        let Parts { dtype, shape } = read::begin(&mut parts)?;
        let items = read::items::<u8, A>(&mut parts)?;
        check(&shape, items.as_slice().len()).map_err(de::Error::custom)?;
        Ok(RawArray { dtype: dtype.into(), shape: shape.into(), items })
    }
}

/// Shows the dtype and the shape.
impl fmt::Debug for RawArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<array of dtype {} and shape {:?}>", self.dtype, self.shape)
    }
}

fn item_bytes(shape: &[usize], size: usize) -> Option<usize> {
    places(shape)?.checked_mul(size)
}

/// How many bytes a number or a time of this dtype has.
fn item_size(dtype: &str) -> Option<usize> {
    let rest =
        dtype.strip_prefix(['<', '>', '|'])?.strip_prefix(['b', 'i', 'u', 'f', 'c', 'm', 'M'])?;
    rest.split('[').next()?.parse().ok()
}

/// Whether so many bytes can be divided among the places of a shape.
fn check(shape: &[usize], bytes: usize) -> Result<(), ShapeError> {
    match places(shape) {
        Some(0) if bytes == 0 => Ok(()),
        Some(count) if count > 0 && bytes.is_multiple_of(count) => Ok(()),
        _ => Err(ShapeError::new(shape, bytes)),
    }
}
