//! The right to touch one piece of an arena.
//!
//! ```text
//!   Kernel::lease ──▶ LeaseMut (one holder, writable)
//!                        │ freeze
//!                        ▼
//!                     Lease ×n (shared, read-only) ── last clone dropped, any thread ──▶ arena
//! ```
//!
//! The whole safety of reuse rests on this count: retention holds a clone until the bytes are
//! acked, an op holds one until its last completion, a pump holds one for as long as a pipe of
//! ours contains a reference to its pages. Only when all have let go does the piece return.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use bytes::Bytes;

/// What a kernel implements for a piece of its arena; dropping it returns the piece.
///
/// `Send + Sync` because leases travel into `Bytes` and to other threads; the drop must therefore
/// work from any thread.
pub trait LeaseMemory: Send + Sync {
    /// The whole piece.
    fn as_slice(&self) -> &[u8];
    /// The whole piece, for its only holder.
    fn as_mut_slice(&mut self) -> &mut [u8];
    /// Where it lies.
    fn location(&self) -> LeaseLocation;
}

/// The place of a piece inside an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseLocation {
    /// Which arena, unique in the process (simulated world).
    pub arena: u64,
    /// First byte, counted from the start of the arena.
    pub offset: u64,
    /// Counts the times this piece was lent; tells a reused piece from the one before.
    pub generation: u64,
}

/// A piece of registered memory with one holder, who may write it.
pub struct LeaseMut {
    memory: Arc<dyn LeaseMemory>,
}

impl LeaseMut {
    /// Wraps what a kernel lends.
    ///
    /// # Panics
    /// If `memory` has another holder.
    #[must_use]
    pub fn new(mut memory: Arc<dyn LeaseMemory>) -> Self {
        assert!(
            Arc::get_mut(&mut memory).is_some(),
            "a writable lease has one holder"
        );
        Self { memory }
    }

    /// Gives up writing; the first `length` bytes become a shared lease.
    ///
    /// # Panics
    /// If `length` exceeds the piece.
    #[must_use]
    pub fn freeze(self, length: usize) -> Lease {
        assert!(length <= self.len(), "freeze({length}) beyond the lease");
        Lease {
            memory: self.memory,
            start: 0,
            length,
        }
    }

    /// Where the piece lies.
    #[must_use]
    pub fn location(&self) -> LeaseLocation {
        self.memory.location()
    }
}

impl Deref for LeaseMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.as_slice()
    }
}

impl DerefMut for LeaseMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        Arc::get_mut(&mut self.memory)
            .expect("a writable lease has one holder: checked by `new`, never cloned")
            .as_mut_slice()
    }
}

impl fmt::Debug for LeaseMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseMut({:?}, {} B)", self.location(), self.len())
    }
}

/// A shared, read-only part of a piece of registered memory.
#[derive(Clone)]
pub struct Lease {
    memory: Arc<dyn LeaseMemory>,
    start: usize,
    length: usize,
}

impl Lease {
    /// A narrower view of the same piece.
    ///
    /// # Panics
    /// If `range` is not inside this view.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.length,
            "slice {range:?} outside of a lease of {} bytes",
            self.length
        );
        Self {
            memory: Arc::clone(&self.memory),
            start: self.start + range.start,
            length: range.end - range.start,
        }
    }

    /// Where the first byte of this view lies.
    #[must_use]
    pub fn location(&self) -> LeaseLocation {
        let piece = self.memory.location();
        LeaseLocation {
            offset: piece.offset + self.start as u64,
            ..piece
        }
    }

    /// How many hold this piece, in whatever view.
    #[must_use]
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.memory)
    }

    /// The same bytes as [`Bytes`], without a copy; the piece returns when the last part is gone.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Lease {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory.as_slice()[self.start..self.start + self.length]
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({:?}, {} B)", self.location(), self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Counted(Vec<u8>, Arc<AtomicUsize>);

    impl LeaseMemory for Counted {
        fn as_slice(&self) -> &[u8] {
            &self.0
        }
        fn as_mut_slice(&mut self) -> &mut [u8] {
            &mut self.0
        }
        fn location(&self) -> LeaseLocation {
            LeaseLocation {
                arena: 1,
                offset: 4096,
                generation: 0,
            }
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_piece_returns_only_when_the_last_view_of_it_is_gone() {
        let returned = Arc::new(AtomicUsize::new(0));
        let mut writable = LeaseMut::new(Arc::new(Counted(vec![0; 64], Arc::clone(&returned))));
        writable[..4].copy_from_slice(b"abcd");
        let lease = writable.freeze(4);
        let tail = lease.slice(2..4);
        let bytes = lease.clone().into_bytes().slice(1..3);
        drop(lease);
        assert_eq!((&tail[..], &bytes[..]), (&b"cd"[..], &b"bc"[..]));
        assert_eq!(tail.location().offset, 4098);
        drop(tail);
        assert_eq!(returned.load(Ordering::SeqCst), 0);
        drop(bytes);
        assert_eq!(returned.load(Ordering::SeqCst), 1);
    }

    #[test]
    #[should_panic(expected = "outside of a lease")]
    fn a_view_never_reaches_beyond_its_parent() {
        let returned = Arc::new(AtomicUsize::new(0));
        let lease = LeaseMut::new(Arc::new(Counted(vec![0; 64], returned))).freeze(4);
        let _ = lease.slice(0..5);
    }
}
