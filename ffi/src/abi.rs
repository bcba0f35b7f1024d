//! The exported functions, one file per noun. `pointer` states what is relied on.

mod about;
mod buffer;
mod engine;
mod event_loop;
mod faults;
mod keys;
mod listener;
mod log;
mod pointer;
mod remains;
mod session;
pub(crate) mod stream;
mod transfer;

pub use engine::ringway_engine;
pub use keys::ringway_keys;

#[cfg(test)]
pub(crate) use pointer::default_options;
