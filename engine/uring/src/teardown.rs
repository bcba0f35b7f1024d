//! The end: cancel everything, take everything out, leak what the kernel will not give back.
//!
//! Closing a ring is asynchronous in the kernel and proves nothing, so memory goes back to its
//! allocator only after the completion that names it. What has none at the deadline stays mapped
//! for the rest of the process: slots, buffers, arena and provided buffers (`sys::ring`).

use std::time::{Duration, Instant};

use ringway_io::{Errno, TeardownReport, Wait};

use crate::uring::{Phase, Uring};

/// Between two rounds of cancelling: an op that moved from one state to the next may have been
/// missed.
const ROUND_NS: u64 = 10_000_000;

/// Bound of a teardown that nobody asked for.
const DROP_NS: u64 = 100_000_000;

impl Uring {
    pub(crate) fn tear_down(&mut self, deadline_ns: u64) -> TeardownReport {
        if self.phase == Phase::Ended {
            return TeardownReport::default();
        }
        let before = self.in_flight_count();
        self.abandon_all();
        while self.phase != Phase::Ended && self.ring.held_count() > 0 {
            if self.cancel_round(deadline_ns).is_err() || Self::clock_ns() >= deadline_ns {
                break;
            }
        }
        self.wait_for_helpers(deadline_ns);
        self.drop_results();
        self.phase = Phase::Ended;
        self.bell.silence();
        let leaked = self.in_flight_count();
        if leaked > 0 {
            tracing::warn!(leaked, "ops did not end in time; their memory is leaked");
        }
        TeardownReport {
            reaped: before.saturating_sub(leaked),
            leaked,
        }
    }

    fn abandon_all(&mut self) {
        self.helpers.stop();
        let ids: Vec<_> = self.slots.ids().collect();
        for id in ids {
            if let Some(flight) = self.slots.get_mut(id) {
                flight.is_orphan = true;
                // No cancelling one by one, neither now nor later: everything is cancelled at once.
                flight.cancels = u8::MAX;
            }
        }
        self.is_ending = true;
    }

    fn cancel_round(&mut self, deadline_ns: u64) -> Result<(), Errno> {
        self.run()?;
        self.make_queue_room()?;
        self.ring.cancel_everything();
        let round_ns = Self::clock_ns().saturating_add(ROUND_NS).min(deadline_ns);
        self.enter_kernel(Wait::Until(round_ns))?;
        self.drop_results();
        Ok(())
    }

    fn drop_results(&mut self) {
        while let Some(completion) = self.next_completion() {
            // Every op is an orphan, so nothing comes; if something did, it would be released.
            drop(completion);
        }
    }

    fn wait_for_helpers(&mut self, deadline_ns: u64) {
        let left = deadline_ns.saturating_sub(Self::clock_ns());
        self.helpers
            .wait(Instant::now() + Duration::from_nanos(left));
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        let deadline_ns = Self::clock_ns().saturating_add(DROP_NS);
        self.tear_down(deadline_ns);
    }
}
