//! A session as one end sees it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::close_reason::CloseReason;
use crate::frame::Frame;
use crate::hello::{Established, SessionLimits};
use crate::id::{BodyId, Epoch, SessionId, Side, StreamId};
use crate::limit::{ACK_DELAY, OFFSET_MAX, SessionConfig};
use crate::resume::{PeerResume, ResumeOut};
use crate::send_stream::{Extent, SendEnd};
use crate::session_in::Arriving;
use crate::status::Status;
use crate::stream::{Stream, StreamProgress};
use crate::time::Time;
use crate::violation::Violation;

/// Whether a payload lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// It does, and counts against the retention cap until acked.
    Memory,
    /// It is a file range: keeping it costs nothing, however long.
    Range,
}

/// How to open a stream. Nothing to choose yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {}

/// A body that may be sent now. Answer with [`Session::commit`] or [`Session::withdraw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub(crate) serial: u64,
    /// Which stream.
    pub stream: StreamId,
    /// Which payload.
    pub body: BodyId,
    /// First byte within the payload.
    pub body_offset: u64,
    /// Most bytes that may be sent now.
    pub length: u64,
}

/// What [`Session::poll_transmit`] gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Whole frames were appended.
    Control,
    /// A body may be sent.
    Body(Offer),
}

/// Something the application should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer opened a stream.
    Opened(StreamId),
    /// The peer finished its direction; every byte before has been reported.
    Finished {
        /// Which stream.
        stream: StreamId,
        /// How.
        status: Status,
        /// Its length, bytes.
        offset: u64,
    },
    /// The peer aborted its direction.
    Reset {
        /// Which stream.
        stream: StreamId,
        /// Why.
        status: Status,
        /// What it had sent at most, bytes.
        final_offset: u64,
    },
    /// The peer does not want more; our direction has been reset.
    StopRequested {
        /// Which stream.
        stream: StreamId,
        /// Why.
        status: Status,
    },
    /// The peer's engine has copied everything before `offset`.
    Acked {
        /// Which stream.
        stream: StreamId,
        /// Bytes.
        offset: u64,
    },
    /// The peer's application has taken everything before `offset`.
    Consumed {
        /// Which stream.
        stream: StreamId,
        /// Bytes.
        offset: u64,
    },
    /// The peer knows that our direction has ended.
    FinishAcked {
        /// Which stream.
        stream: StreamId,
    },
    /// A payload is not needed any more.
    Released(BodyId),
    /// There is room below the retention cap again.
    SendUnblocked,
    /// There is credit for streams again.
    OpenUnblocked,
    /// Both directions have ended; the id is forgotten.
    StreamEnded(StreamId),
    /// Nothing was heard for two heartbeat intervals: drop the connection and detach.
    PeerSilent,
    /// The peer wants no new streams.
    PeerDraining,
    /// The drain is over; a close follows.
    Drained,
    /// The session is over.
    Closed(CloseReason),
}

/// Why a stream cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No credit for streams now: wait for [`Event::OpenUnblocked`].
    #[error("no credit for another stream now")]
    Blocked,
    /// The session is over or drains.
    #[error("{0}")]
    Closed(CloseReason),
}

/// Why something cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// At the retention cap: nothing was taken; wait for [`Event::SendUnblocked`].
    #[error("{retained} bytes are unacked, {allowed} may be")]
    Blocked {
        /// Kept now.
        retained: u64,
        /// Cap.
        allowed: u64,
    },
    /// The stream does not exist (any more).
    #[error("the stream has ended")]
    UnknownStream,
    /// Our direction has ended.
    #[error("this direction is already finished")]
    Finished,
    /// The peer does not want more.
    #[error("the peer does not want more: {0}")]
    Stopped(Status),
    /// A stream has at most 2^62 bytes.
    #[error("the stream would be longer than {max} bytes")]
    TooLong {
        /// The bound.
        max: u64,
    },
    /// The session is over.
    #[error("{0}")]
    Closed(CloseReason),
}

/// Why a connection cannot be attached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// It belongs to another session.
    #[error("the connection is of session {got}, this is {expected}")]
    OtherSession {
        /// Of the connection.
        got: SessionId,
        /// This one.
        expected: SessionId,
    },
    /// A newer one was attached before.
    #[error("epoch {got} is not newer than {current}")]
    StaleEpoch {
        /// Of the connection.
        got: u64,
        /// Ours.
        current: u64,
    },
    /// The session is over.
    #[error("{0}")]
    Closed(CloseReason),
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionStatistics {
    /// Body bytes sent for the first time.
    pub new_bytes: u64,
    /// Body bytes sent again.
    pub replayed_bytes: u64,
    /// Body bytes received and not needed.
    pub duplicate_bytes: u64,
    /// Frames sent.
    pub frames_sent: u64,
    /// Frames received.
    pub frames_received: u64,
    /// Attaches.
    pub attaches: u64,
    /// Memory kept for unacked bodies, bytes.
    pub retained_bytes: u64,
    /// Body bytes in flight unacked.
    pub unacked_bytes: u64,
}

