//! Shared pieces of the measurements: where they ran, what a process used, how numbers of many
//! runs become one.
#![forbid(unsafe_code)]

pub mod cores;
pub mod environment;
pub mod quartiles;
pub mod usage;
