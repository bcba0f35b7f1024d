//! Lossy streams, the sender's side: at the retention cap the oldest records make room.
//!
//! Only whole records go, and none that is under way on the present connection: what the peer is
//! receiving it receives to its end. In their place stays a *gap*, an extent without a body. It is
//! sent, acked, and sent again on the next connection like any other; neighbouring gaps merge.
//!
//! ```text
//!   acked        cursor                                    accepted
//!  ───┼─────────────┼───────────────────────────────────────┼──▶
//!     │ under way   │ rest of a record │ dropped first │     │
//!     │ (kept)      │ that has begun   │               │     │
//! ```

use std::collections::VecDeque;

use crate::event::Event;
use crate::frame::Frame;
use crate::id::{BodyId, StreamId};
use crate::limit::GAPS_UNREAD_MAX;
use crate::send_stream::{Extent, SendStream};
use crate::session::Session;

/// What the sender of a lossy stream keeps of its gaps.
#[derive(Debug, Default)]
pub(crate) struct SentGaps {
    /// The peer has shown that it knows the stream to be lossy.
    pub(crate) is_declared: bool,
    /// Given to the present connection and not acked.
    under_way: usize,
    /// Where those end that the peer may hold because its application was not told of them yet:
    /// acked ones, and while its position is not known those that went into a larger gap.
    unread: VecDeque<u64>,
    bytes: u64,
    records: u64,
}

impl SentGaps {
    /// Bytes and records that were dropped.
    pub(crate) fn dropped(&self) -> (u64, u64) {
        (self.bytes, self.records)
    }

    /// The peer bounds how many it keeps for its reader.
    fn has_room(&self) -> bool {
        self.under_way + self.unread.len() < GAPS_UNREAD_MAX
    }
}

/// When records are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// No connection, or the peer has not said yet what it has.
    PositionUnknown,
    /// While the caller is loading what stands at the cursor.
    Offered,
    /// At any other.
    Attached,
}

impl SendStream {
    /// The gap at the cursor, if it may be sent now.
    pub(crate) fn next_gap(&self) -> Option<&Extent> {
        let gaps = self.gaps.as_ref()?;
        self.at_cursor()
            .filter(|extent| extent.is_gap() && gaps.has_room())
    }

    /// The gap at the cursor was sent.
    fn advance_gap(&mut self) {
        if let Some(gap) = self.extents.get(self.cursor) {
            self.sent_max = self.sent_max.max(gap.end());
            self.records_sent_max = self.records_sent_max.max(gap.record + gap.records);
            self.cursor += 1;
            self.cursor_bytes = 0;
            self.is_record_under_way = false;
        }
        if let Some(gaps) = &mut self.gaps {
            gaps.under_way += 1;
        }
    }

    /// The peer has jumped over the gap that ends here.
    pub(crate) fn gap_acked(&mut self, end: u64) {
        if let Some(gaps) = &mut self.gaps {
            gaps.under_way = gaps.under_way.saturating_sub(1);
            gaps.unread.push_back(end);
        }
        self.gaps_consumed();
    }

    /// The peer's application has gone on.
    pub(crate) fn gaps_consumed(&mut self) {
        let consumed = self.consumed;
        if let Some(gaps) = &mut self.gaps {
            while gaps.unread.front().is_some_and(|&end| end <= consumed) {
                gaps.unread.pop_front();
            }
        }
    }

    /// The peer's position is known again: it holds no gap beyond it.
    pub(crate) fn forget_gaps_behind(&mut self, received: u64) {
        if let Some(gaps) = &mut self.gaps {
            gaps.unread.retain(|&end| end <= received);
        }
    }

    /// The connection that carried them is gone.
    pub(crate) fn forget_gaps_under_way(&mut self) {
        if let Some(gaps) = &mut self.gaps {
            gaps.under_way = 0;
        }
    }

    /// Whether the peer may not know yet that the stream is lossy.
    pub(crate) fn is_declaration_due(&self) -> bool {
        self.gaps.as_ref().is_some_and(|gaps| !gaps.is_declared)
    }

    /// Whether the payload is still kept.
    pub(crate) fn retains(&self, body: BodyId) -> bool {
        let is_it = |extent: &Extent| extent.body == Some(body);
        self.extents.iter().any(is_it)
    }

    /// Drops the oldest whole records that free `wanted` in all, or nothing. Gives back the
    /// payloads.
    fn drop_oldest(&mut self, wanted: u64, moment: Moment) -> Vec<Extent> {
        let is_offered = moment == Moment::Offered;
        let range = self
            .first_droppable(is_offered)
            .and_then(|first| Some((first, self.enough_behind(first, wanted)?)));
        let Some((first, behind)) = range else {
            return Vec::new();
        };
        let mut dropped: Vec<Extent> = self.extents.drain(first..behind).collect();
        if moment == Moment::PositionUnknown {
            self.remember_gaps_of(&dropped);
        }
        let mut gap = gap_over(&dropped);
        if self.extents.get(first).is_some_and(Extent::is_gap) {
            gap = self
                .extents
                .remove(first)
                .map_or(gap.clone(), |next| gap.join(&next));
        }
        let before = first.checked_sub(1).filter(|&at| at >= self.cursor);
        match before.and_then(|at| self.extents.get_mut(at)) {
            Some(earlier) if earlier.is_gap() => *earlier = earlier.join(&gap),
            _ => self.extents.insert(first, gap),
        }
        if first == self.cursor {
            self.cursor_bytes = 0;
        }
        dropped.retain(|extent| !extent.is_gap());
        if let Some(gaps) = &mut self.gaps {
            gaps.bytes += dropped.iter().map(|extent| extent.length).sum::<u64>();
            gaps.records += dropped.iter().map(|extent| extent.records).sum::<u64>();
        }
        dropped
    }