/// What is left of a stream when its session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamReport {
    /// Which stream.
    pub stream: StreamId,
    /// How far it had got.
    pub progress: StreamProgress,
    /// Payloads that are not wholly acked, with the stream offset of their first byte.
    pub retained: Vec<(BodyId, u64, u64)>,
}

/// One end of a session: streams, acks, credit, retention and resume, over one connection at a
/// time.
///
/// ```text
///   new ──▶ detached ──attach──▶ resuming ──peer's last resume chunk──▶ attached
///              ▲  │                  │                                     │
///              │  └─ resume window ─▶│◀──────────── detach ────────────────┘
///              └─────────────────────┘        closed ◀── close, violation, window
/// ```
///
/// # Contract
///
/// - Time is an argument, of any monotonic clock, and never goes back.
/// - *Inputs* are the `handle_*` methods, `attach`, `detach`, and what the application wants
///   (`open`, `send`, …). None does I/O.
/// - After any input, drain the *outputs*: `poll_event` until `None`, `poll_transmit` as far as
///   the connection takes it, then `poll_timeout`.
/// - No payload byte passes through. Outgoing bodies are offered, loaded by the caller, committed
///   with what is held, and sent behind the header. Incoming bodies are announced, and reported
///   once they are copied or written: that is what is acked.
/// - Before `attach` the caller has fenced every older connection: nothing of it is read any
///   more, and every op on it has completed.
#[derive(Debug)]
pub struct Session {
    pub(crate) side: Side,
    pub(crate) id: SessionId,
    pub(crate) config: SessionConfig,
    pub(crate) epoch: Epoch,
    pub(crate) is_attached: bool,
    pub(crate) streams: BTreeMap<StreamId, Stream>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) statistics: SessionStatistics,
    // Opening.
    pub(crate) opened: u64,
    pub(crate) open_credit: u64,
    pub(crate) peer_opened: u64,
    pub(crate) peer_open_credit: u64,
    pub(crate) peer_streams_ended: u64,
    is_open_blocked: bool,
    // Sending.
    /// Streams with body bytes to send, in turn.
    pub(crate) ready: VecDeque<StreamId>,
    /// Streams that owe control frames.
    pub(crate) owing: BTreeSet<StreamId>,
    /// Streams that owe an ack which may wait.
    pub(crate) ack_later: BTreeSet<StreamId>,
    pub(crate) ack_deadline: Option<Time>,
    pub(crate) offer: Option<Offer>,
    pub(crate) offer_serial: u64,
    /// Sum of the furthest offsets sent on all streams, and what the peer allows.
    pub(crate) sent_total: u64,
    pub(crate) session_credit: u64,
    pub(crate) peer_limits: Option<SessionLimits>,
    is_send_blocked: bool,
    // Receiving.
    pub(crate) arriving: Option<Arriving>,
    /// Sum of the furthest offsets received on all streams, taken by the application, granted.
    pub(crate) received_total: u64,
    pub(crate) consumed_total: u64,
    pub(crate) granted_total: u64,
    // Control of the session.
    pub(crate) owes_session_credit: bool,
    pub(crate) owes_stream_credit: bool,
    pub(crate) owes_drain: bool,
    pub(crate) owes_close: Option<Status>,
    pub(crate) pongs: VecDeque<u64>,
    pub(crate) owes_ping: bool,
    pub(crate) resume_out: Option<ResumeOut>,
    pub(crate) resume_in: Option<PeerResume>,
    // Ends and timers.
    pub(crate) is_draining: bool,
    pub(crate) is_peer_draining: bool,
    pub(crate) closed: Option<CloseReason>,
    pub(crate) last_heard: Time,
    pub(crate) last_sent: Time,
    is_silence_told: bool,
    resume_deadline: Option<Time>,
    drain_deadline: Option<Time>,
}

