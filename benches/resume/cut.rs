//! What one cut led to.

use std::time::{Duration, Instant};

/// One cut.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// From the reset to the first byte that is new to the receiving application.
    pub gap: Duration,
    /// Bytes that came over the old connections and that the receiving application took only after
    /// the cut: part of the gap is the time for that.
    pub untaken_bytes: u64,
    /// Bytes sent and not acked when the loss was seen; `None` where the session was back before
    /// it could be asked.
    pub unacked_bytes: Option<u64>,
    /// Bytes that were sent again.
    pub resent_bytes: u64,
}

/// When the receiving application had how much: the latest of it.
#[derive(Debug, Default)]
pub struct Arrivals(Vec<(Instant, u64)>);

/// More than arrives in any gap.
const ARRIVALS_MAX: usize = 1 << 16;

impl Arrivals {
    /// The application has everything before `offset`.
    pub fn note(&mut self, offset: u64) {
        if self.0.len() == ARRIVALS_MAX {
            self.0.drain(..ARRIVALS_MAX / 2);
        }
        self.0.push((Instant::now(), offset));
    }

    /// How much there is.
    pub fn offset(&self) -> u64 {
        self.0.last().map_or(0, |(_, offset)| *offset)
    }

    /// When the application first had more than `offset`.
    pub fn first_beyond(&self, offset: u64) -> Option<Instant> {
        let index = self.0.partition_point(|(_, had)| *had <= offset);
        self.0.get(index).map(|(when, _)| *when)
    }
}
