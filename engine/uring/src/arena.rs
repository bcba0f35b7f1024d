//! The arena: registered memory that is lent in pieces.
//!
//! A plain memfd, so that the same bytes can leave through `SEND_ZC` from a registered buffer or
//! by splice from the file. Sizes are powers of two from 4 KiB to 1 MiB; where a piece lies is
//! decided by `buddy`, what may not overlap is guarded by `sys::arena`.
//!
//! Only a prefix may be registered, where the locked-memory limit is low: pieces in it use the
//! fixed-buffer forms of ops, the others the plain ones, and the lowest pieces are lent first.

use std::sync::Arc;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::MmapAdvise;
use nix::unistd::ftruncate;
use ringway_io::{Errno, LeaseMut};

use crate::buddy::Buddy;
use crate::sys::arena::{ArenaMemory, Lender, UNIT_BYTES};
use crate::sys::mapping::{HUGE_PAGE_BYTES, Mapping};

/// Largest piece: 1 MiB. Larger ones would put 0.2 ms before every small message.
const ORDER_MAX: u32 = 8;

/// Memory of one shard, lent in pieces.
pub(crate) struct Arena {
    lender: Lender,
    buddy: Buddy,
    generation: u64,
    registered_bytes: usize,
    poison: bool,
}

impl Arena {
    /// Maps `bytes`, rounded up to whole 2 MiB.
    pub(crate) fn new(bytes: u64, poison: bool) -> Result<Self, Errno> {
        let bytes = usize::try_from(bytes).map_err(|_| Errno::ENOMEM)?;
        let bytes = bytes.next_multiple_of(HUGE_PAGE_BYTES);
        let memfd = memfd_create(c"ringway-arena", MFdFlags::MFD_CLOEXEC).map_err(errno)?;
        ftruncate(&memfd, i64::try_from(bytes).map_err(|_| Errno::ENOMEM)?).map_err(errno)?;
        let mapping = Mapping::shared(&memfd, bytes)?;
        // Succeeds without effect where shmem_enabled is `never`: `huge_bytes` tells the truth.
        let _ = mapping.advise(MmapAdvise::MADV_HUGEPAGE);
        Ok(Self {
            lender: Lender::new(ArenaMemory::new(mapping, memfd)),
            buddy: Buddy::new(bytes / UNIT_BYTES, ORDER_MAX),
            generation: 0,
            registered_bytes: 0,
            poison,
        })
    }

    /// The shared memory.
    pub(crate) fn memory(&self) -> &Arc<ArenaMemory> {
        self.lender.memory()
    }

    /// Sizes it lends, ascending.
    pub(crate) fn lease_sizes() -> Vec<u32> {
        let unit = u32::try_from(UNIT_BYTES).unwrap_or(4096);
        (0..=ORDER_MAX).map(|order| unit << order).collect()
    }

    /// Size, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.memory().mapping().len() as u64
    }

    /// How much of it is registered with the ring, from the start.
    pub(crate) fn set_registered(&mut self, bytes: usize) {
        self.registered_bytes = bytes;
    }

    /// Lends the smallest piece that holds `bytes`.
    pub(crate) fn lend(&mut self, bytes: usize) -> Option<LeaseMut> {
        self.take_back();
        let order = order_for(bytes)?;
        let unit = self.buddy.allocate(order)?;
        self.generation += 1;
        let (offset, length) = (unit * UNIT_BYTES, UNIT_BYTES << order);
        let piece = self.lender.lend(offset, length, self.generation);
        Some(LeaseMut::new(piece))
    }

    /// Frees what was dropped since the last time, by whatever thread.
    pub(crate) fn take_back(&mut self) {
        while let Some(returned) = self.lender.take_back(self.poison) {
            let order = (returned.length / UNIT_BYTES).trailing_zeros();
            self.buddy.free(returned.offset / UNIT_BYTES, order);
        }
    }

    /// Whether the fixed-buffer form can be used for these bytes.
    pub(crate) fn is_registered(&self, bytes: &[u8]) -> bool {
        let offset = self.memory().offset_of(bytes);
        offset.is_some_and(|offset| offset + bytes.len() <= self.registered_bytes)
    }
}

