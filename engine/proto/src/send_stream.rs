//! The sending direction of a stream: what is accepted, sent, acked; what to send again.
//!
//! ```text
//!        acked            cursor          sent_max        accepted
//!  ────────┼────────────────┼────────────────┼───────────────┼──▶ offset
//!   gone   │ retained, sent │ retained, to be│ retained, new │
//!          │                │ sent again     │               │
//! ```
//!
//! Extents are trimmed by acks only. A position is (offset, records), because an empty record
//! takes no bytes.

use std::collections::VecDeque;

use crate::dropping::SentGaps;
use crate::frame::Frame;
use crate::id::{BodyId, StreamId};
use crate::limit::{RETAINED_COST_MIN, STREAM_FREE_BYTES};
use crate::ready::Lane;
use crate::session::BodyKind;
use crate::status::Status;
use crate::stream::Owed;
use crate::wait_clock::WaitClock;

/// A payload that is not wholly acked, or a gap where some were dropped (`dropping`).
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    /// `None`: a gap.
    pub(crate) body: Option<BodyId>,
    /// Stream offset of its first byte.
    pub(crate) start: u64,
    pub(crate) length: u64,
    /// Counted against the retention cap.
    pub(crate) cost: u64,
    /// Records that end in it: at most one, but for a gap.
    pub(crate) records: u64,
    /// Complete records before it.
    pub(crate) record: u64,
    /// Where the record it belongs to begins.
    pub(crate) record_start: u64,
}

impl Extent {
    pub(crate) fn end(&self) -> u64 {
        self.start + self.length
    }

    fn records_behind(&self) -> u64 {
        self.record + self.records
    }

    pub(crate) fn is_gap(&self) -> bool {
        self.body.is_none()
    }
}

/// How the direction ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SendEnd {
    /// Not yet.
    Open,
    /// After the last accepted byte.
    Finish(Status),
    /// At once; what was sent at most.
    Reset(Status, u64),
}

/// The next thing to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) body: BodyId,
    pub(crate) offset: u64,
    pub(crate) record: u64,
    /// Within the payload.
    pub(crate) body_offset: u64,
    pub(crate) length: u64,
    /// If all of `length` is sent, it ends a record.
    pub(crate) end_of_record: bool,
}

/// The sending direction of a stream.
#[derive(Debug)]
pub(crate) struct SendStream {
    pub(crate) accepted: u64,
    pub(crate) records: u64,
    pub(crate) acked: u64,
    acked_records: u64,
    pub(crate) consumed: u64,
    pub(crate) credit: u64,
    pub(crate) sent_max: u64,
    pub(crate) records_sent_max: u64,
    /// Sent on the present connection and not acked, bytes.
    pub(crate) in_flight: u64,
    pub(crate) end: SendEnd,
    /// Why the peer does not want more.
    pub(crate) stopped: Option<Box<Status>>,
    /// A payload that cannot be read, while the peer's position is not known.
    pub(crate) failed: Option<Box<(BodyId, Status)>>,
    /// On the present connection.
    pub(crate) is_finish_sent: bool,
    /// A finish or a reset was given to any connection.
    pub(crate) is_end_sent: bool,
    pub(crate) is_end_acked: bool,
    pub(crate) extents: VecDeque<Extent>,
    /// Bytes given to a connection again.
    pub(crate) replayed: u64,
    /// Waits for the stream's own credit.
    pub(crate) credit_wait: WaitClock,
    /// Index of the extent to be sent next, and how much of it was.
    pub(crate) cursor: usize,
    pub(crate) cursor_bytes: u64,
    /// Where the record that is being accepted begins.
    record_start: u64,
    /// Some of the record at the cursor was given to the present connection.
    pub(crate) is_record_under_way: bool,
    /// Of a lossy stream.
    pub(crate) gaps: Option<Box<SentGaps>>,
}

impl SendStream {
    pub(crate) fn new(credit: u64) -> Self {
        Self {
            accepted: 0,
            records: 0,
            acked: 0,
            acked_records: 0,
            consumed: 0,
            credit,
            sent_max: 0,
            records_sent_max: 0,
            in_flight: 0,
            end: SendEnd::Open,
            stopped: None,
            failed: None,
            is_finish_sent: false,
            is_end_sent: false,
            is_end_acked: false,
            extents: VecDeque::new(),
            replayed: 0,
            credit_wait: WaitClock::default(),
            cursor: 0,
            cursor_bytes: 0,
            record_start: 0,
            is_record_under_way: false,
            gaps: None,
        }
    }

