//! Whole shards on the simulated kernel: what must hold whatever the network, the disk, the
//! kernel and the application do, over many seeds.
//!
//! `scene` steps the shards and the world; `load` makes random work and checks what arrives.
//! The other files are named after their risk. `RINGWAY_SEED=7` runs one seed alone, with its
//! trace printed on failure; `RINGWAY_SEEDS=5000` runs more of them.

mod admission;
mod content;
mod cuts;
mod load;
mod lossy;
mod mix;
mod scene;
mod script;
mod seeds;
