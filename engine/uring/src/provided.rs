//! The account of the provided buffers: which are with the kernel, which with the shard.
//!
//! A buffer goes: table → kernel fills it → completion → shard reads it → back into the table.
//! Records are written at once when a buffer comes back; the kernel is told by one store per
//! enter.

use std::sync::Arc;

use ringway_io::{Errno, ProvidedBuffer};

use crate::sys::provided::{ProvidedMemory, ProvidedOwner};

/// The only group of provided buffers.
pub(crate) const GROUP: u16 = 0;

/// Most records a ring may have (io_uring_register_buf_ring(3)).
pub(crate) const ENTRIES_MAX: u32 = 32768;

/// A ring of provided buffers.
pub(crate) struct Provided {
    owner: ProvidedOwner,
    /// Length of what the shard holds, by buffer; `None` while the kernel has it.
    lent: Vec<Option<u32>>,
    lent_count: u32,
    buffer_bytes: u32,
}

impl Provided {
    /// Maps the memory and puts every buffer into the table.
    pub(crate) fn new(count: u32, buffer_bytes: u32) -> Result<Self, Errno> {
        let count = count.clamp(1, ENTRIES_MAX).next_power_of_two();
        let entries = u16::try_from(count).map_err(|_| Errno::EINVAL)?;
        Ok(Self {
            owner: ProvidedOwner::new(entries, buffer_bytes)?,
            lent: vec![None; usize::from(entries)],
            lent_count: 0,
            buffer_bytes,
        })
    }

    /// The memory, for registering.
    pub(crate) fn memory(&self) -> &Arc<ProvidedMemory> {
        self.owner.memory()
    }

    /// Buffers in all.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.lent.len()).unwrap_or(u32::MAX)
    }

    /// Buffers that the shard does not hold.
    pub(crate) fn available(&self) -> u32 {
        self.count() - self.lent_count
    }

    /// The kernel filled a buffer: the shard's now.
    ///
    /// # Panics
    /// If the shard has it already: the kernel and we disagree about who may write it.
    pub(crate) fn claim(&mut self, index: u16, length: u32) -> ProvidedBuffer {
        assert!(length <= self.buffer_bytes);
        let slot = &mut self.lent[usize::from(index)];
        assert!(slot.is_none(), "provided buffer {index} came twice");
        *slot = Some(length);
        self.lent_count += 1;
        ProvidedBuffer {
            group: GROUP,
            index,
            length,
        }
    }

    /// The filled part.
    ///
    /// # Panics
    /// If the ticket is none of ours, or was given back.
    pub(crate) fn bytes(&self, buffer: &ProvidedBuffer) -> &[u8] {
        let length = self.held_length(buffer);
        self.owner.slice(buffer.index, length)
    }

    /// Takes a buffer back.
    ///
    /// # Panics
    /// If the ticket is none of ours, or was given back.
    pub(crate) fn recycle(&mut self, buffer: &ProvidedBuffer) {
        self.held_length(buffer);
        self.lent[usize::from(buffer.index)] = None;
        self.lent_count -= 1;
        self.owner.place(buffer.index);
    }

    fn held_length(&self, buffer: &ProvidedBuffer) -> u32 {
        let held = self.lent.get(usize::from(buffer.index)).copied().flatten();
        let length = held.filter(|length| buffer.group == GROUP && *length == buffer.length);
        length.expect("a provided buffer that the shard holds")
    }

    /// Tells the kernel about every buffer that came back since the last time.
    pub(crate) fn publish(&mut self) {
        self.owner.publish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "came twice")]
    fn a_buffer_that_the_shard_holds_cannot_come_again() {
        let mut provided = Provided::new(4, 4096).expect("memory");
        let _first = provided.claim(1, 1);
        let _second = provided.claim(1, 1);
    }

    #[test]
    #[should_panic(expected = "that the shard holds")]
    fn a_forged_ticket_is_refused() {
        let provided = Provided::new(4, 4096).expect("memory");
        let forged = ProvidedBuffer {
            group: GROUP,
            index: 2,
            length: 8,
        };
        let _ = provided.bytes(&forged);
    }

    // Even where the account here is wrong, nobody reads or gives back what the kernel has.
    #[test]
    #[should_panic(expected = "is with the kernel")]
    fn a_buffer_that_no_completion_brought_cannot_be_given_back() {
        let mut provided = Provided::new(4, 4096).expect("memory");
        let claimed = provided.claim(2, 8);
        provided.recycle(&claimed);
    }
}