impl Session {
    /// A new session, not attached yet: the resume window runs.
    #[must_use]
    pub fn new(side: Side, id: SessionId, config: SessionConfig, now: Time) -> Self {
        let resume_deadline = Some(now + config.resume_window);
        Self {
            side,
            id,
            epoch: Epoch(0),
            is_attached: false,
            streams: BTreeMap::new(),
            events: VecDeque::new(),
            statistics: SessionStatistics::default(),
            opened: 0,
            open_credit: 0,
            peer_opened: 0,
            peer_open_credit: config.streams_max,
            peer_streams_ended: 0,
            is_open_blocked: false,
            ready: VecDeque::new(),
            owing: BTreeSet::new(),
            ack_later: BTreeSet::new(),
            ack_deadline: None,
            offer: None,
            offer_serial: 0,
            sent_total: 0,
            session_credit: 0,
            peer_limits: None,
            is_send_blocked: false,
            arriving: None,
            received_total: 0,
            consumed_total: 0,
            granted_total: config.session_window_bytes,
            owes_session_credit: false,
            owes_stream_credit: false,
            owes_drain: false,
            owes_close: None,
            pongs: VecDeque::new(),
            owes_ping: false,
            resume_out: None,
            resume_in: None,
            is_draining: false,
            is_peer_draining: false,
            closed: None,
            last_heard: now,
            last_sent: now,
            is_silence_told: false,
            resume_deadline,
            drain_deadline: None,
            config,
        }
    }

    // --- connections ---------------------------------------------------------------------------

    /// Attaches a connection that has proven itself. The caller has fenced every older one.
    ///
    /// # Errors
    /// [`SessionError`]: close the connection.
    pub fn attach(&mut self, now: Time, established: &Established) -> Result<(), SessionError> {
        if let Some(reason) = &self.closed {
            return Err(SessionError::Closed(reason.clone()));
        }
        if established.session != self.id {
            return Err(SessionError::OtherSession {
                got: established.session,
                expected: self.id,
            });
        }
        if established.epoch <= self.epoch {
            let (got, current) = (established.epoch.0, self.epoch.0);
            return Err(SessionError::StaleEpoch { got, current });
        }
        self.detach(now);
        self.epoch = established.epoch;
        self.is_attached = true;
        self.is_silence_told = false;
        self.resume_deadline = None;
        self.last_heard = now;
        self.last_sent = now;
        self.statistics.attaches += 1;
        self.learn_limits(established.peer_limits);
        self.begin_resume(established.resumed);
        Ok(())
    }

    /// First credit comes with the handshake; it only ever grows.
    fn learn_limits(&mut self, limits: SessionLimits) {
        if self.peer_limits.is_none() {
            self.open_credit = self.open_credit.max(limits.streams_max);
            self.session_credit = self.session_credit.max(limits.session_window_bytes);
            for stream in self.streams.values_mut() {
                stream.send.credit = stream.send.credit.max(limits.stream_window_bytes);
            }
            self.peer_limits = Some(limits);
        }
        self.unblock_open();
    }

    /// The connection is gone. Nothing that was under way on it counts.
    pub fn detach(&mut self, now: Time) {
        self.is_attached = false;
        self.arriving = None;
        self.offer = None;
        self.resume_out = None;
        self.resume_in = None;
        self.pongs.clear();
        self.owes_ping = false;
        if self.closed.is_none() && self.resume_deadline.is_none() {
            self.resume_deadline = Some(now + self.config.resume_window);
        }
    }