/// How many bytes of `memory` are mapped by huge pages now, as the kernel tells (smaps, proc(5)).
pub(crate) fn huge_bytes(memory: &ArenaMemory) -> u64 {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let base = memory.mapping().base().as_ptr() as usize;
    huge_bytes_in(&maps, base, memory.mapping().len())
}

fn huge_bytes_in(smaps: &str, base: usize, length: usize) -> u64 {
    let mut inside = false;
    let mut kilobytes = 0;
    for line in smaps.lines() {
        let first = line.split(' ').next().unwrap_or_default();
        if let Some((from, _)) = first.split_once('-') {
            let from = usize::from_str_radix(from, 16).unwrap_or(0);
            inside = (base..base + length).contains(&from);
        } else if inside && (first == "ShmemPmdMapped:" || first == "FilePmdMapped:") {
            let amount = line.split_whitespace().nth(1);
            kilobytes += amount
                .and_then(|text| text.parse::<u64>().ok())
                .unwrap_or(0);
        }
    }
    kilobytes * 1024
}

fn order_for(bytes: usize) -> Option<u32> {
    let units = bytes
        .max(1)
        .div_ceil(UNIT_BYTES)
        .checked_next_power_of_two()?;
    let order = units.trailing_zeros();
    (order <= ORDER_MAX).then_some(order)
}

fn errno(error: nix::errno::Errno) -> Errno {
    Errno(error as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_between_two_pieces_gets_the_larger_one() {
        assert_eq!(order_for(0), Some(0));
        assert_eq!(order_for(4096), Some(0));
        assert_eq!(order_for(4097), Some(1));
        assert_eq!(order_for(1 << 20), Some(8));
        assert_eq!(order_for((1 << 20) + 1), None);
        assert_eq!(order_for(usize::MAX), None);
    }

    #[test]
    fn a_piece_dropped_on_another_thread_is_lent_again_poisoned() {
        let mut arena = Arena::new(2 << 20, true).expect("memory");
        let mut first = arena.lend(1 << 20).expect("free");
        let second = arena.lend(1 << 20).expect("free");
        assert!(arena.lend(1).is_none());
        first.fill(7);
        let place = first.location();
        let lease = first.freeze(100);
        let view = lease.slice(10..20);
        drop(lease);
        assert!(arena.lend(1).is_none(), "a view still holds the piece");
        std::thread::spawn(move || drop(view))
            .join()
            .expect("joins");
        let again = arena.lend(1 << 20).expect("returned");
        assert_eq!(again.location().offset, place.offset);
        assert!(again.location().generation > place.generation);
        assert!(again.iter().all(|byte| *byte == 0xdb));
        drop(second);
    }

    #[test]
    fn a_piece_outlives_its_arena() {
        let mut arena = Arena::new(2 << 20, true).expect("memory");
        let mut piece = arena.lend(4096).expect("free");
        piece.fill(9);
        drop(arena);
        assert!(piece.iter().all(|byte| *byte == 9));
    }

    #[test]
    fn only_the_registered_prefix_counts_as_registered() {
        let mut arena = Arena::new(2 << 20, false).expect("memory");
        let low = arena.lend(1 << 20).expect("free");
        let high = arena.lend(1 << 20).expect("free");
        arena.set_registered(1 << 20);
        assert!(arena.is_registered(&low) && !arena.is_registered(&high));
        assert!(!arena.is_registered(&[0; 8]));
    }

    #[test]
    fn huge_pages_are_counted_inside_of_the_mapping_only() {
        let smaps = "7f0000000000-7f0000400000 rw-s 0 00:01 5 /memfd:x\nSize: 4096 kB\n\
                     ShmemPmdMapped:     2048 kB\nVmFlags: rd\n\
                     7f0000400000-7f0000800000 rw-s 0 00:01 6 /memfd:y\nShmemPmdMapped: 4096 kB\n";
        assert_eq!(huge_bytes_in(smaps, 0x7f00_0000_0000, 4 << 20), 2 << 20);
    }
}
