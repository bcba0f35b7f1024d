//! Checksums of bodies: whether, and what stands behind a body (W-3.6).

/// When bodies are followed by a checksum, if the peer agrees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyChecksum {
    /// Never.
    #[default]
    Off,
    /// Where both ends touch the bytes anyway; who commits a body decides.
    Auto,
    /// Always, at the cost of reading every byte.
    Always,
}

/// What the caller of [`crate::Session::commit`] sends behind the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailer {
    /// Nothing.
    None,
    /// The CRC-32C of the body, 4 bytes, little-endian, not counted in its length. Only where
    /// [`crate::Session::body_checksum`] is not off.
    Behind,
}

/// Bytes of the trailer.
pub const TRAILER_BYTES: usize = 4;
