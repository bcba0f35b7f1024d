//! How a session ends: drain, close, violation.

use crate::close_reason::CloseReason;
use crate::event::Event;
use crate::frame::Frame;
use crate::id::StreamId;
use crate::send_stream::{Extent, SendEnd};
use crate::session::Session;
use crate::session_report::{RetainedBody, StreamReport};
use crate::status::Status;
use crate::stream::Stream;
use crate::time::Time;
use crate::violation::Violation;

impl Session {
    /// Refuses new streams; once the present ones have ended, or the time is up, closes.
    pub fn drain(&mut self, now: Time) {
        if self.closed.is_some() || self.is_draining {
            return;
        }
        self.is_draining = true;
        self.owes_drain = true;
        self.drain_deadline = Some(now + self.config.drain_timeout);
        self.finish_drain(now);
    }

    pub(crate) fn finish_drain(&mut self, now: Time) {
        if self.is_draining && self.streams.is_empty() && self.closed.is_none() {
            self.events.push_back(Event::Drained);
            self.close(now, Status::ok());
        }
    }

    /// Ends the session now; the peer is told if a connection is there.
    pub fn close(&mut self, _now: Time, reason: Status) {
        if self.is_attached && self.closed.is_none() {
            self.owes_close = Some(reason.clone());
        }
        self.end_with(CloseReason::Local(reason));
    }

    /// The peer broke the protocol: the session is over, and it is told why.
    pub fn violated(&mut self, _now: Time, violation: Violation) {
        if self.is_attached && self.closed.is_none() {
            self.owes_close = Some(Status::new(Status::PROTOCOL, &violation.to_string()));
        }
        self.end_with(CloseReason::Violation(violation));
    }

    pub(crate) fn end_with(&mut self, reason: CloseReason) {
        if self.closed.is_none() {
            for link in &mut self.links {
                link.offer = None;
                link.arriving = None;
                link.waiting = None;
            }
            self.resume_deadline = None;
            self.drain_deadline = None;
            self.closed = Some(reason.clone());
            self.events.push_back(Event::Closed(reason));
        }
    }

    /// Takes the session apart: what each stream had got to, and what it still retained. Nothing
    /// of that is released any more.
    pub fn take_remains(&mut self) -> Vec<StreamReport> {
        let streams = std::mem::take(&mut self.streams);
        let report = |(stream, state): (_, Box<Stream>)| StreamReport::of(stream, *state);
        streams.into_iter().map(report).collect()
    }
}

/// The frame that ends a session, for a connection that brings nothing else: what was closed
/// without a connection is told by it, right after the handshake that resumes the session.
#[must_use]
pub fn close_frame(reason: &Status) -> Vec<u8> {
    let mut out = Vec::new();
    Frame::Close(reason.clone()).emit(&mut out);
    out
}

impl StreamReport {
    fn of(stream: StreamId, mut state: Stream) -> Self {
        let finish = match &state.send.end {
            SendEnd::Finish(status) if !state.send.is_end_acked => Some(status.clone()),
            _ => None,
        };
        let retained = |extent: Extent| {
            Some(RetainedBody {
                body: extent.body?,
                start: extent.start,
                length: extent.length,
                end_of_record: extent.records > 0,
            })
        };
        Self {
            stream,
            progress: state.progress(),
            finish,
            retained: state
                .send
                .take_all()
                .into_iter()
                .filter_map(retained)
                .collect(),
        }
    }
}
