//! Sets of any serializable items.

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use snakebridge_wire::token;

macro_rules! set_type {
    ($(#[$doc:meta])* $name:ident, $token:path) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[expect(clippy::exhaustive_structs, reason = "complete by nature: a wrapper")]
        pub struct $name<T>(pub T);

        impl<T: Serialize> Serialize for $name<T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_newtype_struct($token, &self.0)
            }
        }

        impl<'de, T: Deserialize<'de>> Deserialize<'de> for $name<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                T::deserialize(deserializer).map(Self)
            }
        }
    };
}

set_type! {
    /// Sends the items of a collection as a Python `set`.
    ///
    /// serde writes every set as a sequence, so a `HashSet` by itself becomes a list. Reading needs
    /// no wrapper: a Python set can be read into any collection.
    ///
    /// ```
    /// use snakebridge::{Bridge, types::Set};
    ///
    /// let py = Bridge::new()?;
    /// let joined: Vec<i32> = py.call("builtins", "sorted", (Set(vec![3, 1, 3]),)).wait()?;
    /// assert_eq!(joined, [1, 3]);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    Set, token::SET
}

set_type! {
    /// Sends the items of a collection as a Python `frozenset`; see [`Set`].
    FrozenSet, token::FROZEN_SET
}
