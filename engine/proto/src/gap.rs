//! Lossy streams, the receiver's side: the position jumps over records that never come (W-3.13).

use std::collections::VecDeque;

use crate::event::Event;
use crate::frame::kind;
use crate::id::StreamId;
use crate::limit::GAPS_UNREAD_MAX;
use crate::receive_stream::{ReceiveEnd, ReceiveStream};
use crate::session::Session;
use crate::session_credit::SessionCredit;
use crate::time::Time;
use crate::violation::{Rule, Violation};

/// What the receiver of a lossy stream keeps of its gaps.
#[derive(Debug, Default)]
pub(crate) struct ReceivedGaps {
    /// Where the record begins that comes next, or that is being received.
    record_start: u64,
    /// Those the application was not told of yet.
    unread: VecDeque<Unread>,
}

/// A gap that the application was not told of yet.
#[derive(Debug)]
struct Unread {
    from: u64,
    to: u64,
    /// Records before what follows it.
    records: u64,
}

impl ReceivedGaps {
    /// Bytes of gaps that the application was not told of yet.
    pub(crate) fn unread_bytes(&self) -> u64 {
        self.unread.iter().map(|gap| gap.to - gap.from).sum()
    }

    /// Gaps that touch are one.
    fn touches(&self, (offset, records): (u64, u64)) -> bool {
        let last = self.unread.back();
        last.is_some_and(|last| (last.to, last.records) == (offset, records))
    }

    fn push(&mut self, from: (u64, u64), to: (u64, u64)) {
        let touches = self.touches(from);
        match self.unread.back_mut() {
            Some(last) if touches => (last.to, last.records) = to,
            _ => self.unread.push_back(Unread {
                from: from.0,
                to: to.0,
                records: to.1,
            }),
        }
    }

    /// The application has taken a stream up to `to`, after `from`: what of that was a gap was
    /// given back to the session when it came.
    pub(crate) fn consume(&mut self, from: u64, to: u64, credit: &mut SessionCredit) {
        let mut at = from;
        while let Some(gap) = self.unread.front_mut()
            && gap.from <= to
        {
            credit.consume(at, at.max(gap.from));
            at = to.min(gap.to);
            if gap.to > to {
                gap.from = to;
                break;
            }
            self.unread.pop_front();
        }
        credit.consume(at, to.max(at));
    }
}

impl ReceiveStream {
    /// All before is whole records.
    pub(crate) fn begin_record(&mut self) {
        if let Some(gaps) = &mut self.gaps {
            gaps.record_start = self.received;
        }
    }

    /// Whether the gap may come here (W-3.13): it begins no later than what was received, and
    /// takes at least one record further.
    fn check_gap(
        &self,
        gaps: &ReceivedGaps,
        from: (u64, u64),
        to: (u64, u64),
    ) -> Result<(), (Rule, u64, u64)> {
        let (received, records) = (self.received, self.records);
        if from.0 > received || from.1 > records {
            let (got, expected) = match from.0 > received {
                true => (from.0, received),
                false => (from.1, records),
            };
            return Err((Rule::Gap, got, expected));
        }
        // Of no bytes, it must at least take back what was received of a record.
        let is_record_cut = received > gaps.record_start;
        let least = received + u64::from(!is_record_cut);
        if to.0 < least {
            return Err((Rule::Gap, to.0, least));
        }
        if to.1 <= records {
            return Err((Rule::Gap, to.1, records + 1));
        }
        if gaps.unread.len() >= GAPS_UNREAD_MAX && !gaps.touches((received, records)) {
            let unread = gaps.unread.len() as u64 + 1;
            return Err((Rule::Gap, unread, GAPS_UNREAD_MAX as u64));
        }
        match self.end {
            ReceiveEnd::Finish { offset, .. } if to.0 > offset => {
                Err((Rule::BeyondEnd, to.0, offset))
            }
            ReceiveEnd::Finish { records, .. } if to.1 > records => {
                Err((Rule::BeyondEnd, to.1, records))
            }
            _ => Ok(()),
        }
    }
}

impl Session {
    /// Records of a stream never come; or, of nothing, the stream is declared lossy.
    pub(crate) fn on_gap(
        &mut self,
        now: Time,
        id: StreamId,
        from: (u64, u64),
        to: (u64, u64),
    ) -> Result<(), Violation> {
        let Some(state) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let receive = &mut state.receive;
        if matches!(receive.end, ReceiveEnd::Reset) {
            return Ok(());
        }
        if (from, to) == ((0, 0), (0, 0)) {
            return self.on_lossy(id);
        }
        let fail = |(rule, got, expected)| {
            Err(Violation::new(rule, kind::GAP, got, expected).on(id, from.0))
        };
        let Some(gaps) = &receive.gaps else {
            return fail((Rule::Gap, to.0, receive.received));
        };
        let is_record_cut = receive.received > gaps.record_start;
        if let Err(broken) = receive.check_gap(gaps, from, to) {
            return fail(broken);
        }
        // A gap waits for no credit, so sums are bounded here.
        if let Err((total, bound)) = self.credit.check_jump(receive.received, to.0) {
            return fail((Rule::SessionCredit, total, bound));
        }
        let (offset, record) = (receive.received, receive.records);
        (receive.received, receive.records) = to;
        receive.begin_record();
        if let Some(gaps) = &mut receive.gaps {
            gaps.push((offset, record), to);
        }
        receive.grant(self.config.stream_window_bytes);
        // Nothing of it is held here: it is returned at once, as after a reset.
        self.credit.receive(offset, to.0);
        self.credit.consume(offset, to.0);
        self.events.push_back(Event::Gap {
            stream: id,
            offset,
            bytes: to.0 - offset,
            records: to.1 - record,
            is_record_cut,
        });
        self.owe_ack(id);
        self.tell_finish(now, id);
        Ok(())
    }

    /// The opener says that its stream is lossy, before anything else of it.
    fn on_lossy(&mut self, id: StreamId) -> Result<(), Violation> {
        let Some(state) = self.streams.get(&id) else {
            return Ok(());
        };
        let receive = &state.receive;
        if receive.gaps.is_none() {
            let is_late = receive.received > 0 || receive.records > 0;
            if is_late || id.opener() == self.side {
                let violation = Violation::new(Rule::Gap, kind::GAP, 0, receive.received);
                return Err(violation.on(id, 0));
            }
            self.declare_lossy(id);
            self.events.push_back(Event::Lossy(id));
        }
        self.owe_ack(id);
        Ok(())
    }
}
