//! Times by size: one bucket for each doubling.

use std::ops::AddAssign;

/// Upper bound of the first bucket is 2 to this, ns: a microsecond.
const FIRST_EXPONENT: u32 = 10;
/// And of the last one with a bound: 137 s, longer than a session lives without a connection.
const LAST_EXPONENT: u32 = 37;
const BOUNDED: usize = (LAST_EXPONENT - FIRST_EXPONENT + 1) as usize;

/// How many times were how long. Each bucket reaches to twice the one before, from 1.024 µs to
/// 137 s; one more has what is longer. A fixed 29 numbers: it is copied into every snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BOUNDED + 1],
    sum_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BOUNDED + 1],
            sum_ns: 0,
        }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, ns: u64) {
        let doublings = ns
            .saturating_sub(1)
            .checked_ilog2()
            .map_or(0, |log| log + 1);
        let bucket = doublings.saturating_sub(FIRST_EXPONENT) as usize;
        self.counts[bucket.min(BOUNDED)] += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// Times recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together, ns.
    #[must_use]
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// The buckets with a bound: the longest time that falls into each, ns, and how many did. What
    /// is missing to [`count`](Self::count) was longer than the last bound.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let bounds = (FIRST_EXPONENT..=LAST_EXPONENT).map(|exponent| 1 << exponent);
        bounds.zip(self.counts.iter().copied())
    }

    /// The bound of the bucket that holds the time which `share` (0 to 1) of all do not exceed,
    /// ns: exact within a factor of two. `None` when nothing was recorded, or it lies beyond the
    /// last bound.
    #[must_use]
    pub fn quantile_ns(&self, share: f64) -> Option<u64> {
        let rank = (share.clamp(0.0, 1.0) * self.count() as f64)
            .ceil()
            .max(1.0) as u64;
        let mut below = 0;
        self.buckets().find_map(|(bound_ns, count)| {
            below += count;
            (below >= rank).then_some(bound_ns)
        })
    }
}

impl AddAssign for Histogram {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        for (ns, bound_ns) in [
            (0, 1024),
            (1, 1024),
            (1024, 1024),
            (1025, 2048),
            (1 << 20, 1 << 20),
            ((1 << 20) + 1, 1 << 21),
            (1 << 37, 1 << 37),
        ] {
            let mut histogram = Histogram::default();
            histogram.record(ns);
            assert_eq!(histogram.quantile_ns(0.5), Some(bound_ns), "{ns}");
        }
    }

    #[test]
    fn what_is_beyond_the_last_bound_is_counted_all_the_same() {
        let mut histogram = Histogram::default();
        histogram.record(u64::MAX);
        histogram.record((1 << 37) + 1);
        assert_eq!((histogram.count(), histogram.quantile_ns(0.5)), (2, None));
        assert_eq!(histogram.sum_ns(), u64::MAX);
        assert_eq!(histogram.buckets().map(|(_, count)| count).sum::<u64>(), 0);
    }

    #[test]
    fn quantiles_of_a_sum_are_those_of_all() {
        let (mut few, mut many) = (Histogram::default(), Histogram::default());
        few.record(1_000_000);
        (0..99).for_each(|_| many.record(3000));
        many += few;
        assert_eq!(many.quantile_ns(0.5), Some(4096));
        assert_eq!(many.quantile_ns(1.0), Some(1 << 20));
        assert_eq!(Histogram::default().quantile_ns(0.5), None);
    }
}
