//! The handshake under attack and under bad weather (docs/WIRE.md part 1).
//!
//! `wire` drives a dialer and an acceptor against each other and lets a test alter any message on
//! its way; `proofs` recomputes the proofs from the document alone.

mod agreement;
mod bad_bytes;
mod impostor;
mod proofs;
mod wire;
