//! Round trips as they come.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ringway_benches::job::Outcome;

/// Bytes of each message.
pub const MESSAGE_BYTES: usize = 64;

/// The longest message that is taken.
pub const MESSAGE_BYTES_MAX: u64 = 64;

/// Until windows are open and the bulk connection is attached, nothing is counted.
const WARM_UP: Duration = Duration::from_millis(200);

/// Up to a minute.
const MOST_NS: u64 = 60_000_000_000;

/// See the module.
pub struct Pings {
    counted_from: Instant,
    histogram: Histogram<u64>,
}

impl Pings {
    pub fn start() -> Self {
        let histogram = Histogram::new_with_bounds(1, MOST_NS, 3);
        Self {
            counted_from: Instant::now() + WARM_UP,
            histogram: histogram.expect("1 is below, and three digits are allowed"),
        }
    }

    /// One that began then has just ended.
    pub fn note(&mut self, begun: Instant) {
        if begun >= self.counted_from {
            let ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.histogram.saturating_record(ns);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a round trip")]
    fn at_us(&self, quantile: f64) -> f64 {
        self.histogram.value_at_quantile(quantile) as f64 / 1e3
    }

    /// Adds them to what else a process did.
    pub fn tell(&self, outcome: Outcome) -> Outcome {
        Outcome {
            messages: self.histogram.len(),
            p50_us: self.at_us(0.5),
            p99_us: self.at_us(0.99),
            ..outcome
        }
    }
}
