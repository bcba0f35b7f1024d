//! A bounded pipe that holds references, and the pool that lends them.

use ringway_io::Pipe;

use crate::queue::{ByteQueue, PAGE_BYTES};

/// What is in a pipe.
#[derive(Debug)]
pub(crate) struct PipeState {
    queue: ByteQueue,
    capacity: usize,
    /// Descriptors of its read and write end, as long as they are open.
    pub(crate) ends: [Option<u64>; 2],
}

impl PipeState {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            queue: ByteQueue::default(),
            capacity,
            ends: [None; 2],
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Pages that still fit. A pipe counts pages, not bytes: small or unaligned references fill
    /// it before its capacity (pipe(7), one buffer slot per page).
    fn free_pages(&self) -> usize {
        (self.capacity / PAGE_BYTES).saturating_sub(self.queue.pages())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.free_pages() == 0 || self.queue.len() >= self.capacity
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many bytes of the front of `source` fit, at most `bytes_max`.
    pub(crate) fn fits(&self, source: &ByteQueue, bytes_max: usize) -> usize {
        let bytes_max = bytes_max.min(self.capacity - self.queue.len());
        source.within(self.free_pages(), bytes_max)
    }

    /// Moves what fits, at most `bytes_max`, from `source` into the pipe; returns how much.
    pub(crate) fn fill_from(&mut self, source: &mut ByteQueue, bytes_max: usize) -> usize {
        let count = self.fits(source, bytes_max);
        let moved = source.take(count);
        self.queue.append(moved);
        count
    }

    pub(crate) fn take(&mut self, bytes_max: usize) -> ByteQueue {
        self.queue.take(bytes_max)
    }

    /// Puts back in front what was taken and not used.
    pub(crate) fn put_back(&mut self, bytes: ByteQueue) {
        self.queue.put_back(bytes);
    }
}

/// The pipes of one kernel.
#[derive(Debug, Default)]
pub(crate) struct PipePool {
    pub(crate) idle: Vec<Pipe>,
    pub(crate) lent: u32,
}
