//! Two sessions, a pipe each way, simulated time: what the protocol promises, under cuts.
//!
//! The harness (`harness`, `end`) moves real bytes by the descriptors that the sessions give, and
//! checks on the way what must always hold. The other modules are named after what is at risk.

mod bodies;
mod bulk;
mod checksum;
mod closing;
mod credit;
mod end;
mod ends;
mod harness;
mod hostile;
mod liveness;
mod lossy;
mod many;
mod memory;
mod priority;
mod random;
mod replay;
mod resume;
mod waits;
