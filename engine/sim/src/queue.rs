//! Bytes on their way: by value, or by reference to a lease or a file.
//!
//! A reference is resolved where the bytes are copied: into a receiver's memory, into a file, or
//! (over a device) when they arrive. Until then whoever owns the referred memory can still
//! change what will be read; that is what this type exists to show.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use ringway_io::LeaseLocation;

use crate::HostId;

/// Bytes of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// The bytes as they were when they were sent.
    pub(crate) bytes: Bytes,
    /// What they refer to.
    pub(crate) source: Source,
}

/// What a chunk refers to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// Nothing: they were copied.
    Copied,
    /// A piece of an arena.
    Lease {
        location: LeaseLocation,
        /// Sent with zero-copy rather than spliced: copied when it arrives, on any route.
        copied_on_arrival: bool,
    },
    /// A file's page cache.
    File {
        host: HostId,
        node: u64,
        offset: u64,
    },
}

impl Source {
    /// The source of what follows `bytes` further on.
    fn advanced(self, bytes: usize) -> Self {
        match self {
            Self::Copied => self,
            Self::Lease {
                mut location,
                copied_on_arrival,
            } => {
                location.offset += bytes as u64;
                Self::Lease {
                    location,
                    copied_on_arrival,
                }
            }
            Self::File { host, node, offset } => Self::File {
                host,
                node,
                offset: offset + bytes as u64,
            },
        }
    }

    /// Where the first byte lies within its page.
    fn page_offset(self) -> usize {
        match self {
            Self::Copied => 0,
            Self::Lease { location, .. } => (location.offset % PAGE_BYTES as u64) as usize,
            Self::File { offset, .. } => (offset % PAGE_BYTES as u64) as usize,
        }
    }
}

/// A page of memory.
pub(crate) const PAGE_BYTES: usize = 4096;

impl Chunk {
    pub(crate) fn copied(bytes: Bytes) -> Self {
        Self {
            bytes,
            source: Source::Copied,
        }
    }

    /// Takes the first `count` bytes off.
    fn split_to(&mut self, count: usize) -> Self {
        let bytes = self.bytes.split_to(count);
        let source = self.source;
        self.source = source.advanced(count);
        Self { bytes, source }
    }

    /// How many pages it touches.
    fn pages(&self) -> usize {
        (self.source.page_offset() + self.bytes.len()).div_ceil(PAGE_BYTES)
    }
}

/// A sequence of chunks.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByteQueue {
    chunks: VecDeque<Chunk>,
    length: usize,
    pages: usize,
}

impl ByteQueue {
    pub(crate) fn of(chunk: Chunk) -> Self {
        let mut queue = Self::default();
        queue.push(chunk);
        queue
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Pages touched, each chunk counted for itself: what a pipe counts.
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn push(&mut self, chunk: Chunk) {
        if !chunk.bytes.is_empty() {
            self.length += chunk.bytes.len();
            self.pages += chunk.pages();
            self.chunks.push_back(chunk);
        }
    }

    pub(crate) fn append(&mut self, other: Self) {
        for chunk in other.chunks {
            self.push(chunk);
        }
    }

    /// Takes at most `bytes_max` bytes from the front.
    pub(crate) fn take(&mut self, bytes_max: usize) -> Self {
        let mut taken = Self::default();
        while taken.length < bytes_max {
            let Some(chunk) = self.take_chunk(bytes_max - taken.length) else {
                break;
            };
            taken.push(chunk);
        }
        taken
    }

    /// Takes at most `bytes_max` bytes of the first chunk.
    fn take_chunk(&mut self, bytes_max: usize) -> Option<Chunk> {
        let front = self.chunks.front_mut()?;
        self.pages -= front.pages();
        let taken = if front.bytes.len() <= bytes_max {
            self.chunks.pop_front()?
        } else {
            let taken = front.split_to(bytes_max);
            self.pages += front.pages();
            taken
        };
        self.length -= taken.bytes.len();
        Some(taken)
    }

    /// How many bytes of the front fit into `pages_max` pages and `bytes_max` bytes.
    pub(crate) fn within(&self, pages_max: usize, bytes_max: usize) -> usize {
        let (mut pages, mut bytes) = (0, 0);
        for chunk in &self.chunks {
            if pages >= pages_max || bytes >= bytes_max {
                break;
            }
            let room = (pages_max - pages) * PAGE_BYTES - chunk.source.page_offset();
            bytes += chunk.bytes.len().min(room);
            pages += chunk.pages();
        }
        bytes.min(bytes_max)
    }

    /// Puts `other` in front.
    pub(crate) fn put_back(&mut self, mut other: Self) {
        std::mem::swap(self, &mut other);
        self.append(other);
    }

    /// Replaces each chunk by what `resolve` makes of it.
    pub(crate) fn resolve(self, mut resolve: impl FnMut(Chunk) -> Bytes) -> Bytes {
        let mut chunks = self.chunks.into_iter();
        let Some(first) = chunks.next() else {
            return Bytes::new();
        };
        let first = resolve(first);
        if chunks.len() == 0 {
            return first;
        }
        let mut all = BytesMut::with_capacity(self.length);
        all.extend_from_slice(&first);
        for chunk in chunks {
            all.extend_from_slice(&resolve(chunk));
        }
        all.freeze()
    }

    /// Replaces each chunk, one by one.
    pub(crate) fn map(self, mut map: impl FnMut(Chunk) -> Chunk) -> Self {
        let mut mapped = Self::default();
        for chunk in self.chunks {
            mapped.push(map(chunk));
        }
        mapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_chunk(offset: u64, length: usize) -> Chunk {
        Chunk {
            bytes: Bytes::from(vec![7; length]),
            source: Source::File {
                host: HostId(0),
                node: 1,
                offset,
            },
        }
    }

    #[test]
    fn taking_in_pieces_keeps_offsets_lengths_and_pages_right() {
        let mut queue = ByteQueue::of(file_chunk(100, 10_000));
        assert_eq!(queue.pages(), 3);
        let head = queue.take(5_000);
        assert_eq!((head.len(), queue.len()), (5_000, 5_000));
        assert_eq!((head.pages(), queue.pages()), (2, 2));
        let Source::File { offset, .. } = queue.chunks[0].source else {
            panic!("still a reference");
        };
        assert_eq!(offset, 5_100);
    }

    #[test]
    fn an_unaligned_reference_fills_a_pipe_before_its_capacity_in_bytes() {
        let mut queue = ByteQueue::of(file_chunk(1, 4 * PAGE_BYTES));
        let count = queue.within(4, usize::MAX);
        let taken = queue.take(count);
        assert_eq!(taken.len(), 4 * PAGE_BYTES - 1);
        assert_eq!(taken.pages(), 4);
        queue.put_back(taken);
        assert_eq!((queue.len(), queue.pages()), (4 * PAGE_BYTES, 5));
    }
}