    /// Accepts a payload; returns the offset behind it.
    pub(crate) fn push(
        &mut self,
        body: BodyId,
        length: u64,
        kind: BodyKind,
        end_of_record: bool,
    ) -> u64 {
        self.extents.push_back(Extent {
            body: Some(body),
            start: self.accepted,
            length,
            cost: cost_of(kind, length),
            records: end_of_record.into(),
            record: self.records,
            record_start: self.record_start,
        });
        self.accepted += length;
        if end_of_record {
            self.records += 1;
            self.record_start = self.accepted;
        }
        self.accepted
    }

    /// What stands at the cursor, unless the direction is being aborted.
    pub(crate) fn at_cursor(&self) -> Option<&Extent> {
        if matches!(self.end, SendEnd::Reset(..)) || self.failed.is_some() {
            return None;
        }
        self.extents.get(self.cursor)
    }

    /// The body that comes next, within the stream's credit; `None` when none may be sent.
    pub(crate) fn next(&self) -> Option<Cut> {
        let extent = self.at_cursor()?;
        let offset = extent.start + self.cursor_bytes;
        let rest = extent.length - self.cursor_bytes;
        let length = rest.min(self.credit.saturating_sub(offset));
        if length == 0 && rest > 0 {
            return None;
        }
        Some(Cut {
            body: extent.body?,
            offset,
            record: extent.record,
            body_offset: self.cursor_bytes,
            length,
            end_of_record: extent.records > 0 && length == rest,
        })
    }

    /// Whether the payload that comes next has so many bytes.
    pub(crate) fn is_next_large(&self, bytes_min: u64) -> bool {
        let next = self.extents.get(self.cursor);
        next.is_some_and(|extent| extent.length >= bytes_min)
    }

    /// Nothing that the present connection was given is unacked, an empty record neither.
    pub(crate) fn is_all_acked(&self) -> bool {
        self.cursor == 0 && self.in_flight == 0
    }

    /// There is something to send that the stream's credit does not allow.
    pub(crate) fn is_out_of_credit(&self) -> bool {
        let is_sending = !matches!(self.end, SendEnd::Reset(..)) && self.failed.is_none();
        let extent = self.extents.get(self.cursor).filter(|_| is_sending);
        extent.is_some_and(|extent| {
            extent.length > self.cursor_bytes && extent.start + self.cursor_bytes >= self.credit
        })
    }

    /// Whether its clock says something else.
    pub(crate) fn is_wait_news(&self) -> bool {
        self.is_out_of_credit() != self.credit_wait.is_running()
    }

