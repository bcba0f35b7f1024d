//! Optional parts of the protocol, fixed for a session's life in its first handshake.

/// A set of feature bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Features(u64);

impl Features {
    /// None.
    pub const NONE: Self = Self(0);
    /// More than one connection per session: roles and attach (W-1.9).
    pub const BULK_CONNECTIONS: Self = Self(1);
    /// A CRC-32C behind each body (W-3.6).
    pub const BODY_CHECKSUM: Self = Self(2);
    /// What this implementation can do.
    pub const SUPPORTED: Self = Self::BULK_CONNECTIONS.union(Self::BODY_CHECKSUM);

    /// From the bits on the wire.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As on the wire.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// What either set has.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both sets have.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
