//! What is compared with what, and how the runs of many rounds become rows of a table: the part of
//! `compare` that starts no process.

pub mod report;
pub mod sample;
pub mod table;
