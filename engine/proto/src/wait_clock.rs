//! How long something has waited, in all.

use crate::time::Time;

/// Adds up the times between [`start`](Self::start) and [`stop`](Self::stop). Each may be called
/// again: only the first counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitClock {
    since: Option<Time>,
    total_ns: u64,
}

impl WaitClock {
    /// The wait begins, if it has not already.
    pub fn start(&mut self, now: Time) {
        self.since.get_or_insert(now);
    }

    /// The wait is over, if there was one.
    pub fn stop(&mut self, now: Time) {
        self.total_ns = self.total_ns(now);
        self.since = None;
    }

    /// Whether it is waiting now.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.since.is_some()
    }

    /// All waits so far, ns, the present one included.
    #[must_use]
    pub fn total_ns(&self, now: Time) -> u64 {
        let present = self.since.map_or(0, |since| now.since(since).as_nanos());
        let present_ns = u64::try_from(present).unwrap_or(u64::MAX);
        self.total_ns.saturating_add(present_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_add_up_and_a_second_start_or_stop_counts_nothing() {
        let at = Time::from_ns;
        let mut clock = WaitClock::default();
        clock.stop(at(5));
        clock.start(at(10));
        clock.start(at(15));
        assert_eq!((clock.total_ns(at(20)), clock.is_running()), (10, true));
        clock.stop(at(30));
        clock.stop(at(40));
        clock.start(at(100));
        assert_eq!(clock.total_ns(at(107)), 27);
    }
}
