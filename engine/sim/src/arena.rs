//! Heap memory that is lent in pieces and remembers which were given back.
//!
//! A returned piece is filled with [`crate::POISON`] at once, and its generation is over: bytes
//! that still travel by reference to it are then delivered as poison too.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringway_io::{LeaseLocation, LeaseMemory, LeaseMut};

use crate::POISON;

/// Sizes of the pieces, ascending, bytes; and how many sixteenths of the arena each size gets.
const CLASSES: [(usize, usize); 4] = [(4 << 10, 1), (64 << 10, 3), (256 << 10, 4), (1 << 20, 8)];

/// One kernel's arena.
#[derive(Debug)]
pub(crate) struct Arena {
    id: u64,
    bytes: usize,
    pieces: Mutex<Vec<Piece>>,
    /// Its process is gone: what is still lent is never lent again, so what refers to it stays
    /// what it was, as pages do that outlive their process.
    is_closed: AtomicBool,
}

/// A piece of fixed place and size.
#[derive(Debug)]
struct Piece {
    offset: u64,
    bytes: usize,
    generation: u64,
    lent: bool,
    /// Kept between loans, so that a reused piece really is the same memory.
    memory: Option<Box<[u8]>>,
}

impl Arena {
    /// Carves `bytes` into pieces.
    pub(crate) fn new(id: u64, bytes: usize) -> Arc<Self> {
        let mut pieces = Vec::new();
        let mut offset = 0;
        for (size, share) in CLASSES {
            for _ in 0..(bytes / 16 * share) / size {
                pieces.push(Piece::new(offset, size));
                offset += size as u64;
            }
        }
        Arc::new(Self {
            id,
            bytes,
            pieces: Mutex::new(pieces),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Total size, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sizes lent, ascending, bytes.
    pub(crate) fn sizes() -> Vec<u32> {
        CLASSES.iter().map(|&(size, _)| size as u32).collect()
    }

    /// Lends the smallest free piece of at least `bytes`.
    pub(crate) fn lend(self: &Arc<Self>, bytes: usize) -> Option<LeaseMut> {
        let mut pieces = self.lock();
        // The lowest free one of the smallest size: reused soonest, so that errors show.
        let index = (0..pieces.len())
            .filter(|&index| !pieces[index].lent && pieces[index].bytes >= bytes)
            .min_by_key(|&index| (pieces[index].bytes, index))?;
        let piece = &mut pieces[index];
        piece.lent = true;
        piece.generation += 1;
        let lent = Lent {
            memory: piece.take_memory(),
            index,
            location: LeaseLocation {
                arena: self.id,
                offset: piece.offset,
                generation: piece.generation,
            },
            home: Arc::clone(self),
        };
        Some(LeaseMut::new(Arc::new(lent)))
    }

    /// Whether whoever was lent this place still holds it.
    pub(crate) fn is_held(&self, location: LeaseLocation) -> bool {
        let pieces = self.lock();
        let after = pieces.partition_point(|piece| piece.offset <= location.offset);
        after
            .checked_sub(1)
            .map(|index| &pieces[index])
            .is_some_and(|piece| piece.lent && piece.generation == location.generation)
    }

    /// How many pieces are lent.
    pub(crate) fn lent(&self) -> usize {
        self.lock().iter().filter(|piece| piece.lent).count()
    }

    /// Nothing is lent or taken back any more.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Piece>> {
        // A panicking test may have died while holding it; what is inside is still right.
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Piece {
    fn new(offset: u64, bytes: usize) -> Self {
        Self {
            offset,
            bytes,
            generation: 0,
            lent: false,
            memory: None,
        }
    }

    fn take_memory(&mut self) -> Box<[u8]> {
        self.memory
            .take()
            .unwrap_or_else(|| vec![POISON; self.bytes].into_boxed_slice())
    }
}

/// A lent piece.
struct Lent {
    memory: Box<[u8]>,
    index: usize,
    location: LeaseLocation,
    home: Arc<Arena>,
}

impl LeaseMemory for Lent {
    fn as_slice(&self) -> &[u8] {
        &self.memory
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    fn location(&self) -> LeaseLocation {
        self.location
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.home.is_closed.load(Ordering::SeqCst) {
            return;
        }
        let mut memory = std::mem::take(&mut self.memory);
        memory.fill(POISON);
        let mut pieces = self.home.lock();
        let piece = &mut pieces[self.index];
        piece.lent = false;
        piece.memory = Some(memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_piece_is_poisoned_and_its_generation_is_over() {
        let arena = Arena::new(3, 16 << 20);
        let mut lease = arena.lend(100).expect("free");
        lease[..3].copy_from_slice(b"abc");
        let lease = lease.freeze(3);
        let location = lease.slice(1..3).location();
        assert!(arena.is_held(location));
        drop(lease);
        assert!(!arena.is_held(location));
        let again = arena.lend(100).expect("free");
        assert_eq!(again[0], POISON);
        assert_eq!(again.location().generation, location.generation + 1);
        assert!(!arena.is_held(location));
        assert_eq!(arena.lent(), 1);
    }

    #[test]
    fn an_arena_runs_out_and_refuses_what_is_larger_than_its_pieces() {
        let arena = Arena::new(0, 16 << 20);
        assert!(arena.lend((1 << 20) + 1).is_none());
        let held: Vec<_> = std::iter::from_fn(|| arena.lend(1 << 20)).collect();
        assert_eq!(held.len(), 8);
    }
}
