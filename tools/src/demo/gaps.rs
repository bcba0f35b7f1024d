//! How long the transfer stood still at each cut.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest gap that is told apart, µs: ten minutes, beyond any resume window of a demonstration.
const GAP_US_MAX: u64 = 600_000_000;

/// Gaps in the order of the cuts, and their distribution.
#[derive(Debug)]
pub(super) struct Gaps {
    all: Vec<Duration>,
    histogram: Histogram<u64>,
}

impl Default for Gaps {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, GAP_US_MAX, 3);
        Self {
            all: Vec::new(),
            histogram: histogram.expect("1 is below the bound and 3 digits are allowed"),
        }
    }
}

impl Gaps {
    /// Takes note of one.
    pub(super) fn add(&mut self, gap: Duration) {
        let us = u64::try_from(gap.as_micros()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(us);
        self.all.push(gap);
    }

    /// Each, in the order of the cuts, to the µs.
    pub(super) fn milliseconds(&self) -> Vec<f64> {
        let to_ms = |gap: &Duration| gap.as_micros() as f64 / 1e3;
        self.all.iter().map(to_ms).collect()
    }

    /// Median and longest, ms; `None` without any.
    pub(super) fn summary(&self) -> Option<(f64, f64)> {
        if self.all.is_empty() {
            return None;
        }
        let median = self.histogram.value_at_quantile(0.5) as f64 / 1e3;
        Some((median, self.histogram.max() as f64 / 1e3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_kept_in_order_and_summed_up() {
        let mut gaps = Gaps::default();
        assert_eq!(gaps.summary(), None);
        for ms in [4, 2, 3] {
            gaps.add(Duration::from_millis(ms));
        }
        assert_eq!(gaps.milliseconds(), [4.0, 2.0, 3.0]);
        let (median, longest) = gaps.summary().expect("some");
        assert!((2.9..3.1).contains(&median) && (3.9..4.1).contains(&longest));
    }
}
