//! What a simulated world must get right, by risk; the listing of this folder is the register.
#![forbid(unsafe_code)]

mod cancel;
mod crash;
mod cut;
mod determinism;
mod disk;
mod leak;
mod multishot;
mod network;
mod reference;
mod scene;
mod short_io;
mod soak;
mod zero_copy;
