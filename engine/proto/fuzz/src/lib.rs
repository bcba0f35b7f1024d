//! What fuzzing does with its bytes: one module per target, each with `run`.
//!
//! A module asserts what must hold whatever the bytes are, and panics otherwise. They use nothing
//! of libFuzzer, so that `tests/corpus` can run them over the committed corpus.
#![forbid(unsafe_code)]

pub mod frames;
pub mod handshake;
pub mod session;
