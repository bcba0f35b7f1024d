//! What the code under test did against a contract, seen by the world.

use ringway_io::LeaseLocation;

use crate::KernelId;

/// A broken contract. A test ends with none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Bytes of a lease were delivered after its last holder had let go: in the real world they
    /// would be somebody else's bytes. [`crate::POISON`] was delivered instead.
    Poisoned {
        /// When.
        at_ns: u64,
        /// Which bytes, as the lease's location was when they were sent.
        location: LeaseLocation,
        /// How many.
        bytes: usize,
    },
    /// A pipe was given back as empty and was not.
    PipeNotEmpty {
        /// By whom.
        kernel: KernelId,
        /// What it held.
        bytes: usize,
    },
    /// A pipe was given back while an op still named it.
    PipeInUse {
        /// By whom.
        kernel: KernelId,
    },
    /// Two receives, or two sends, were in flight on one socket: their order is undefined.
    Overlap {
        /// Whose second op.
        kernel: KernelId,
        /// On which descriptor.
        descriptor: u64,
        /// Whether they send.
        sends: bool,
    },
    /// Two writes of one place in a file were under way: which bytes it has in the end is chance.
    TwoWriters {
        /// Whose second op.
        kernel: KernelId,
        /// Where both write, in the file.
        from: u64,
        /// Behind it.
        to: u64,
    },
    /// A file was spliced at once though it had to come from the disk: the loop blocked.
    BlockingSplice {
        /// By whom.
        kernel: KernelId,
        /// From which descriptor.
        descriptor: u64,
        /// From which offset.
        offset: u64,
    },
    /// A provided buffer was given back twice or was never lent.
    StrayProvided {
        /// By whom.
        kernel: KernelId,
        /// Which.
        index: u16,
    },
}
