//! A simulated world behind the seam: time, network, disk, faults and crashes, from one seed.
//!
//! ```text
//!   World ── host ── SimKernel (one per shard) ◀── the same shard code as on the real kernel
//!     │        └──── disk, names, ports
//!     ├── network: connections, links, cuts
//!     └── events, ordered by virtual time; advance() goes to the next
//! ```
//!
//! No threads, no operating system, no clock: a test steps its shards and, when none has work
//! ([`World::has_work`]), lets time pass ([`World::advance`]). One seed, one trace, byte for byte
//! ([`World::trace_hash`]).
//!
//! What it is for: bytes that are spliced travel **by reference**, as they do over loopback and
//! Unix sockets. Memory that is reused too early is delivered as [`POISON`] and recorded
//! ([`World::violations`]); so are other broken contracts. What is never given back shows in
//! [`World::outstanding`].
//!
//! Start with [`World`], then `state` (what the world consists of) and `op` (how an op lives).
#![forbid(unsafe_code)]

mod arena;
mod attempt;
mod config;
mod connection;
mod content;
mod cut;
mod dial;
mod disk;
mod disk_handle;
mod events;
mod fault;
mod file;
mod host;
mod kernel;
mod network;
mod node;
mod object;
mod op;
mod outstanding;
mod path;
mod pipe;
mod queue;
mod random;
mod ring;
mod socket;
mod splice;
mod state;
mod trace;
mod violation;
mod worker;
mod world;

pub use config::{
    CapabilityChoice, DiskConfig, FaultConfig, KernelConfig, LinkConfig, ShortIo, SocketConfig,
    WorldConfig,
};
pub use content::pattern_bytes;
pub use cut::{ConnectionId, ConnectionView, CutKind, CutTarget, Side};
pub use disk::DiskCall;
pub use disk_handle::DiskHandle;
pub use fault::FaultKind;
pub use host::HostId;
pub use kernel::SimKernel;
pub use outstanding::{KernelOutstanding, Outstanding};
pub use ring::KernelId;
pub use violation::Violation;
pub use world::{Advance, World};

/// What is delivered in place of bytes whose memory was given back too early.
pub const POISON: u8 = 0xDB;
