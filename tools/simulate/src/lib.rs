//! Whole engines on the simulated kernel, and what must hold whatever happens to them.
//!
//! ```text
//!   seed ─▶ run_seed ─▶ circumstances (a drawn world and configurations)
//!                │      streams | lossy | files (drawn work, through the public API)
//!                │      trouble (cuts, partitions, kills, crashes, disks that fail)
//!                ▼
//!             Scene: steps shards, tasks and time; after every step: inspect
//!                ▼
//!             Outcome: trace hash, faults by kind, bytes moved, a violation if there was one
//! ```
//!
//! Everything of one seed happens on one thread, in virtual time. The oracles are naive: what
//! arrives is compared with what a formula says should be there (`content`), how things end with
//! what was drawn (`script`).
//!
//! The same generator serves the tests of this crate and campaigns (`cargo xtask simulate`).
//! Start with [`run_seed`], then `scene`.
#![forbid(unsafe_code)]

pub mod campaign;
mod circumstances;
mod content;
mod draw;
mod files;
mod inspect;
mod load;
mod lossy;
mod outcome;
mod party;
mod reader;
mod run;
mod scene;
mod script;
mod sender;
mod streams;
mod tree;
mod trouble;
mod witness;

pub use outcome::Outcome;
pub use run::{RunOptions, Workload, run_seed};
