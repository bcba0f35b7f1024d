//! Shared pieces of the measurements: where they ran, the files they move, the processes of a run
//! and what those used, how numbers of many runs become one; and the two sides that are compared
//! most: the engine as an application uses it, and the fewest system calls that do the same.
#![forbid(unsafe_code)]

pub mod comparison;
pub mod cores;
pub mod engine_side;
pub mod environment;
pub mod files;
pub mod job;
pub mod plain_side;
pub mod quartiles;
pub mod run;
pub mod usage;

/// Of a measurement: whatever goes wrong is told and ends it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
