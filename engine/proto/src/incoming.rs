//! What parsing received bytes led to.

use crate::id::StreamId;

/// Result of [`crate::Session::handle_bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Bytes that were used; what is left is to be given again, with more behind it, unless it is
    /// a body's.
    pub consumed: usize,
    /// What comes next.
    pub next: Next,
}

/// What comes next on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A header or control frame, of which at least so many bytes are missing.
    More(usize),
    /// A body, possibly of no bytes (an empty record): report it with
    /// [`crate::Session::handle_body`].
    Body(Incoming),
    /// A body that is ahead of its stream, on a bulk connection. Read nothing more there until
    /// [`crate::Session::poll_arrival`] says so.
    Wait,
}

/// A body on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Which stream.
    pub stream: StreamId,
    /// Stream offset of the first byte behind `skip`.
    pub offset: u64,
    /// Bytes on the wire.
    pub length: u64,
    /// Leading bytes that were received before: discard them.
    pub skip: u64,
    /// The last byte ends a record that was not received before.
    pub end_of_record: bool,
    /// Behind the body follow 4 bytes: its CRC-32C, little-endian. Read them too, compare with
    /// that of all `length` bytes, and report both with [`crate::Session::handle_trailer`].
    /// Nothing of the body counts, nor may be told to anybody, before.
    pub trailer: bool,
}
