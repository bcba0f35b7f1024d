//! What is compared, and what is to be reached.

use clap::ValueEnum;
use serde::Serialize;

/// A line of the table: one kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    /// Hot file, received into memory and dropped
    Discard,
    /// Hot file, received into an existing file
    File,
}

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// The engine
    Ours,
    /// The plain pair
    Theirs,
}

/// Ours by theirs, at least.
pub const THROUGHPUT_RATIO_MIN: f64 = 0.85;

/// Ours by theirs, at most: both processes, per byte.
pub const CPU_RATIO_MAX: f64 = 1.3;

/// Either process of ours, arena included, whatever is unacked.
pub const PEAK_RSS_BYTES_MAX: u64 = 64 << 20;

impl Row {
    /// In the order they are measured.
    pub const ALL: [Self; 2] = [Self::Discard, Self::File];

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Discard => "hot file -> discard, against sendfile -> recv into one hot buffer",
            Self::File => "hot file -> existing file, against sendfile -> recv + pwrite",
        }
    }
}

impl Side {
    /// In the order of a pair.
    pub const ALL: [Self; 2] = [Self::Ours, Self::Theirs];
}
