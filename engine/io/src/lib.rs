//! The seam: what a shard may ask of a kernel, and nothing else.
//!
//! ```text
//!   shard ──submit(Op)──▶  Kernel  ──reap──▶ Completion ──▶ shard
//!     └────immediate calls (clock, splice now, send now, …)────┘
//! ```
//!
//! Everything a shard does to the world is either an [`Op`], submitted and completed later, or an
//! immediate call of [`Kernel`] that answers at once. The real kernel (`ringway-uring`) and the
//! simulated one (`ringway-sim`) both stand behind it, so the shard that is tested is the shard
//! that runs. This crate knows bytes, descriptors and addresses; it knows no frames.
//!
//! Start with [`Kernel`], then [`Op`] and [`Completion`].
#![forbid(unsafe_code)]

mod address;
mod buffer;
mod capability;
mod completion;
mod descriptor;
mod errno;
mod file;
mod kernel;
mod lease;
mod op;
mod pipe;
mod socket;

pub use address::{Address, AddressError};
pub use buffer::{BufferMemory, BufferMut, BufferRef, ProvidedBuffer};
pub use capability::{Capabilities, Capability};
pub use completion::{Completion, OpId, Payload, Token};
pub use descriptor::{CloseSimulated, Descriptor};
pub use errno::Errno;
pub use file::{Directory, DirectoryEntry, FileKind, FileStat, OpenHow};
pub use kernel::{Doorbell, Kernel, Limits, Reduction, Residency, TeardownReport, Wait};
pub use lease::{Lease, LeaseLocation, LeaseMemory, LeaseMut};
pub use op::{BlockingCall, Op};
pub use pipe::Pipe;
pub use socket::{
    ListenOptions, PeerCredentials, Readiness, Route, ShutdownHow, SocketOption, SocketStatistics,
};
