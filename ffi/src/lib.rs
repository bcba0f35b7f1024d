//! The C interface of Ringway: what `ringway.h` declares.
//!
//! ```text
//!   C ──▶ abi/*          pointers become references, codes come back; all that is `unsafe`
//!          │
//!          ▼
//!        instance ── table ── slots: listener, session, stream, client, transfer
//!          │                      ▲
//!          ▼                      │ wakes
//!        ready ◀── bells ─────────┘    what has something to tell; polled by `events`
//! ```
//!
//! Nothing is queued for the application but a bell per handle and purpose: `ringway_loop_poll`
//! asks the handles whose bells rang, and writes what they tell into the caller's array. So a
//! program that does not poll costs no memory, and the engine's own bounds are the only ones.
//!
//! Start with `instance` and `events`; docs/C.md explains the interface to its users.
#![deny(unsafe_code)]
// The names of C are the names here: what cbindgen copies into the header is not renamed.
#![allow(non_camel_case_types)]

pub mod abi;

mod buffer;
mod callback;
mod client;
mod code;
mod connect;
mod detail;
mod event;
mod events;
mod failure;
mod faults;
mod foreign_loop;
mod guard;
mod handle;
mod instance;
mod keys;
mod listener;
mod log;
mod metrics;
mod options;
mod probe;
mod ready;
mod receiving;
mod sending;
mod session;
mod settings;
mod slot;
mod stream;
mod table;
mod transfer;

// What only C names: the values of fields and arguments that are plain numbers.
pub use abi::stream::ringway_goal;
pub use code::{ringway_class, ringway_code};
pub use event::ringway_event_kind;
pub use log::ringway_log_level;
pub use options::{
    ringway_checksum, ringway_insecure, ringway_loop_mode, ringway_overwrite, ringway_path,
    ringway_when_full,
};
