//! How long something has waited, in all.

use crate::time::Time;

/// No wait runs. Not an `Option`: each stream has two clocks, and 100,000 of them lie idle.
const IDLE: Time = Time::from_ns(u64::MAX);

/// Adds up the times between [`start`](Self::start) and [`stop`](Self::stop). Each may be called
/// again: only the first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitClock {
    since: Time,
    total_ns: u64,
}

impl Default for WaitClock {
    fn default() -> Self {
        Self {
            since: IDLE,
            total_ns: 0,
        }
    }
}

impl WaitClock {
    /// The wait begins, if it has not already.
    pub fn start(&mut self, now: Time) {
        if !self.is_running() {
            self.since = now;
        }
    }

    /// The wait is over, if there was one.
    pub fn stop(&mut self, now: Time) {
        self.total_ns = self.total_ns(now);
        self.since = IDLE;
    }

    /// Whether it is waiting now.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.since != IDLE
    }

    /// All waits so far, ns, the present one included.
    #[must_use]
    pub fn total_ns(&self, now: Time) -> u64 {
        // Zero while idle: no time is later than that.
        let present_ns = u64::try_from(now.since(self.since).as_nanos()).unwrap_or(u64::MAX);
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
