//! The types that items of arrays can have.

use std::any::TypeId;
use std::fmt;

use bytemuck::{NoUninit, Pod, Zeroable};

use super::{Array, RawArray};

/// A type that items of an [`Array`](crate::Array) can have. Each is exactly one dtype of numpy:
///
/// | Rust | numpy |
/// | --- | --- |
/// | `i8`, `i16`, `i32`, `i64` | `int8`, `int16`, `int32`, `int64` |
/// | `u8`, `u16`, `u32`, `u64` | `uint8`, `uint16`, `uint32`, `uint64` |
/// | `f32`, `f64` | `float32`, `float64` |
/// | `bool` | `bool` |
/// | `[f32; 2]`, `[f64; 2]` | `complex64`, `complex128`: real and imaginary parts |
/// | `f16` of the crate `half`, with the feature `half` | `float16` |
///
/// All others are there as a [`RawArray`](crate::RawArray).
pub trait Element:
    sealed::Sealed + NoUninit + Zeroable + PartialEq + fmt::Debug + Send + Sync
{
    /// numpy's short name of the type, with the order of its bytes: `<f8`.
    #[doc(hidden)]
    const DTYPE: &'static str;
    /// numpy's long name of the type.
    #[doc(hidden)]
    const NAME: &'static str;
    /// The items that these bytes are, wherever they stand; `None` if some are none.
    #[doc(hidden)]
    fn copied(data: &[u8]) -> Option<Vec<Self>>;
    /// The items that these bytes are, where they can be looked at as they are.
    #[doc(hidden)]
    fn in_place(data: &[u8]) -> Option<&[Self]>;
    /// The same, to be changed.
    #[doc(hidden)]
    fn in_place_mut(data: &mut [u8]) -> Option<&mut [Self]>;
}

#[expect(unnameable_types, reason = "that is what seals the trait")]
mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($type:ty: $dtype:literal $name:literal $copied:path, $in_place:path, $in_place_mut:path;)*) => {
        $(impl sealed::Sealed for $type {}

        impl Element for $type {
            const DTYPE: &'static str = $dtype;
            const NAME: &'static str = $name;

            fn copied(data: &[u8]) -> Option<Vec<Self>> {
                $copied(data)
            }

            fn in_place(data: &[u8]) -> Option<&[Self]> {
                $in_place(data)
            }

            fn in_place_mut(data: &mut [u8]) -> Option<&mut [Self]> {
                $in_place_mut(data)
            }
        })*

        /// Which of these a type of result is an array of.
        pub(super) fn is_array_of_these(wanted: TypeId) -> bool {
            false $(|| wanted == TypeId::of::<Array<$type>>())*
        }

        /// numpy's long name for a short one, where that is one of the types here.
        pub(super) fn name_of_these(dtype: &str) -> Option<&'static str> {
            match dtype {
                $($dtype => Some($name),)*
                _ => None,
            }
        }
    };
}

/// Whether a type of result is an array.
pub(crate) fn is_array<R: 'static>() -> bool {
    let wanted = TypeId::of::<R>();
    #[cfg(feature = "half")]
    if half::is_array_of_these(wanted) {
        return true;
    }
    is_array_of_these(wanted) || wanted == TypeId::of::<RawArray>()
}

/// numpy's long name for a short one, where that is one that has an element here.
pub(super) fn name_of(dtype: &str) -> Option<&'static str> {
    #[cfg(feature = "half")]
    if let Some(name) = half::name_of_these(dtype) {
        return Some(name);
    }
    name_of_these(dtype)
}

elements! {
    i8: "|i1" "int8" copied, in_place, in_place_mut;
    i16: "<i2" "int16" copied, in_place, in_place_mut;
    i32: "<i4" "int32" copied, in_place, in_place_mut;
    i64: "<i8" "int64" copied, in_place, in_place_mut;
    u8: "|u1" "uint8" copied, in_place, in_place_mut;
    u16: "<u2" "uint16" copied, in_place, in_place_mut;
    u32: "<u4" "uint32" copied, in_place, in_place_mut;
    u64: "<u8" "uint64" copied, in_place, in_place_mut;
    f32: "<f4" "float32" copied, in_place, in_place_mut;
    f64: "<f8" "float64" copied, in_place, in_place_mut;
    bool: "|b1" "bool" booleans, never, never_mut;
    [f32; 2]: "<c8" "complex64" copied, in_place, in_place_mut;
    [f64; 2]: "<c16" "complex128" copied, in_place, in_place_mut;
}

#[cfg(feature = "half")]
mod half {
    use super::*;

    elements! {
        ::half::f16: "<f2" "float16" copied, in_place, in_place_mut;
    }
}

fn copied<T: Pod>(data: &[u8]) -> Option<Vec<T>> {
    let mut items = vec![T::zeroed(); data.len() / size_of::<T>()];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut items);
    // There may be a part of one more.
    (bytes.len() == data.len()).then(|| bytes.copy_from_slice(data))?;
    Some(items)
}

fn booleans(data: &[u8]) -> Option<Vec<bool>> {
    let boolean = |byte: &u8| match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    };
    data.iter().map(boolean).collect()
}

fn in_place<T: Pod>(data: &[u8]) -> Option<&[T]> {
    bytemuck::try_cast_slice(data).ok()
}

fn in_place_mut<T: Pod>(data: &mut [u8]) -> Option<&mut [T]> {
    bytemuck::try_cast_slice_mut(data).ok()
}

/// Other bytes than 0 and 1 are no booleans, and are looked at once.
fn never(_: &[u8]) -> Option<&[bool]> {
    None
}

fn never_mut(_: &mut [u8]) -> Option<&mut [bool]> {
    None
}