    /// Whether a connection is attached.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.is_attached
    }

    /// Of the present or last connection; 0 before the first.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    // --- application ---------------------------------------------------------------------------

    /// Opens a stream: at once, the peer learns of it with the first bytes.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&mut self, _now: Time, _options: StreamOptions) -> Result<StreamId, OpenError> {
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
        self.streams.insert(id, self.new_stream());
        Ok(id)
    }

    pub(crate) fn new_stream(&self) -> Stream {
        let send_credit = self
            .peer_limits
            .map_or(0, |limits| limits.stream_window_bytes);
        Stream::new(send_credit, self.config.stream_window_bytes)
    }

    /// Sends a payload: accepted, that is retained, or refused whole. Returns the offset behind it.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(
        &mut self,
        _now: Time,
        stream: StreamId,
        body: BodyId,
        length: u64,
        kind: BodyKind,
        end_of_record: bool,
    ) -> Result<u64, SendError> {
        let (retained, allowed) = (
            self.statistics.retained_bytes,
            self.config.retained_bytes_max,
        );
        let state = self.sendable(stream)?;
        if length > OFFSET_MAX - state.send.accepted {
            return Err(SendError::TooLong { max: OFFSET_MAX });
        }
        let cost = cost_of(kind, length);
        // A single body above the cap passes alone: it is in memory anyway.
        if cost > 0 && retained > 0 && retained + cost > allowed {
            self.is_send_blocked = true;
            return Err(SendError::Blocked { retained, allowed });
        }
        if length == 0 && !end_of_record {
            return Ok(state.send.accepted);
        }
        let end = state.send.push(body, length, kind, end_of_record);
        self.statistics.retained_bytes += cost;
        self.queue(stream);
        Ok(end)
    }

    fn sendable(&mut self, stream: StreamId) -> Result<&mut Stream, SendError> {
        if let Some(reason) = &self.closed {
            return Err(SendError::Closed(reason.clone()));
        }
        let state = self
            .streams
            .get_mut(&stream)
            .ok_or(SendError::UnknownStream)?;
        match state.send.end {
            SendEnd::Open => Ok(state),
            SendEnd::Finish(_) | SendEnd::Reset(..) => Err(SendError::Finished),
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

    /// Aborts our direction; its payloads are released.
    pub fn reset(&mut self, _now: Time, stream: StreamId, status: Status) {
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        if matches!(state.send.end, SendEnd::Reset(..)) || state.send.is_end_acked {
            return;
        }
        let extents = state.send.reset(status);
        state.owes.finish = false;
        state.owes.reset = true;
        self.owing.insert(stream);
        self.void_offer(stream);
        self.release(extents);
    }

    /// Asks the peer to cease.
    pub fn stop(&mut self, _now: Time, stream: StreamId, status: Status) {
        if let Some(state) = self.streams.get_mut(&stream)
            && !state.receive.has_ended()
            && state.receive.stop.is_none()
        {
            state.receive.stop = Some(status);
            state.owes.stop = true;
            self.owing.insert(stream);
        }
    }

    /// The application has taken bytes: the peer may send as many more.
    pub fn consume(&mut self, now: Time, stream: StreamId, bytes: u64) {
        let window = self.config.stream_window_bytes;
        let Some(state) = self.streams.get_mut(&stream) else {
            // The stream has ended: its bytes were returned to the session then.
            return;
        };
        let most = state.receive.received - state.receive.consumed;
        let bytes = bytes.min(most);
        state.receive.consumed += bytes;
        let is_granted = state.receive.grant(window) && !state.receive.has_ended();
        self.consume_session(bytes);
        if is_granted {
            self.owe_ack(stream);
        } else if bytes > 0 {
            self.owe_ack_later(now, stream);
        }
    }

    pub(crate) fn consume_session(&mut self, bytes: u64) {
        self.consumed_total += bytes;
        let window = self.config.session_window_bytes;
        let credit = self.consumed_total.saturating_add(window);
        if credit >= self.granted_total.saturating_add((window / 4).max(1)) {
            self.granted_total = credit;
            self.owes_session_credit = true;
        }
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
            self.offer = None;
            self.arriving = None;
            self.resume_deadline = None;
            self.drain_deadline = None;
            self.closed = Some(reason.clone());
            self.events.push_back(Event::Closed(reason));
        }
    }

    /// How far a stream has got; `None` once it has ended.
    #[must_use]
    pub fn progress(&self, stream: StreamId) -> Option<StreamProgress> {
        self.streams.get(&stream).map(Stream::progress)
    }

    /// Counters as they are now.
    #[must_use]
    pub fn statistics(&self) -> &SessionStatistics {
        &self.statistics
    }

    /// Streams that have not ended.
    #[must_use]
    pub fn live_streams(&self) -> usize {
        self.streams.len()
    }

    // --- bookkeeping ---------------------------------------------------------------------------

    /// Puts a stream into the queue of those with body bytes to send.
    pub(crate) fn queue(&mut self, stream: StreamId) {
        if let Some(state) = self.streams.get_mut(&stream)
            && !state.is_queued
            && state.send.next().is_some()
        {
            state.is_queued = true;
            self.ready.push_back(stream);
        }
    }

    pub(crate) fn release(&mut self, extents: impl IntoIterator<Item = Extent>) {
        for extent in extents {
            let cost = cost_of(extent.kind, extent.length);
            let retained = &mut self.statistics.retained_bytes;
            *retained = retained.saturating_sub(cost);
            self.events.push_back(Event::Released(extent.body));
        }
        if self.is_send_blocked && self.statistics.retained_bytes < self.config.retained_bytes_max {
            self.is_send_blocked = false;
            self.events.push_back(Event::SendUnblocked);
        }
    }

    pub(crate) fn void_offer(&mut self, stream: StreamId) {
        if self.offer.is_some_and(|offer| offer.stream == stream) {
            self.offer = None;
        }
    }

    pub(crate) fn unblock_open(&mut self) {
        if self.is_open_blocked && self.opened < self.open_credit {
            self.is_open_blocked = false;
            self.events.push_back(Event::OpenUnblocked);
        }
    }

    /// Forgets a stream whose both directions have ended, with all it counted for.
    pub(crate) fn forget_if_over(&mut self, now: Time, stream: StreamId) {
        if !self.streams.get(&stream).is_some_and(Stream::is_over) {
            return;
        }
        self.forget(now, stream);
    }

    pub(crate) fn forget(&mut self, now: Time, stream: StreamId) {
        let Some(mut state) = self.streams.remove(&stream) else {
            return;
        };
        let unread = state.receive.received - state.receive.consumed;
        self.consume_session(unread);
        self.owing.remove(&stream);
        self.ack_later.remove(&stream);
        self.void_offer(stream);
        self.release(state.send.take_all());
        if stream.opener() != self.side {
            self.peer_streams_ended += 1;
            let credit = self.peer_streams_ended + self.config.streams_max;
            if credit >= self.peer_open_credit + (self.config.streams_max / 4).max(1) {
                self.peer_open_credit = credit;
                self.owes_stream_credit = true;
            }
        }
        self.events.push_back(Event::StreamEnded(stream));
        self.finish_drain(now);
    }

    /// Body bytes sent and not acked.
    pub(crate) fn unacked(&self) -> u64 {
        self.statistics.unacked_bytes
    }

    pub(crate) fn emit(&mut self, frame: &Frame, out: &mut Vec<u8>) {
        self.statistics.frames_sent += 1;
        if std::env::var("RINGWAY_DEBUG").is_ok() { eprintln!("{:?} -> {frame:?}", self.side); }
        frame.emit(out);
    }

    // --- events and timers ---------------------------------------------------------------------

    /// The next thing the application should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.closed.is_some() {
            return None;
        }
        let heartbeat = self.config.heartbeat;
        let attached = |time| self.is_attached.then_some(time);
        let silence = (!self.is_silence_told).then_some(self.last_heard + heartbeat * 2);
        [
            self.ack_deadline.and_then(attached),
            attached(self.last_sent + heartbeat),
            silence.and_then(attached),
            self.resume_deadline,
            self.drain_deadline,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.closed.is_some() {
            return;
        }
        if self.ack_deadline.is_some_and(|at| at <= now) {
            self.ack_deadline = None;
            for stream in std::mem::take(&mut self.ack_later) {
                self.owe_ack(stream);
            }
        }
        if self.is_attached {
            self.handle_heartbeat(now);
        }
        if self.resume_deadline.is_some_and(|at| at <= now) {
            let window_ms = self.config.resume_window.as_millis();
            let window_ms = u64::try_from(window_ms).unwrap_or(u64::MAX);
            self.end_with(CloseReason::ResumeWindow { window_ms });
        }
        if self.drain_deadline.is_some_and(|at| at <= now) {
            self.events.push_back(Event::Drained);
            let text = format!("{} streams had not ended", self.streams.len());
            self.close(now, Status::new(Status::DRAIN_TIMEOUT, &text));
        }
    }

    fn handle_heartbeat(&mut self, now: Time) {
        let heartbeat = self.config.heartbeat;
        if now >= self.last_sent + heartbeat {
            self.owes_ping = true;
            self.last_sent = now;
        }
        if !self.is_silence_told && now >= self.last_heard + heartbeat * 2 {
            self.is_silence_told = true;
            self.events.push_back(Event::PeerSilent);
        }
    }

    /// Bytes arrived that cannot be reported as body yet: the peer is alive.
    pub fn heard(&mut self, now: Time) {
        self.last_heard = now;
        self.is_silence_told = false;
    }

    /// Takes the session apart: what each stream had got to, and what it still retained.
    #[must_use]
    pub fn end(self) -> Vec<StreamReport> {
        self.streams
            .into_iter()
            .map(|(stream, mut state)| StreamReport {
                stream,
                progress: state.progress(),
                retained: state
                    .send
                    .take_all()
                    .into_iter()
                    .map(|extent| (extent.body, extent.start, extent.length))
                    .collect(),
            })
            .collect()
    }
}

fn cost_of(kind: BodyKind, length: u64) -> u64 {
    match kind {
        BodyKind::Memory => length,
        BodyKind::Range => 0,
    }
}
