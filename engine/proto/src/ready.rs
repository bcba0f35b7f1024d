//! Which streams have something to send, in turn.
//!
//! Streams of a higher priority come first, but not for ever: a level that was passed over
//! [`PASSED_MAX`] times has the next turn, so that no stream starves.
//!
//! Two lanes in each level, so that a session without credit is seen at once, not by asking every
//! stream: `free` holds streams whose next piece needs no session credit (sent again, an empty
//! record, or within the first bytes of the stream), `charged` the others. A stream stands in at
//! most one lane (`Stream::is_queued`); its place may be out of date, who takes it from the front
//! looks again.

use std::collections::VecDeque;

use crate::id::StreamId;
use crate::priority::{LEVELS, Priority};

/// Bodies of higher levels that go before one of a lower level that is ready: a level gets at
/// least a seventeenth of the turns, or what the levels that starve with it leave of that.
const PASSED_MAX: u8 = 16;

/// What the next piece of a stream needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// No session credit.
    Free,
    /// Session credit.
    Charged,
}

/// Streams with something to send.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// By priority, the lowest first.
    levels: [Level; LEVELS],
    next_ticket: u64,
}

/// Streams of one priority.
#[derive(Debug, Default)]
struct Level {
    free: VecDeque<(Ticket, StreamId)>,
    charged: VecDeque<(Ticket, StreamId)>,
    /// Turns that higher levels had while one of this level was ready.
    passed: u8,
}

/// Says who of the two lanes came first: while there is credit, all take turns as in one.
type Ticket = u64;

impl Ready {
    pub(crate) fn push(&mut self, priority: Priority, lane: Lane, stream: StreamId) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let level = &mut self.levels[priority.index()];
        level.lane(lane).push_back((ticket, stream));
    }

    /// Whose turn it is.
    pub(crate) fn front(&self, has_credit: bool) -> Option<(Lane, StreamId)> {
        let is_due = |level: &&Level| level.passed >= PASSED_MAX;
        let starved = self.levels.iter().rev().filter(is_due);
        let all = starved.chain(self.levels.iter().rev());
        let mut fronts = all.filter_map(|level| level.front(has_credit));
        fronts.next()
    }

    /// Takes the stream out if it stands in front, after its turn.
    pub(crate) fn pop(&mut self, stream: StreamId) {
        let popped = self.levels.iter_mut().rposition(|level| level.pop(stream));
        let Some(index) = popped else {
            return;
        };
        self.levels[index].passed = 0;
        for lower in &mut self.levels[..index] {
            let is_ready = !lower.free.is_empty() || !lower.charged.is_empty();
            lower.passed = match is_ready {
                true => lower.passed.saturating_add(1),
                false => 0,
            };
        }
    }
}

impl Level {
    fn front(&self, has_credit: bool) -> Option<(Lane, StreamId)> {
        let charged = self.charged.front().filter(|_| has_credit);
        match (self.free.front(), charged) {
            (Some(free), Some(charged)) if charged.0 < free.0 => Some((Lane::Charged, charged.1)),
            (Some(free), _) => Some((Lane::Free, free.1)),
            (None, charged) => charged.map(|&(_, stream)| (Lane::Charged, stream)),
        }
    }

    fn pop(&mut self, stream: StreamId) -> bool {
        for lane in [Lane::Free, Lane::Charged] {
            let lane = self.lane(lane);
            if lane.front().is_some_and(|first| first.1 == stream) {
                lane.pop_front();
                return true;
            }
        }
        false
    }

    fn lane(&mut self, lane: Lane) -> &mut VecDeque<(Ticket, StreamId)> {
        match lane {
            Lane::Free => &mut self.free,
            Lane::Charged => &mut self.charged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(ready: &mut Ready, count: usize, has_credit: bool) -> Vec<u64> {
        let turn = |_| {
            let (lane, stream) = ready.front(has_credit)?;
            ready.pop(stream);
            // It has more to send.
            let level = Priority::new(stream.0 as u8 % 8);
            ready.push(level.expect("a level"), lane, stream);
            Some(stream.0)
        };
        (0..count).map_while(turn).collect()
    }

    #[test]
    fn a_higher_level_goes_first_and_a_lower_one_does_not_starve() {
        let mut ready = Ready::default();
        for stream in [1, 5, 13, 6] {
            let level = Priority::new(stream as u8 % 8).expect("a level");
            ready.push(level, Lane::Charged, StreamId(stream));
        }
        let order = turns(&mut ready, 340, true);
        let share = |stream| order.iter().filter(|&&other| other == stream).count();
        assert_eq!(order[..16], [6; 16]);
        assert!(share(1) >= 340 / 18, "{} turns", share(1));
        assert!((share(5) + share(13)).abs_diff(share(1)) <= 2);
        assert!(share(5).abs_diff(share(13)) <= 1, "in turn in one level");
        assert!(share(6) > 290);
    }

    #[test]
    fn without_credit_a_lower_level_that_needs_none_goes_on() {
        let mut ready = Ready::default();
        ready.push(Priority::HIGHEST, Lane::Charged, StreamId(7));
        ready.push(Priority::LOWEST, Lane::Free, StreamId(0));
        assert_eq!(turns(&mut ready, 3, false), [0, 0, 0]);
        assert_eq!(turns(&mut ready, 3, true), [7, 7, 7]);
    }
}
