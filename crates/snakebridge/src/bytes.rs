//! Binary data.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use snakebridge_wire::token;

use crate::engine::memory::Region;
use crate::scope;

/// Binary data, which is `bytes` in Python.
///
/// A `Vec<u8>` goes to Python as a list of integers, as serde has it; `Bytes` goes as `bytes`.
/// Coming from Python, `bytes` and `bytearray` can be read as either; large ones stay in shared memory, where a `Vec<u8>` is
/// a copy of them. Cheap to clone.
///
/// ```
/// use snakebridge::{Bridge, Bytes, Ref};
///
/// let py = Bridge::new()?;
/// let md5: Ref = py.call("hashlib", "md5", (Bytes::from(b"abc"),)).wait()?;
/// let hex: String = md5.method("hexdigest", ()).wait()?;
/// assert_eq!(hex, "900150983cd24fb0d6963f7d28e17f72");
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone)]
pub struct Bytes(Place);

#[derive(Clone)]
enum Place {
    Own(Arc<[u8]>),
    /// In shared memory, which nobody changes.
    Shared(Region),
}

impl Bytes {
    /// The data as a vector of its own.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.deref().to_vec()
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self(Place::Own(Arc::default()))
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bytes {
    fn cmp(&self, other: &Self) -> Ordering {
        self.deref().cmp(other)
    }
}

impl Hash for Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.deref().hash(state);
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Own(data) => data,
            Place::Shared(region) => region.bytes(),
        }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(data: Vec<u8>) -> Self {
        Self(Place::Own(data.into()))
    }
}

impl From<&[u8]> for Bytes {
    fn from(data: &[u8]) -> Self {
        Self(Place::Own(data.into()))
    }
}

impl<const N: usize> From<&[u8; N]> for Bytes {
    fn from(data: &[u8; N]) -> Self {
        Self(Place::Own(data.as_slice().into()))
    }
}

impl<const N: usize> From<[u8; N]> for Bytes {
    fn from(data: [u8; N]) -> Self {
        Self(Place::Own(data.into()))
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

/// Shows the data as Python would print it, and only the start of long data.
impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        f.write_str("b\"")?;
        for byte in self.iter().take(SHOWN) {
            write!(f, "{}", byte.escape_ascii())?;
        }
        f.write_str("\"")?;
        if self.len() > SHOWN {
            write!(f, "... ({} bytes)", self.len())?;
        }
        Ok(())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, data: &[u8]) -> Result<Bytes, E> {
                Ok(data.into())
            }

            fn visit_byte_buf<E: de::Error>(self, data: Vec<u8>) -> Result<Bytes, E> {
                Ok(data.into())
            }

            // Formats without bytes, JSON among them, write sequences of numbers.
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Bytes, A::Error> {
                let mut data = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    data.push(byte);
                }
                Ok(data.into())
            }
        }
        /// What may be in shared memory.
        struct PlaceVisitor;

        impl<'de> de::Visitor<'de> for PlaceVisitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                inner: D,
            ) -> Result<Bytes, D::Error> {
                inner.deserialize_bytes(Visitor)
            }

            fn visit_bytes<E: de::Error>(self, data: &[u8]) -> Result<Bytes, E> {
                Ok(data.into())
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Bytes, A::Error> {
                let segment: Option<(u64, u64)> = seq.next_element()?;
                let region = segment.and_then(|(id, _)| scope::claim_region(id));
                let region = region.ok_or_else(|| de::Error::custom("bytes that are nowhere"))?;
                Ok(Bytes(Place::Shared(region)))
            }
        }
        deserializer.deserialize_newtype_struct(token::BYTES, PlaceVisitor)
    }
}
