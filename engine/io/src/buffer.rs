//! Memory that an op owns until its last completion.

use std::ops::Range;

use bytes::Bytes;

use crate::{Lease, LeaseMut};

/// Memory to be filled by an op, and how much of it.
///
/// The op owns it; the completion gives it back in [`crate::Payload::Buffer`], also when the op
/// failed or was cancelled.
#[derive(Debug)]
pub struct BufferMut {
    /// The memory.
    pub memory: BufferMemory,
    /// The part the kernel may fill, in bytes of `memory`.
    pub range: Range<usize>,
}

/// What stands behind a [`BufferMut`].
#[derive(Debug)]
pub enum BufferMemory {
    /// The application's or our own heap memory, filled within its length, never beyond.
    Heap(Vec<u8>),
    /// A piece of the arena: registered, so reads and writes need no page pinning.
    Lease(LeaseMut),
}

impl BufferMut {
    /// All of `memory`, from its first to its last initialised byte.
    #[must_use]
    pub fn heap(memory: Vec<u8>) -> Self {
        let range = 0..memory.len();
        Self {
            memory: BufferMemory::Heap(memory),
            range,
        }
    }

    /// The first `length` bytes of a lease.
    ///
    /// # Panics
    /// If `length` exceeds the lease.
    #[must_use]
    pub fn lease(memory: LeaseMut, length: usize) -> Self {
        assert!(length <= memory.len());
        Self {
            memory: BufferMemory::Lease(memory),
            range: 0..length,
        }
    }

    /// Narrows or moves the part to be filled.
    ///
    /// # Panics
    /// If `range` is not inside the memory.
    #[must_use]
    pub fn with_range(mut self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.memory.len());
        self.range = range;
        self
    }

    /// How many bytes the op may fill.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether nothing can be filled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The part to be filled, as it is.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.memory.as_slice()[self.range.clone()]
    }

    /// The part to be filled.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory.as_mut_slice()[self.range.clone()]
    }
}

impl BufferMemory {
    /// Size of the memory in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Heap(vector) => vector,
            Self::Lease(lease) => lease,
        }
    }

    /// All of it.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(vector) => vector,
            Self::Lease(lease) => lease,
        }
    }
}

/// Memory to be read by an op: sent or written.
#[derive(Clone, Debug)]
pub enum BufferRef {
    /// Shared heap memory.
    Bytes(Bytes),
    /// Part of a registered piece.
    Lease(Lease),
}

impl BufferRef {
    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Lease(lease) => lease,
        }
    }

    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The part `range` of it, sharing the memory.
    ///
    /// # Panics
    /// If `range` is not inside.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Bytes(bytes.slice(range)),
            Self::Lease(lease) => Self::Lease(lease.slice(range)),
        }
    }
}

/// A buffer of a provided-buffer ring that the kernel filled for a multishot receive.
///
/// A claim ticket, not memory: read it with [`crate::Kernel::provided`], give it back with
/// [`crate::Kernel::recycle`] before the turn ends. Not `Clone`, so it is given back once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a provided buffer that is not recycled is lost to its ring"]
pub struct ProvidedBuffer {
    /// Which ring of buffers.
    pub group: u16,
    /// Which buffer of that ring.
    pub index: u16,
    /// How many bytes of it were filled.
    pub length: u32,
}
