//! The receiving direction of a stream: where it is, what it may still get, how it ends.

use crate::frame::ResumeEntry;
use crate::gap::ReceivedGaps;
use crate::id::StreamId;
use crate::limit::OFFSET_MAX;
use crate::status::Status;
use crate::wait_clock::WaitClock;

/// How the peer ended its direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReceiveEnd {
    /// Not yet.
    Open,
    /// At this offset and record, to be told once it is reached.
    Finish {
        status: Box<Status>,
        offset: u64,
        records: u64,
        is_told: bool,
    },
    /// At once.
    Reset,
}

/// The receiving direction of a stream.
#[derive(Debug)]
pub(crate) struct ReceiveStream {
    /// In order, bytes.
    pub(crate) received: u64,
    /// In order, records.
    pub(crate) records: u64,
    pub(crate) consumed: u64,
    /// Granted to the sender.
    pub(crate) credit: u64,
    /// Received and not acked yet.
    pub(crate) unacked: u64,
    pub(crate) end: ReceiveEnd,
    pub(crate) stop: Option<Box<Status>>,
    /// Of a lossy stream.
    pub(crate) gaps: Option<Box<ReceivedGaps>>,
    /// Waits of the peer for our application to take what it has sent.
    pub(crate) reader_wait: WaitClock,
}

impl ReceiveStream {
    pub(crate) fn new(credit: u64) -> Self {
        Self {
            received: 0,
            records: 0,
            consumed: 0,
            credit,
            unacked: 0,
            end: ReceiveEnd::Open,
            stop: None,
            gaps: None,
            reader_wait: WaitClock::default(),
        }
    }

    /// The end has come and everything before it.
    pub(crate) fn has_ended(&self) -> bool {
        match self.end {
            ReceiveEnd::Open => false,
            ReceiveEnd::Finish { is_told, .. } => is_told,
            ReceiveEnd::Reset => true,
        }
    }

    /// The peer has aborted it.
    pub(crate) fn is_reset(&self) -> bool {
        matches!(self.end, ReceiveEnd::Reset)
    }

    /// The application has taken all that came.
    pub(crate) fn is_read(&self) -> bool {
        self.consumed == self.received
    }

    /// The sender has used up what it was granted, and waits for the application.
    pub(crate) fn is_reader_awaited(&self) -> bool {
        self.received >= self.credit && !self.is_read() && !self.has_ended()
    }

    /// Whether its clock says something else.
    pub(crate) fn is_wait_news(&self) -> bool {
        self.is_reader_awaited() != self.reader_wait.is_running()
    }

    /// What the sender is to know.
    pub(crate) fn position(&self, stream: StreamId) -> ResumeEntry {
        ResumeEntry {
            stream,
            received: self.received + u64::from(cfg!(ringway_mutant = "ack_off_by_one")),
            records: self.records,
            consumed: self.consumed,
            credit: self.credit,
            end_known: self.has_ended(),
        }
    }

    /// A finish that was not reached went with its connection: the peer says it again, or where else
    /// the direction ends, if its source has failed meanwhile.
    pub(crate) fn forget_finish(&mut self) {
        if let ReceiveEnd::Finish { is_told: false, .. } = self.end {
            self.end = ReceiveEnd::Open;
        }
    }

    /// The finish is reached now: its status, once.
    pub(crate) fn reach_finish(&mut self) -> Option<(Status, u64)> {
        match &mut self.end {
            ReceiveEnd::Finish {
                status,
                offset,
                records,
                is_told,
            } if !*is_told
                && (*offset == self.received || cfg!(ringway_mutant = "end_before_last_data"))
                && (*records == self.records || cfg!(ringway_mutant = "end_before_last_data")) =>
            {
                *is_told = true;
                Some((Status::clone(status), *offset))
            }
            _ => None,
        }
    }

    /// Grants up to `consumed + window`, in steps, so that not every byte taken causes a frame.
    /// True when the grant has changed.
    pub(crate) fn grant(&mut self, window: u64) -> bool {
        // A gap takes no room, whether or not the application has been told of it.
        let skipped = self.gaps.as_ref().map_or(0, |gaps| gaps.unread_bytes());
        let credit = (self.consumed + skipped)
            .saturating_add(window)
            .min(OFFSET_MAX);
        let step = window / 4;
        let is_worth = credit >= self.credit.saturating_add(step.max(1));
        if is_worth {
            self.credit = credit;
        }
        is_worth
    }
}
