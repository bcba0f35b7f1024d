//! What the application wants.

use crate::close_reason::CloseReason;
use crate::event::Event;
use crate::id::{BodyId, StreamId};
use crate::limit::{ACK_DELAY, OFFSET_MAX};
use crate::priority::Priority;
use crate::send_stream::{SendEnd, cost_of};
use crate::session::{BodyKind, Retention, Session, StreamOptions};
use crate::session_error::{OpenError, SendError};
use crate::status::Status;
use crate::stream::Stream;
use crate::time::Time;

impl Session {
    /// Opens a stream: at once, the peer learns of it with the first bytes.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&mut self, _now: Time, options: StreamOptions) -> Result<StreamId, OpenError> {
        if let Some(reason) = &self.closed {
            return Err(OpenError::Closed(reason.clone()));
        }
        if self.is_draining || self.is_peer_draining {
            let status = Status::new(Status::SHUTTING_DOWN, "the session drains");
            return Err(OpenError::Closed(CloseReason::Local(status)));
        }
        if self.opened >= self.open_credit {
            self.is_open_blocked = true;
            return Err(OpenError::Blocked);
        }
        let id = StreamId::new(self.side, self.opened);
        self.opened += 1;
        let mut stream = self.new_stream();
        stream.priority = options.priority;
        self.streams.insert(id, stream);
        if options.retention == Retention::Newest {
            self.declare_lossy(id);
        }
        Ok(id)
    }

    /// Grants the peer at most so many streams at once. Only before the first connection.
    pub fn limit_streams(&mut self, streams_max: u64) {
        if self.statistics.attaches == 0 {
            self.config.streams_max = self.config.streams_max.min(streams_max);
            self.peer_open_credit = self.config.streams_max;
        }
    }

    /// Keeps at most so many bytes for unacked bodies from now on, never more than configured. What
    /// is kept already stays; with nothing kept a single body passes, as always.
    pub fn cap_retained(&mut self, bytes: u64) {
        // At 0 nothing would ever be told to be unblocked.
        self.retained_cap = bytes.min(self.config.retained_bytes_max).max(1);
    }

    /// From its next turn on the stream's bodies are so urgent.
    pub fn set_priority(&mut self, stream: StreamId, priority: Priority) {
        if let Some(state) = self.live(stream) {
            state.priority = priority;
        }
    }

    /// Sends a payload: accepted, that is retained, or refused whole. Returns the offset behind it.
    /// On a lossy stream older records may be dropped for it.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(
        &mut self,
        now: Time,
        stream: StreamId,
        body: BodyId,
        length: u64,
        kind: BodyKind,
        end_of_record: bool,
    ) -> Result<u64, SendError> {
        let (retained, allowed) = (self.statistics.retained_bytes, self.retained_cap);
        let state = self.sendable(stream)?;
        if length > OFFSET_MAX - state.send.accepted {
            return Err(SendError::TooLong { max: OFFSET_MAX });
        }
        if length == 0 && !end_of_record {
            let accepted = state.send.accepted;
            self.events.push_back(Event::Released(body));
            return Ok(accepted);
        }
        let cost = cost_of(kind, length);
        // A single body above the cap passes alone: it is in memory anyway.
        if retained > 0
            && retained + cost > allowed
            && !self.make_room(stream, retained + cost - allowed)
        {
            self.is_send_blocked = true;
            return Err(SendError::Blocked { retained, allowed });
        }
        let state = self.sendable(stream)?;
        let end = state.send.push(body, length, kind, end_of_record);
        let is_wait_news = state.send.is_wait_news();
        if length >= self.config.bulk_body_bytes_min {
            self.want_bulk();
        }
        self.statistics.retained_bytes += cost;
        self.queue(stream);
        if is_wait_news {
            self.watch_credit(now, stream);
        }
        Ok(end)
    }

    fn sendable(&mut self, stream: StreamId) -> Result<&mut Stream, SendError> {
        if let Some(reason) = &self.closed {
            return Err(SendError::Closed(reason.clone()));
        }
        self.renew(stream);
        let state = self
            .streams
            .get_mut(&stream)
            .ok_or(SendError::UnknownStream)?;
        match (&state.send.stopped, &state.send.end, &state.send.failed) {
            (Some(status), ..) => Err(SendError::Stopped(Status::clone(status))),
            (None, SendEnd::Open, None) => Ok(state),
            _ => Err(SendError::Finished),
        }
    }

    /// Ends our direction after everything accepted.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn finish(
        &mut self,
        _now: Time,
        stream: StreamId,
        status: Status,
    ) -> Result<(), SendError> {
        let state = self.sendable(stream)?;
        state.send.end = SendEnd::Finish(status);
        self.owe_finish(stream);
        Ok(())
    }

    /// A finish frame of its own is due once every body is sent.
    pub(crate) fn owe_finish(&mut self, stream: StreamId) {
        if let Some(state) = self.streams.get_mut(&stream)
            && state.send.is_finish_due()
        {
            state.owes.finish = true;
            self.owing.insert(stream);
        }
    }

    /// The stream, unless it or the session is over.
    fn live(&mut self, stream: StreamId) -> Option<&mut Stream> {
        if self.closed.is_some() {
            return None;
        }
        self.renew(stream);
        self.streams.get_mut(&stream).map(Box::as_mut)
    }

    /// Aborts our direction; its payloads are released.
    pub fn reset(&mut self, now: Time, stream: StreamId, status: Status) {
        let Some(state) = self.live(stream) else {
            return;
        };
        if matches!(state.send.end, SendEnd::Reset(..)) || state.send.is_end_acked {
            return;
        }
        self.begin_fence(stream);
        let Some(state) = self.live(stream) else {
            return;
        };
        let (extents, in_flight) = state.send.reset(status);
        state.owes.finish = false;
        state.owes.reset = true;
        self.statistics.unacked_bytes -= in_flight;
        self.owing.insert(stream);
        self.void_offer(stream);
        self.watch_credit(now, stream);
        self.release(extents);
        self.settle(stream);
    }

    /// Asks the peer to cease.
    pub fn stop(&mut self, _now: Time, stream: StreamId, status: Status) {
        if let Some(state) = self.live(stream)
            && !state.receive.has_ended()
            && state.receive.stop.is_none()
        {
            state.receive.stop = Some(Box::new(status));
            state.owes.stop = true;
            self.owing.insert(stream);
        }
    }

    /// The application has taken bytes, or they were discarded for it: the peer may send as many
    /// more. What is not consumed keeps its stream alive, also after both directions have ended.
    pub fn consume(&mut self, now: Time, stream: StreamId, bytes: u64) {
        let window = self.config.stream_window_bytes;
        if self.closed.is_some() {
            return;
        }
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        let receive = &mut state.receive;
        let from = receive.consumed;
        receive.consumed = from.saturating_add(bytes).min(receive.received);
        let to = receive.consumed;
        match &mut receive.gaps {
            Some(gaps) => gaps.consume(from, to, &mut self.credit),
            None => self.credit.consume(from, to),
        }
        let is_granted = !receive.has_ended() && receive.grant(window);
        let is_wait_news = receive.is_wait_news();
        if is_wait_news {
            self.watch_reader(now, stream);
        }
        if is_granted {
            self.owe_ack(stream);
        } else if to > from {
            self.owe_ack_later(now, stream);
        }
        self.forget_if_over(now, stream);
    }

    pub(crate) fn owe_ack(&mut self, stream: StreamId) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.owes.ack = true;
            self.owing.insert(stream);
            self.ack_later.remove(&stream);
        }
    }

    pub(crate) fn owe_ack_later(&mut self, now: Time, stream: StreamId) {
        let is_owed = self.streams.get(&stream).is_none_or(|state| state.owes.ack);
        if !is_owed {
            self.ack_later.insert(stream);
            self.ack_deadline.get_or_insert(now + ACK_DELAY);
        }
    }

    /// The payload `body` can deliver nothing beyond what the present connection has carried of
    /// it: what was accepted behind is dropped, and the direction finishes there with `status`.
    /// While the peer's position is not known (detached, or resuming) that waits.
    pub fn fail_source(&mut self, now: Time, stream: StreamId, body: BodyId, status: Status) {
        self.renew(stream);
        let is_position_known = self.is_settled(stream);
        let Some(state) = self.live(stream) else {
            return;
        };
        let send = &mut state.send;
        let is_decided = matches!(send.end, SendEnd::Reset(..))
            || send.is_end_acked
            || (send.gaps.is_some() && !send.retains(body));
        if is_decided || (is_position_known && send.is_finish_sent) {
            return;
        }
        send.failed.get_or_insert_with(|| Box::new((body, status)));
        self.void_offer(stream);
        if is_position_known {
            self.apply_failure(stream);
        }
        self.watch_credit(now, stream);
    }

    /// Ends a direction whose source has failed, now that the peer's position is known.
    pub(crate) fn apply_failure(&mut self, stream: StreamId) {
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        let send = &mut state.send;
        let Some((body, status)) = send.failed.take().map(|failed| *failed) else {
            return;
        };
        if send.is_end_acked {
            return;
        }
        let sent_max = send.sent_max;
        let dropped = send.truncate(body, status);
        self.credit.unsend(send.sent_max, sent_max);
        let (acked, records) = send.position();
        self.release(dropped);
        self.acknowledge(stream, acked, records);
        self.owe_finish(stream);
    }
}
