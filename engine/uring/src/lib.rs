//! The real kernel behind Ringway's seam: io_uring on Linux 6.1 and newer.
//!
//! ```text
//!   start ── ladder, trial ──▶ Uring ── kernel (the face) ── lower ──▶ sys::ring
//!                               │                                         │
//!              slots, naming, arena, provided, pipes, helpers     io_uring_enter(2)
//! ```
//!
//! It reports and never decides policy: which path a body takes, when a receive is armed again,
//! what is done about starvation, is the shard's. All `unsafe` stands in `sys`, whose safety rests on
//! nothing outside of it; the files beside it decide, and are tested without a kernel where that is
//! possible.
//!
//! Start reading at [`Uring`], then `uring`, `turn` and `sys::ring`.
#![deny(unsafe_code)]

mod address;
mod arena;
mod blocking;
mod buddy;
mod config;
mod cores;
mod doorbell;
mod enter;
mod foreign_loop;
mod helpers;
mod kernel;
mod ladder;
mod listen;
mod locked_memory;
mod lower;
mod naming;
mod pipes;
mod probe;
mod provided;
mod request;
mod residency;
mod route;
mod slots;
mod socket;
mod splice;
mod start;
mod stat;
mod surroundings;
mod sys;
mod teardown;
mod trial;
mod turn;
mod unavailable;
mod uring;

pub use config::UringConfig;
pub use cores::{Core, allowed_cores, cores_of_single_threads, keep_thread_on};
pub use locked_memory::{remedy as locked_memory_remedy, rings_affordable};
pub use probe::{Finding, ProbeReport, RingReport, probe};
pub use socket::statistics as socket_statistics;
pub use unavailable::{KERNEL_NEEDED, UnavailableReason, UringUnavailable};
pub use uring::Uring;
