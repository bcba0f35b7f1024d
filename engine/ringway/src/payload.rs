//! What can be sent: memory, registered memory, or part of a file.

use bytes::Bytes;
use ringway_io::Lease;

use crate::File;
use crate::path_table::BodySource;

/// The content of one [`crate::Stream::send`].
///
/// It is kept until the peer's engine has acked it, and sent again from there if the connection
/// dies; a file range costs no memory for that, however long it is.
#[derive(Clone, Debug)]
pub enum Payload {
    /// Shared heap memory.
    Bytes(Bytes),
    /// A piece of a shard's arena: leaves without a copy where the route allows.
    Lease(Lease),
    /// Part of a file, moved by the kernel.
    File(FileRange),
}

/// Part of a file as a body.
///
/// Size, modification and change time are compared before the first byte and before each replay:
/// a source that changed ends its stream with [`crate::Error::SourceChanged`] instead of mixing
/// old bytes with new ones. Writers through `mmap` are invisible to that check.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// The file.
    pub file: File,
    /// First byte.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

impl Payload {
    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Lease(lease) => lease.len() as u64,
            Self::File(range) => range.length,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the path table looks at.
    pub(crate) fn source(&self) -> BodySource {
        match self {
            Self::Bytes(_) => BodySource::Bytes,
            Self::Lease(_) => BodySource::Lease,
            Self::File(_) => BodySource::File,
        }
    }

    /// Whether it is part of a file that may be read past the page cache.
    pub(crate) fn is_direct_file(&self) -> bool {
        matches!(self, Self::File(range) if range.file.is_direct())
    }

    /// `length` bytes of it behind the first `skip`; it has as many.
    pub(crate) fn part(&self, skip: u64, length: u64) -> Self {
        // Lengths of memory fit: there is such memory.
        let range = || {
            let start = usize::try_from(skip).unwrap_or(usize::MAX);
            let end = usize::try_from(skip + length).unwrap_or(usize::MAX);
            start..end
        };
        match self {
            Self::Bytes(bytes) => Self::Bytes(bytes.slice(range())),
            Self::Lease(lease) => Self::Lease(lease.slice(range())),
            Self::File(file) => Self::File(FileRange {
                file: file.file.clone(),
                offset: file.offset + skip,
                length,
            }),
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&'static [u8]> for Payload {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Bytes(Bytes::from_static(bytes))
    }
}

impl From<&'static str> for Payload {
    fn from(text: &'static str) -> Self {
        text.as_bytes().into()
    }
}

impl From<Lease> for Payload {
    fn from(lease: Lease) -> Self {
        Self::Lease(lease)
    }
}

impl From<FileRange> for Payload {
    fn from(range: FileRange) -> Self {
        Self::File(range)
    }
}