    /// Gaps that go into a larger one: the peer may have jumped over them before the link was lost.
    fn remember_gaps_of(&mut self, dropped: &[Extent]) {
        let sent_max = self.sent_max;
        let sent = |extent: &&Extent| extent.is_gap() && extent.end() <= sent_max;
        if let Some(gaps) = &mut self.gaps {
            let ends = dropped.iter().filter(sent).map(Extent::end);
            gaps.unread.extend(ends);
        }
    }

    /// Index of the first extent behind the cursor whose record has not begun on the present
    /// connection.
    fn first_droppable(&self, is_offered: bool) -> Option<usize> {
        if !self.is_record_under_way && !is_offered {
            return Some(self.cursor);
        }
        let mut rest = self.extents.range(self.cursor..);
        let end = rest.position(|extent| extent.records > 0)?;
        Some(self.cursor + end + 1)
    }

    /// Index behind the records from `first` on that free so much; a gap of no bytes would be
    /// none, so empty records go with their neighbours.
    fn enough_behind(&self, first: usize, wanted: u64) -> Option<usize> {
        let (mut freed, mut bytes) = (0, 0);
        for (index, extent) in self.extents.range(first..).enumerate() {
            freed += extent.cost;
            bytes += extent.length;
            if extent.records > 0 && bytes > 0 && freed >= wanted {
                return Some(first + index + 1);
            }
        }
        None
    }
}

impl Extent {
    /// One gap of two that touch.
    fn join(&self, next: &Self) -> Self {
        Self {
            length: next.end() - self.start,
            records: self.records + next.records,
            ..self.clone()
        }
    }
}

/// The gap that takes the place of whole records: from where the first of them begins, also if
/// that part is acked already.
fn gap_over(dropped: &[Extent]) -> Extent {
    let start = dropped.first().map_or(0, |first| first.record_start);
    let end = dropped.last().map_or(0, Extent::end);
    Extent {
        body: None,
        start,
        length: end - start,
        cost: 0,
        records: dropped.iter().map(|extent| extent.records).sum(),
        record: dropped.first().map_or(0, |first| first.record),
        record_start: start,
    }
}

impl Session {
    /// The stream is lossy from now on; as its opener, we say so before anything else of it.
    pub(crate) fn declare_lossy(&mut self, id: StreamId) {
        if let Some(state) = self.streams.get_mut(&id) {
            state.send.gaps = Some(Box::default());
            state.receive.gaps = Some(Box::default());
            state.owes.lossy = id.opener() == self.side;
            if state.owes.lossy {
                self.owing.insert(id);
            }
        }
    }

    /// Whether its sender may drop records.
    #[must_use]
    pub fn is_lossy(&self, stream: StreamId) -> bool {
        let state = self.streams.get(&stream);
        state.is_some_and(|state| state.send.gaps.is_some())
    }

    /// Frees `wanted` of the retention cap by what a lossy stream can spare. False: it cannot.
    pub(crate) fn make_room(&mut self, id: StreamId, wanted: u64) -> bool {
        let mut offers = self.links.iter().filter_map(|link| link.offer);
        let moment = match offers.any(|offer| offer.stream == id) {
            true => Moment::Offered,
            false if self.is_settled(id) => Moment::Attached,
            false => Moment::PositionUnknown,
        };
        let Some(state) = self.streams.get_mut(&id) else {
            return false;
        };
        let send = &mut state.send;
        // What went elsewhere before the stream was declared is waited for.
        if send.gaps.is_none() || state.link.is_bulk() {
            return false;
        }
        if !self.is_attached {
            // Nothing is under way.
            self.statistics.unacked_bytes -= send.in_flight;
            send.rewind();
        }
        let dropped = send.drop_oldest(wanted, moment);
        for extent in &dropped {
            self.statistics.retained_bytes -= extent.cost;
            self.events.extend(extent.body.map(Event::Dropped));
        }
        self.queue(id);
        !dropped.is_empty()
    }

    /// Sends the gap at the stream's cursor, if there is one.
    pub(crate) fn send_gap(&mut self, id: StreamId, out: &mut Vec<u8>) -> bool {
        let Some(state) = self.streams.get_mut(&id) else {
            return false;
        };
        let Some(gap) = state.send.next_gap() else {
            return false;
        };
        let frame = Frame::Gap {
            stream: id,
            offset: gap.start,
            record: gap.record,
            opens: id.opener() == self.side && !state.is_known,
            next_offset: gap.end(),
            next_record: gap.record + gap.records,
        };
        let sent_max = state.send.sent_max;
        state.send.advance_gap();
        // Both ends count what was jumped over like bytes that were taken at once.
        self.credit.send(sent_max, state.send.sent_max);
        self.emit(&frame, out);
        self.owe_finish(id);
        true
    }
}
