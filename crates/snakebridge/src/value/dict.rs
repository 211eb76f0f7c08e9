//! Dicts with keys of any type.

use super::Value;

/// A Python dict: keys of any type, in the order of the dict.
///
/// ```
/// use snakebridge::{Bridge, Value, value::Dict};
///
/// let py = Bridge::new()?;
/// let squares: Dict = (1..4_i64).map(|n| (n, n * n)).collect();
/// let same: Dict = py.call("builtins", "dict", (&squares,)).wait()?;
/// assert_eq!(same.get(3), Some(&Value::Int(9)));
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Dict(Vec<(Value, Value)>);

impl Dict {
    /// An empty dict.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value under this key. Looks through all entries: collect into a map of Rust's own for
    /// many look-ups.
    pub fn get(&self, key: impl Into<Value>) -> Option<&Value> {
        let key = key.into();
        self.0.iter().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// Puts a value under a key, in the place of one that was there.
    pub fn insert(&mut self, key: impl Into<Value>, value: impl Into<Value>) {
        let key = key.into();
        match self.0.iter_mut().find(|(found, _)| *found == key) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((key, value.into())),
        }
    }

    /// The entries in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Value, &Value)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Adds an entry whose key is known to be new.
    pub(crate) fn push(&mut self, key: Value, value: Value) {
        self.0.push((key, value));
    }

    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }
}

impl PartialEq for Dict {
    fn eq(&self, other: &Self) -> bool {
        // Mostly the order is the same, and then it need not be searched for.
        self.0 == other.0
            || (self.len() == other.len()
                && self.iter().all(|(key, value)| {
                    other.iter().any(|(name, found)| name == key && found == value)
                }))
    }
}

impl IntoIterator for Dict {
    type Item = (Value, Value);
    type IntoIter = std::vec::IntoIter<(Value, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Into<Value>, V: Into<Value>> FromIterator<(K, V)> for Dict {
    /// As in Python, a later entry replaces an earlier one with the same key.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut dict = Self::new();
        for (key, value) in entries {
            dict.insert(key, value);
        }
        dict
    }
}

impl<K: Into<Value>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Dict {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}
