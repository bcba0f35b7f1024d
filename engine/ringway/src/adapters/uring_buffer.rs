//! A piece of the engine's memory as a buffer of tokio-uring.
#![allow(unsafe_code)]

use tokio_uring::buf::{IoBuf, IoBufMut};

use crate::{Lease, LeaseMut};

/// A piece of a shard's registered memory that a tokio-uring program may read into: the file, or
/// the socket, fills it, and the engine sends it on without a copy.
///
/// The program's ring fills the piece from its start; [`freeze`](Self::freeze) makes what was
/// filled a [`Lease`], which is a payload. The piece returns to its shard when the last holder is
/// gone: as long as a read is under way, tokio-uring is one.
///
/// ```no_run
/// # async fn example(engine: ringway::Engine, stream: ringway::Stream)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use ringway::UringBuffer;
///
/// let file = tokio_uring::fs::File::open("body").await?;
/// let lease = engine.lease(1 << 20).await?.ok_or("no memory is free")?;
/// let (read, buffer) = file.read_at(UringBuffer::new(lease), 0).await;
/// read?;
/// stream.send(buffer.freeze()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UringBuffer {
    lease: LeaseMut,
    /// Filled from the start, bytes.
    filled: usize,
}

impl UringBuffer {
    /// Nothing of it is filled.
    #[must_use]
    pub fn new(lease: LeaseMut) -> Self {
        Self { lease, filled: 0 }
    }

    /// Filled from its start, bytes.
    #[must_use]
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// What was filled.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.lease[..self.filled]
    }

    /// What was filled, to be sent; nobody writes it any more.
    #[must_use]
    pub fn freeze(self) -> Lease {
        self.lease.freeze(self.filled)
    }

    /// The whole piece, to be written by hand.
    #[must_use]
    pub fn into_lease(self) -> LeaseMut {
        self.lease
    }
}

// SAFETY: the memory behind a lease is a piece of a shard's arena, mapped until its last holder is
// gone. It does not move with the handle, so the pointer is stable while `self` is kept.
unsafe impl IoBuf for UringBuffer {
    fn stable_ptr(&self) -> *const u8 {
        self.lease.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.filled
    }

    fn bytes_total(&self) -> usize {
        self.lease.len()
    }
}

// SAFETY: as above; a `LeaseMut` has one holder, so that nobody reads or writes what the kernel
// fills, and all of the arena is initialised memory, whatever part of it the kernel has filled.
unsafe impl IoBufMut for UringBuffer {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.lease.as_mut_ptr()
    }

    unsafe fn set_init(&mut self, end: usize) {
        self.filled = self.filled.max(end).min(self.lease.len());
    }
}
