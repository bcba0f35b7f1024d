//! Whole engines on the simulated kernel.
//!
//! `scene` steps the shards and the world; `found` has what campaigns brought to light, each as a
//! story of its own. The campaigns, with drawn work and faults, are in `tools/simulate`.

mod admission;
mod closing;
mod found;
mod gap;
mod lanes;
mod rotation;
#[allow(dead_code, reason = "the suite for both kernels uses the rest")]
mod scene;
#[allow(dead_code, reason = "the suite for both kernels uses the rest")]
mod seeds;
mod waiting;
