//! Limits on everything that is read from a peer, in one place.

/// Bounds that a frame and the value in it must keep.
///
/// The defaults are far above honest use and far below what would harm the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest frame body in bytes. Default 64 GiB: a body is only ever as large as the bytes that
    /// really arrived, so this guards against a damaged header, not against memory use.
    pub frame_bytes: u64,
    /// Deepest nesting of containers. Default 200: a level costs a few hundred bytes of stack on
    /// the way through serde, and threads may have as little as 2 MiB, in debug builds too.
    pub depth: usize,
    /// Most values in one frame after what is shared in it is expanded, where 64 bytes of text that is
    /// shared count as one. Default 2^28.
    pub values: u64,
}

impl Limits {
    /// The default limits.
    pub const DEFAULT: Self = Self { frame_bytes: 64 << 30, depth: 200, values: 1 << 28 };

    /// The same limits with another depth.
    #[must_use]
    pub const fn with_depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// The same limits with another number of values.
    #[must_use]
    pub const fn with_values(mut self, values: u64) -> Self {
        self.values = values;
        self
    }

    /// The same limits with another frame size.
    #[must_use]
    pub const fn with_frame_bytes(mut self, frame_bytes: u64) -> Self {
        self.frame_bytes = frame_bytes;
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
