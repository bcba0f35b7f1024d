//! The ring of provided buffers: a table that we fill and the kernel empties, and the buffers.
//!
//! Lengths, counts and tickets are kept by `provided` next door; this file writes the table, reads
//! the buffers, and knows whose each buffer is, so that no caller can have one that the kernel has.
//!
//! Invariants:
//! 1. `table` holds `entries` records of 16 bytes (`struct io_uring_buf`), page-aligned as the
//!    kernel demands; `buffers` holds `entries` buffers of `buffer_bytes` each.
//! 2. The `resv` field of record 0 is the tail (io_uring_register_buf_ring(3)): no record is
//!    written as a whole. Only the tail is shared; the kernel reads a record once the tail says so.
//! 3. `ours[index]` is set from the completion that brought the buffer (by `ring`) until `place`.
//!    The kernel writes a buffer only while it is clear; `slice` reads one only while it is set,
//!    and its borrow excludes `place`.
//! 4. Only a buffer of ours is placed, so at most `entries` records are with the kernel and the
//!    record at the tail is not among them.
#![allow(unsafe_code)]

use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use ringway_io::Errno;

use super::mapping::Mapping;

/// `struct io_uring_buf`, last field left out on purpose (2).
#[repr(C)]
struct Record {
    address: u64,
    length: u32,
    index: u16,
    tail_of_record_0: AtomicU16,
}

/// Table and buffers; shared with the ring, which keeps them as long as the kernel may use them.
pub(crate) struct ProvidedMemory {
    table: Mapping,
    buffers: Mapping,
    entries: u16,
    buffer_bytes: u32,
    ours: Vec<AtomicBool>,
}

/// The owner's side, which alone may read and place buffers.
pub(crate) struct ProvidedOwner {
    memory: Arc<ProvidedMemory>,
    tail: u16,
    published: u16,
}

impl ProvidedMemory {
    /// Address of the table, for registering.
    pub(crate) fn ring_address(&self) -> u64 {
        self.table.base().as_ptr() as u64
    }

    /// Records of the table, a power of two.
    pub(crate) fn entries(&self) -> u16 {
        self.entries
    }

    /// A completion brought this buffer: the kernel is done with it (3).
    pub(super) fn mark_filled(&self, index: u16) {
        if let Some(ours) = self.ours.get(usize::from(index)) {
            ours.store(true, Ordering::Relaxed);
        }
    }

    fn record(&self, position: u16) -> *mut Record {
        let position = usize::from(position & (self.entries - 1));
        let table: *mut Record = self.table.base().as_ptr().cast();
        table.wrapping_add(position)
    }

    fn buffer(&self, index: u16) -> *mut u8 {
        let offset = usize::from(index) * self.buffer_bytes as usize;
        self.buffers.base().as_ptr().wrapping_add(offset)
    }
}

impl ProvidedOwner {
    /// Maps table and buffers, and places all. `entries` must be a power of two up to 32768.
    pub(crate) fn new(entries: u16, buffer_bytes: u32) -> Result<Self, Errno> {
        if !entries.is_power_of_two() || buffer_bytes == 0 {
            return Err(Errno::EINVAL);
        }
        let table = usize::from(entries) * size_of::<Record>();
        let buffers = usize::from(entries) * buffer_bytes as usize;
        let memory = ProvidedMemory {
            table: Mapping::anonymous(table)?,
            buffers: Mapping::anonymous(buffers)?,
            entries,
            buffer_bytes,
            ours: (0..entries).map(|_| AtomicBool::new(true)).collect(),
        };
        let mut owner = Self {
            memory: Arc::new(memory),
            tail: 0,
            published: 0,
        };
        for index in 0..entries {
            owner.place(index);
        }
        Ok(owner)
    }

    /// The memory, for registering.
    pub(crate) fn memory(&self) -> &Arc<ProvidedMemory> {
        &self.memory
    }

    /// Gives a buffer back; not seen by the kernel until `publish`.
    ///
    /// # Panics
    /// If it is not ours.
    pub(crate) fn place(&mut self, index: u16) {
        let was_ours = self.memory.ours[usize::from(index)].swap(false, Ordering::Relaxed);
        assert!(was_ours, "provided buffer {index} is with the kernel");
        let position = self.tail;
        self.tail = self.tail.wrapping_add(1);
        let record = self.memory.record(position).cast::<u8>();
        let address = self.memory.buffer(index) as u64;
        let field = record.wrapping_add(offset_of!(Record, address)).cast();
        // SAFETY: inside the table (1), not announced to the kernel (2, 4).
        unsafe { std::ptr::write::<u64>(field, address) };
        let field = record.wrapping_add(offset_of!(Record, length)).cast();
        // SAFETY: as above.
        unsafe { std::ptr::write::<u32>(field, self.memory.buffer_bytes) };
        let field = record.wrapping_add(offset_of!(Record, index)).cast();
        // SAFETY: as above.
        unsafe { std::ptr::write::<u16>(field, index) };
    }

    /// Whether the kernel knows about every buffer given back.
    fn is_published(&self) -> bool {
        self.published == self.tail
    }

    /// Announces every buffer given back since the last time.
    pub(crate) fn publish(&mut self) {
        if self.is_published() {
            return;
        }
        let record = self.memory.record(0);
        // SAFETY: record 0 is inside the table (1); an atomic may be shared with the kernel (2).
        let shared = unsafe { &(*record).tail_of_record_0 };
        shared.store(self.tail, Ordering::Release);
        self.published = self.tail;
    }

    /// The first `length` bytes of a buffer that the kernel has filled and given back (3).
    ///
    /// # Panics
    /// If it is not ours or shorter.
    pub(crate) fn slice(&self, index: u16, length: u32) -> &[u8] {
        let is_ours = self.memory.ours[usize::from(index)].load(Ordering::Relaxed);
        assert!(is_ours && length <= self.memory.buffer_bytes);
        let first = self.memory.buffer(index);
        // SAFETY: inside the buffers (1), initialised (fresh anonymous memory is zero), and not
        // with the kernel (3).
        unsafe { std::slice::from_raw_parts(first, length as usize) }
    }
}
