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

use crate::id::BodyId;
use crate::session::BodyKind;
use crate::status::Status;

/// A payload that is not wholly acked.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    pub(crate) body: BodyId,
    /// Stream offset of its first byte.
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) kind: BodyKind,
    pub(crate) end_of_record: bool,
    /// Complete records before it.
    pub(crate) record: u64,
}

impl Extent {
    fn end(&self) -> u64 {
        self.start + self.length
    }

    fn records_behind(&self) -> u64 {
        self.record + u64::from(self.end_of_record)
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
    pub(crate) end: SendEnd,
    pub(crate) is_finish_sent: bool,
    pub(crate) is_end_acked: bool,
    extents: VecDeque<Extent>,
    /// Index of the extent to be sent next, and how much of it was.
    cursor: usize,
    cursor_bytes: u64,
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
            end: SendEnd::Open,
            is_finish_sent: false,
            is_end_acked: false,
            extents: VecDeque::new(),
            cursor: 0,
            cursor_bytes: 0,
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
            body,
            start: self.accepted,
            length,
            kind,
            end_of_record,
            record: self.records,
        });
        self.accepted += length;
        self.records += u64::from(end_of_record);
        self.accepted
    }

    /// What comes next, within the stream's credit; `None` when nothing may be sent.
    pub(crate) fn next(&self) -> Option<Cut> {
        if matches!(self.end, SendEnd::Reset(..)) {
            return None;
        }
        let extent = self.extents.get(self.cursor)?;
        let offset = extent.start + self.cursor_bytes;
        let rest = extent.length - self.cursor_bytes;
        let length = rest.min(self.credit.saturating_sub(offset));
        if length == 0 && rest > 0 {
            return None;
        }
        Some(Cut {
            body: extent.body,
            offset,
            record: extent.record,
            body_offset: self.cursor_bytes,
            length,
            end_of_record: extent.end_of_record && length == rest,
        })
    }

    /// `length` bytes at the cursor were sent. Returns how many of them are new, and how many are
    /// sent again.
    pub(crate) fn advance(&mut self, length: u64) -> (u64, u64) {
        let Some(extent) = self.extents.get(self.cursor) else {
            return (0, 0);
        };
        let end = extent.start + self.cursor_bytes + length;
        self.cursor_bytes += length;
        if self.cursor_bytes >= extent.length {
            self.cursor += 1;
            self.cursor_bytes = 0;
        }
        let new = end.saturating_sub(self.sent_max).min(length);
        self.sent_max = self.sent_max.max(end);
        (new, length - new)
    }

    /// Everything accepted was given to the present connection.
    pub(crate) fn is_all_sent(&self) -> bool {
        self.cursor >= self.extents.len()
    }

    /// The finish may be sent, alone or with the last body.
    pub(crate) fn is_finish_due(&self) -> bool {
        matches!(self.end, SendEnd::Finish(_)) && !self.is_finish_sent && self.is_all_sent()
    }

    pub(crate) fn position(&self) -> (u64, u64) {
        (self.acked, self.acked_records)
    }

    /// The peer has everything before (offset, records). Gives back what is released.
    pub(crate) fn ack(&mut self, offset: u64, records: u64) -> Vec<Extent> {
        self.acked = self.acked.max(offset);
        self.acked_records = self.acked_records.max(records);
        let mut released = Vec::new();
        while let Some(first) = self.extents.front() {
            let is_acked = first.end() <= self.acked
                && (!first.end_of_record || first.records_behind() <= self.acked_records);
            if !is_acked {
                break;
            }
            released.extend(self.extents.pop_front());
            if self.cursor > 0 {
                self.cursor -= 1;
            } else {
                self.cursor_bytes = 0;
            }
        }
        self.skip_acked();
        released
    }

    /// After an ack that reaches beyond the cursor (a replay that overlaps): go on behind it.
    fn skip_acked(&mut self) {
        if self.cursor == 0
            && let Some(first) = self.extents.front()
            && first.start + self.cursor_bytes < self.acked
        {
            self.cursor_bytes = (self.acked - first.start).min(first.length);
        }
    }

    /// A new connection: everything unacked is sent again, from the peer's position.
    pub(crate) fn rewind(&mut self) {
        self.cursor = 0;
        self.cursor_bytes = 0;
        self.is_finish_sent = false;
        self.skip_acked();
    }

    /// Aborts; gives back everything retained.
    pub(crate) fn reset(&mut self, status: Status) -> VecDeque<Extent> {
        self.end = SendEnd::Reset(status, self.sent_max);
        self.cursor = 0;
        self.cursor_bytes = 0;
        std::mem::take(&mut self.extents)
    }

    /// The payload `body` can deliver no more: the direction finishes where it was sent to.
    /// Gives back what is dropped, and by how much `sent_max` shrank.
    pub(crate) fn truncate(&mut self, body: BodyId, status: Status) -> (Vec<Extent>, u64) {
        let Some(index) = self.extents.iter().position(|extent| extent.body == body) else {
            return (Vec::new(), 0);
        };
        let extent = &mut self.extents[index];
        // What the peer may have of it: what this connection carried, and what it had acked.
        let sent = match index.cmp(&self.cursor) {
            std::cmp::Ordering::Less => extent.length,
            std::cmp::Ordering::Equal => self.cursor_bytes,
            std::cmp::Ordering::Greater => 0,
        };
        if sent < extent.length {
            extent.length = sent;
            extent.end_of_record = false;
        }
        let (end, records) = (extent.end(), extent.records_behind());
        let is_whole_gone = extent.length == 0;
        let keep = index + usize::from(!is_whole_gone);
        let dropped: Vec<Extent> = self.extents.drain(keep..).collect();
        self.accepted = end;
        self.records = records;
        if self.cursor >= index {
            self.cursor = self.extents.len();
            self.cursor_bytes = 0;
        }
        let shrunk = self.sent_max.saturating_sub(end);
        self.sent_max = self.sent_max.min(end);
        self.end = SendEnd::Finish(status);
        self.is_finish_sent = false;
        (dropped, shrunk)
    }

    /// An end was decided.
    pub(crate) fn has_end(&self) -> bool {
        !matches!(self.end, SendEnd::Open)
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

    // S2, S26
    #[test]
    fn a_replay_begins_exactly_at_the_acked_offset_and_record() {
        let mut stream = stream();
        let all = vec![(0, 0, 100), (100, 0, 0), (100, 1, 0), (100, 2, 50)];
        assert_eq!(send_all(&mut stream), all);
        // One of the two empty records has arrived.
        assert_eq!(stream.ack(100, 1).len(), 2);
        stream.rewind();
        assert_eq!(send_all(&mut stream), all[2..]);
        assert_eq!(stream.ack(130, 2).len(), 1);
        stream.rewind();
        assert_eq!(send_all(&mut stream), vec![(130, 2, 20)]);
        assert_eq!(stream.advance(0), (0, 0));
        assert_eq!(stream.ack(150, 3).len(), 1);
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
        let (dropped, shrunk) = stream.truncate(BodyId(1), status);
        assert_eq!((dropped.len(), shrunk), (3, 0));
        assert_eq!((stream.accepted, stream.records), (30, 0));
        assert!(stream.is_finish_due());
        assert_eq!(stream.ack(30, 0).len(), 1);
    }

    #[test]
    fn truncating_during_a_replay_forgets_what_an_older_connection_carried() {
        let mut stream = stream();
        stream.advance(90);
        stream.ack(20, 0);
        stream.rewind();
        stream.advance(10);
        let (_, shrunk) = stream.truncate(BodyId(1), Status::new(5, "changed"));
        assert_eq!((stream.accepted, stream.sent_max, shrunk), (30, 30, 60));
    }
}
