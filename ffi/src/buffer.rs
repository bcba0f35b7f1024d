//! Memory that is sent without a copy: a piece of the arena, or the application's own.

use std::sync::Mutex;

use bytes::Bytes;
use ringway::{Lease, LeaseMut, Payload};

use crate::failure::{Failure, Result};
use crate::slot::lock;

enum Memory {
    /// Of the arena, written by the application.
    Writable(LeaseMut),
    /// Of the arena, sent at least once.
    Lease(Lease),
    /// The application's own, or what was received.
    Bytes(Bytes),
    /// Between two of these.
    Nothing,
}

/// Reference-counted memory. See `ringway_buffer_allocate` and `ringway_buffer_wrap`.
pub struct ringway_buffer {
    memory: Mutex<Memory>,
    length: usize,
}

impl ringway_buffer {
    pub(crate) fn of_lease(lease: LeaseMut) -> Self {
        let length = lease.len();
        let memory = Mutex::new(Memory::Writable(lease));
        Self { memory, length }
    }

    /// One that was sent before.
    pub(crate) fn of_sent_lease(lease: Lease) -> Self {
        let length = lease.len();
        let memory = Mutex::new(Memory::Lease(lease));
        Self { memory, length }
    }

    pub(crate) fn of_bytes(bytes: Bytes) -> Self {
        let length = bytes.len();
        let memory = Mutex::new(Memory::Bytes(bytes));
        Self { memory, length }
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Where it lies; writable until it is sent for the first time.
    pub(crate) fn data(&self) -> *mut u8 {
        match &mut *lock(&self.memory) {
            Memory::Writable(lease) => lease.as_mut_ptr(),
            Memory::Lease(lease) => lease.as_ptr().cast_mut(),
            Memory::Bytes(bytes) => bytes.as_ptr().cast_mut(),
            Memory::Nothing => std::ptr::null_mut(),
        }
    }

    /// A part of it to be sent; from now on it must not be written.
    ///
    /// # Errors
    /// `RINGWAY_E_ARGUMENT` outside of it.
    pub(crate) fn part(&self, offset: usize, length: usize) -> Result<Payload> {
        let end = offset.checked_add(length).filter(|&end| end <= self.length);
        let Some(end) = end else {
            let text = format!("{length} bytes at {offset} of a buffer of {}", self.length);
            return Err(Failure::argument(text));
        };
        let mut memory = lock(&self.memory);
        if let Memory::Writable(_) = &*memory
            && let Memory::Writable(lease) = std::mem::replace(&mut *memory, Memory::Nothing)
        {
            let length = lease.len();
            *memory = Memory::Lease(lease.freeze(length));
        }
        match &*memory {
            Memory::Lease(lease) => Ok(lease.slice(offset..end).into()),
            Memory::Bytes(bytes) => Ok(bytes.slice(offset..end).into()),
            Memory::Writable(_) | Memory::Nothing => Ok(Bytes::new().into()),
        }
    }
}