    /// What it keeps counts so much against the retention cap.
    pub(crate) fn retained_bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.cost).sum()
    }

    /// How many bytes from `offset` on need no session credit.
    pub(crate) fn free_bytes(&self, offset: u64) -> u64 {
        self.sent_max.max(STREAM_FREE_BYTES).saturating_sub(offset)
    }

    /// What the next piece needs; `None` when there is none.
    pub(crate) fn lane(&self) -> Option<Lane> {
        if self.next_gap().is_some() {
            return Some(Lane::Free);
        }
        let cut = self.next()?;
        let is_free = cut.length == 0 || self.free_bytes(cut.offset) > 0;
        Some(if is_free { Lane::Free } else { Lane::Charged })
    }

    /// `length` bytes at the cursor were sent. Returns how many of them are new, and how many are
    /// sent again.
    pub(crate) fn advance(&mut self, length: u64) -> (u64, u64) {
        let Some(extent) = self.extents.get(self.cursor) else {
            return (0, 0);
        };
        let end = extent.start + self.cursor_bytes + length;
        self.cursor_bytes += length;
        self.is_record_under_way = true;
        if self.cursor_bytes >= extent.length {
            self.is_record_under_way = extent.records == 0;
            self.records_sent_max = self.records_sent_max.max(extent.records_behind());
            self.cursor += 1;
            self.cursor_bytes = 0;
        }
        let new = end.saturating_sub(self.sent_max).min(length);
        self.sent_max = self.sent_max.max(end);
        self.in_flight += length;
        self.replayed += length - new;
        (new, length - new)
    }

    /// Everything accepted was given to the present connection.
    pub(crate) fn is_all_sent(&self) -> bool {
        self.cursor >= self.extents.len()
    }

    /// The finish may be sent, alone or with the last body.
    pub(crate) fn is_finish_due(&self) -> bool {
        matches!(self.end, SendEnd::Finish(_))
            && !self.is_finish_sent
            && !self.is_end_acked
            && self.failed.is_none()
            && self.is_all_sent()
    }

    pub(crate) fn position(&self) -> (u64, u64) {
        (self.acked, self.acked_records)
    }

    /// The peer has everything before (offset, records). What is not needed any more goes to
    /// `released`; returns how many bytes are not in flight any more.
    pub(crate) fn ack(&mut self, offset: u64, records: u64, released: &mut Vec<Extent>) -> u64 {
        let was_acked = self.acked;
        let mut arrived = offset.saturating_sub(was_acked);
        self.acked = self.acked.max(offset);
        self.acked_records = self.acked_records.max(records);
        while let Some(first) = self.extents.front() {
            let is_acked = first.end() <= self.acked
                && (first.records == 0 || first.records_behind() <= self.acked_records);
            if !is_acked {
                break;
            }
            if first.is_gap() {
                let (start, end) = (first.start.max(was_acked), first.end());
                arrived -= end.saturating_sub(start);
                self.gap_acked(end);
                self.extents.pop_front();
            } else {
                released.extend(self.extents.pop_front());
            }
            if self.cursor > 0 {
                self.cursor -= 1;
            } else {
                self.cursor_bytes = 0;
            }
        }
        let landed = arrived.min(self.in_flight);
        self.in_flight -= landed;
        if self.extents.is_empty() {
            // Most streams are idle most of the time: theirs need no room.
            self.extents = VecDeque::new();
        }
        self.skip_acked();
        landed
    }

    /// After an ack that reaches beyond the cursor (the peer's position on a resume): go on
    /// behind it.
    fn skip_acked(&mut self) {
        if self.cursor == 0
            && let Some(first) = self.extents.front()
            && !first.is_gap()
            && first.start + self.cursor_bytes < self.acked
        {
            self.cursor_bytes = (self.acked - first.start).min(first.length);
        }
    }

    /// A new connection: everything unacked is sent again, from the peer's position.
    pub(crate) fn rewind(&mut self) {
        self.cursor = 0;
        self.cursor_bytes = 0;
        self.in_flight = 0;
        self.is_finish_sent &= cfg!(ringway_mutant = "lost_finish_not_restated");
        self.is_record_under_way = false;
        self.forget_gaps_under_way();
        self.skip_acked();
    }

    /// Aborts; gives back everything retained, and how many bytes were in flight.
    pub(crate) fn reset(&mut self, status: Status) -> (VecDeque<Extent>, u64) {
        self.end = SendEnd::Reset(status, self.sent_max);
        self.failed = None;
        let in_flight = std::mem::take(&mut self.in_flight);
        (self.take_all(), in_flight)
    }

    /// The payload `body` can deliver no more: the direction finishes in front of it, or where
    /// the present connection has carried the stream to, whichever is further. To be called only
    /// while the cursor is not behind the peer's position. Gives back what is dropped.
    pub(crate) fn truncate(&mut self, body: BodyId, status: Status) -> VecDeque<Extent> {
        let is_it = |extent: &Extent| extent.body == Some(body);
        let of_body = self.extents.iter().position(is_it);
        let index = of_body.unwrap_or(0).max(self.cursor);
        let sent = match index == self.cursor {
            true => self.cursor_bytes,
            false => 0,
        };
        let mut keep = index;
        if let Some(extent) = self.extents.get_mut(index) {
            (self.accepted, self.records) = (extent.start + sent, extent.record);
            if sent > 0 {
                extent.length = sent;
                extent.records = 0;
                keep += 1;
            }
        }
        let dropped = self.extents.split_off(keep.min(self.extents.len()));
        if index == self.cursor {
            self.cursor = self.extents.len();
            self.cursor_bytes = 0;
        }
        self.sent_max = self.sent_max.min(self.accepted);
        self.records_sent_max = self.records_sent_max.min(self.records);
        self.end = SendEnd::Finish(status);
        self.failed = None;
        dropped
    }

    /// The frame that says how the direction ends, if it is owed.
    pub(crate) fn emit_end(&mut self, stream: StreamId, opens: bool, owes: Owed) -> Option<Frame> {
        let frame = match &self.end {
            SendEnd::Finish(status) if owes.finish && self.is_finish_due() => Frame::Finish {
                stream,
                offset: self.accepted,
                record: self.records,
                opens,
                status: status.clone(),
            },
            SendEnd::Reset(status, offset) if owes.reset => Frame::Reset {
                stream,
                offset: *offset,
                opens,
                status: status.clone(),
            },
            _ => return None,
        };
        self.is_finish_sent = matches!(frame, Frame::Finish { .. });
        self.is_end_sent = true;
        Some(frame)
    }

    /// The end is known to the peer, and with it everything before.
    pub(crate) fn is_over(&self) -> bool {
        self.is_end_acked && self.extents.is_empty()
    }

    pub(crate) fn take_all(&mut self) -> VecDeque<Extent> {
        self.cursor = 0;
        self.cursor_bytes = 0;
        std::mem::take(&mut self.extents)
    }
}

