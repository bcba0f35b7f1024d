//! Pieces of one memfd, lent and taken back.
//!
//! Where a piece lies is decided by the buddy allocator next door (`arena`); this file only makes
//! sure that two pieces never overlap, whatever that one says.
//!
//! Invariants:
//! 1. `Lender::lent` has a bit for each unit of the arena, set from `lend` until `take_back` of
//!    the same piece. `lend` panics on a set bit, so live pieces never overlap.
//! 2. A piece is announced in `returned` once, by its `Drop`; only then are its bits cleared.
//! 3. A piece keeps the mapping alive through its `Arc`.
//! 4. The kernel writes to a piece only for an op that owns its `LeaseMut`; it reads one only for
//!    ops and pipes. Neither conflicts with `&[u8]`, nor with `&mut [u8]`, whose owner it must be.
#![allow(unsafe_code)]

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::queue::SegQueue;
use ringway_io::{LeaseLocation, LeaseMemory};

use super::mapping::Mapping;

/// Smallest piece, bytes: a page.
pub(crate) const UNIT_BYTES: usize = 4096;

/// What a returned piece is filled with when poisoning is on.
pub(crate) const POISON: u8 = 0xdb;

/// The memory of one arena; lives as long as any of its pieces.
pub(crate) struct ArenaMemory {
    mapping: Mapping,
    memfd: OwnedFd,
    id: u64,
    returned: SegQueue<Returned>,
}

/// A piece nobody holds any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Returned {
    /// First byte, from the start of the arena.
    pub offset: usize,
    /// Bytes.
    pub length: usize,
}

/// The owner's side of an arena.
pub(crate) struct Lender {
    memory: Arc<ArenaMemory>,
    lent: Vec<u64>,
}

struct Piece {
    memory: Arc<ArenaMemory>,
    offset: usize,
    length: usize,
    generation: u64,
}

impl ArenaMemory {
    /// Wraps a mapped memfd.
    pub(crate) fn new(mapping: Mapping, memfd: OwnedFd) -> Arc<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            mapping,
            memfd,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            returned: SegQueue::new(),
        })
    }

    /// The mapped bytes.
    pub(crate) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The file behind them.
    pub(crate) fn memfd(&self) -> &OwnedFd {
        &self.memfd
    }

    /// Where `slice` begins in this arena; `None` if it is not wholly inside.
    pub(crate) fn offset_of(&self, slice: &[u8]) -> Option<usize> {
        let base = self.mapping.base().as_ptr() as usize;
        let offset = (slice.as_ptr() as usize).checked_sub(base)?;
        let end = offset.checked_add(slice.len())?;
        (end <= self.mapping.len()).then_some(offset)
    }
}

impl Lender {
    /// Everything free.
    pub(crate) fn new(memory: Arc<ArenaMemory>) -> Self {
        let units = memory.mapping.len() / UNIT_BYTES;
        Self {
            memory,
            lent: vec![0; units.div_ceil(64)],
        }
    }

    /// The shared memory.
    pub(crate) fn memory(&self) -> &Arc<ArenaMemory> {
        &self.memory
    }

    /// Lends a piece.
    ///
    /// # Panics
    /// If it is not made of whole units inside of the arena, or overlaps a live piece (1).
    pub(crate) fn lend(
        &mut self,
        offset: usize,
        length: usize,
        generation: u64,
    ) -> Arc<dyn LeaseMemory> {
        assert!(offset.is_multiple_of(UNIT_BYTES) && length.is_multiple_of(UNIT_BYTES));
        let end = offset.checked_add(length).expect("a piece inside");
        assert!(length > 0 && end <= self.memory.mapping.len());
        for unit in offset / UNIT_BYTES..end / UNIT_BYTES {
            let (word, bit) = (unit / 64, 1_u64 << (unit % 64));
            assert_eq!(self.lent[word] & bit, 0, "unit {unit} is lent");
            self.lent[word] |= bit;
        }
        Arc::new(Piece {
            memory: Arc::clone(&self.memory),
            offset,
            length,
            generation,
        })
    }

    /// Takes one returned piece, if any, filling it with [`POISON`] if told so.
    pub(crate) fn take_back(&mut self, poison: bool) -> Option<Returned> {
        let returned = self.memory.returned.pop()?;
        if poison {
            let base = self.memory.mapping.base().as_ptr();
            let first = base.wrapping_add(returned.offset);
            // SAFETY: the piece is inside the mapping (checked by `lend`), has no holder (2), and
            // its bits are still set, so nobody else gets it meanwhile (1).
            unsafe { first.write_bytes(POISON, returned.length) };
        }
        let units = returned.offset / UNIT_BYTES..(returned.offset + returned.length) / UNIT_BYTES;
        for unit in units {
            self.lent[unit / 64] &= !(1_u64 << (unit % 64));
        }
        Some(returned)
    }
}

impl Piece {
    fn first(&self) -> *mut u8 {
        let base = self.memory.mapping.base().as_ptr();
        base.wrapping_add(self.offset)
    }
}

impl LeaseMemory for Piece {
    fn as_slice(&self) -> &[u8] {
        // SAFETY: inside the mapping (checked by `lend`), alive (3), initialised (a memfd begins
        // as zeroes), and written by nobody but its only holder (1, 4).
        unsafe { std::slice::from_raw_parts(self.first(), self.length) }
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`; `&mut self` is the only holder.
        unsafe { std::slice::from_raw_parts_mut(self.first(), self.length) }
    }

    fn location(&self) -> LeaseLocation {
        LeaseLocation {
            arena: self.memory.id,
            offset: self.offset as u64,
            generation: self.generation,
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.memory.returned.push(Returned {
            offset: self.offset,
            length: self.length,
        });
    }
}
