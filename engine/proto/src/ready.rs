//! Which streams have something to send, in turn.
//!
//! Two lanes, so that a session without credit is seen at once, not by asking every stream:
//! `free` holds streams whose next piece needs no session credit (sent again, an empty record, or
//! within the first bytes of the stream), `charged` the others. A stream stands in at most one
//! (`Stream::is_queued`); its place may be out of date, who takes it from the front looks again.

use std::collections::VecDeque;

use crate::id::StreamId;

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
    free: VecDeque<(Ticket, StreamId)>,
    charged: VecDeque<(Ticket, StreamId)>,
    next_ticket: u64,
}

/// Says who of the two lanes came first: while there is credit, all take turns as in one.
type Ticket = u64;

impl Ready {
    pub(crate) fn push(&mut self, lane: Lane, stream: StreamId) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.lane(lane).push_back((ticket, stream));
    }

    /// Whose turn it is.
    pub(crate) fn front(&self, has_credit: bool) -> Option<(Lane, StreamId)> {
        let charged = self.charged.front().filter(|_| has_credit);
        match (self.free.front(), charged) {
            (Some(free), Some(charged)) if charged.0 < free.0 => Some((Lane::Charged, charged.1)),
            (Some(free), _) => Some((Lane::Free, free.1)),
            (None, charged) => charged.map(|&(_, stream)| (Lane::Charged, stream)),
        }
    }

    /// Takes the stream out if it stands in front.
    pub(crate) fn pop(&mut self, stream: StreamId) {
        for lane in [Lane::Free, Lane::Charged] {
            if self
                .lane(lane)
                .front()
                .is_some_and(|first| first.1 == stream)
            {
                self.lane(lane).pop_front();
                return;
            }
        }
    }

    fn lane(&mut self, lane: Lane) -> &mut VecDeque<(Ticket, StreamId)> {
        match lane {
            Lane::Free => &mut self.free,
            Lane::Charged => &mut self.charged,
        }
    }
}