/// What keeping a payload costs.
pub(crate) fn cost_of(kind: BodyKind, length: u64) -> u64 {
    match kind {
        BodyKind::Memory => length.max(RETAINED_COST_MIN),
        BodyKind::Range => RETAINED_COST_MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> SendStream {
        let mut stream = SendStream::new(1000);
        stream.push(BodyId(1), 100, BodyKind::Memory, false);
        stream.push(BodyId(2), 0, BodyKind::Memory, true);
        stream.push(BodyId(3), 0, BodyKind::Memory, true);
        stream.push(BodyId(4), 50, BodyKind::Range, true);
        stream
    }

    fn send_all(stream: &mut SendStream) -> Vec<(u64, u64, u64)> {
        let mut sent = Vec::new();
        while let Some(cut) = stream.next() {
            stream.advance(cut.length);
            sent.push((cut.offset, cut.record, cut.length));
        }
        sent
    }

    fn ack(stream: &mut SendStream, offset: u64, records: u64) -> usize {
        let mut released = Vec::new();
        stream.ack(offset, records, &mut released);
        released.len()
    }

    // S2, S26
    #[test]
    fn a_replay_begins_exactly_at_the_acked_offset_and_record() {
        let mut stream = stream();
        let all = vec![(0, 0, 100), (100, 0, 0), (100, 1, 0), (100, 2, 50)];
        assert_eq!(send_all(&mut stream), all);
        // One of the two empty records has arrived.
        assert_eq!(ack(&mut stream, 100, 1), 2);
        stream.rewind();
        assert_eq!(send_all(&mut stream), all[2..]);
        assert_eq!(ack(&mut stream, 130, 2), 1);
        stream.rewind();
        assert_eq!(send_all(&mut stream), vec![(130, 2, 20)]);
        assert_eq!(stream.advance(0), (0, 0));
        assert_eq!(ack(&mut stream, 150, 3), 1);
    }

    #[test]
    fn credit_bounds_what_is_sent_and_replayed_bytes_are_not_new() {
        let mut stream = stream();
        stream.credit = 40;
        assert_eq!(stream.next().expect("some").length, 40);
        assert_eq!(stream.advance(40), (40, 0));
        assert!(stream.next().is_none() && !stream.is_all_sent());
        stream.rewind();
        stream.credit = 60;
        assert_eq!(stream.advance(60), (20, 40));
    }

    // B1, S21
    #[test]
    fn a_source_that_ends_early_finishes_the_stream_where_it_was_sent_to() {
        let mut stream = stream();
        stream.advance(30);
        let status = Status::new(4, "gone");
        let dropped = stream.truncate(BodyId(1), status);
        assert_eq!((dropped.len(), stream.sent_max), (3, 30));
        assert_eq!((stream.accepted, stream.records), (30, 0));
        assert!(stream.is_finish_due());
        assert_eq!(ack(&mut stream, 30, 0), 1);
    }

    #[test]
    fn truncating_during_a_replay_forgets_what_an_older_connection_carried() {
        let mut stream = stream();
        stream.advance(90);
        ack(&mut stream, 20, 0);
        stream.rewind();
        stream.advance(10);
        stream.truncate(BodyId(1), Status::new(5, "changed"));
        assert_eq!((stream.accepted, stream.sent_max), (30, 30));
    }

    /// A whole payload on its way cannot be taken back, nor what follows it on its way.
    #[test]
    fn a_source_that_fails_after_it_was_sent_ends_the_stream_at_the_cursor() {
        let mut stream = stream();
        stream.advance(100);
        stream.advance(0);
        let dropped = stream.truncate(BodyId(1), Status::new(4, "late"));
        assert_eq!(dropped.len(), 2);
        assert_eq!((stream.accepted, stream.records), (100, 1));
        assert!(stream.is_finish_due());
        assert_eq!(ack(&mut stream, 100, 1), 2);
    }

    /// Its record was never sent, so it must not be counted in the finish.
    #[test]
    fn a_source_that_fails_before_its_turn_takes_its_record_with_it() {
        let mut stream = stream();
        let dropped = stream.truncate(BodyId(2), Status::new(4, "early"));
        assert_eq!(dropped.len(), 3);
        assert_eq!((stream.accepted, stream.records), (100, 0));
        assert!(!stream.is_finish_due(), "100 bytes come first");
    }
}
