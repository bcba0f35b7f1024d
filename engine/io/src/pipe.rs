//! A pipe of the bounded pool, through which spliced bytes pass.

use crate::Descriptor;

/// Both ends of a pipe, non-blocking.
///
/// Lent by [`crate::Kernel::acquire_pipe`] and given back by [`crate::Kernel::release_pipe`].
/// A pipe that may still hold bytes is closed, never pooled: what sits in it refers to pages of a
/// file or lease, and would leave in front of the next transfer's bytes.
#[derive(Debug)]
pub struct Pipe {
    /// The end bytes are taken from.
    pub read: Descriptor,
    /// The end bytes are put into.
    pub write: Descriptor,
    /// What it can hold, in bytes; a power of two between 4 KiB and 1 MiB.
    pub capacity: u32,
}
