//! A session as one end sees it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::body_checksum::BodyChecksum;
use crate::bulk::Bulk;
use crate::close_reason::CloseReason;
use crate::event::Event;
use crate::feature::Features;
use crate::frame::Frame;
use crate::hello::{Established, Role, SessionLimits};
use crate::id::{BodyId, Epoch, SessionId, Side, StreamId};
use crate::limit::{BULK_CONNECTIONS_MAX, OFFSET_MAX, SessionConfig};
use crate::link::{Link, LinkState};
use crate::priority::Priority;
use crate::resume::{ConnectionSet, PeerResume, ResumeOut};
use crate::send_stream::Extent;
use crate::session_credit::SessionCredit;
use crate::session_error::SessionError;
use crate::session_report::SessionStatistics;
use crate::session_watch::Watch;
use crate::status::Status;
use crate::stream::{Stream, StreamProgress};
use crate::time::Time;

/// Whether a payload lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// It does, and counts against the retention cap until acked.
    Memory,
    /// It is a file range: keeping it costs next to nothing, however long.
    Range,
}

/// What may be dropped at the retention cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// Nothing: a send is refused until acks make room.
    #[default]
    All,
    /// The stream is lossy: its oldest whole records that are not under way on the present
    /// connection make room for newer ones, and the receiver is told of the gap.
    Newest,
}

/// How to open a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// What may be dropped, in both directions.
    pub retention: Retention,
    /// How urgent its bodies are.
    pub priority: Priority,
}

/// A body that may be sent now. Answer with [`Session::commit`] or [`Session::withdraw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub(crate) serial: u64,
    /// The connection it is to be sent on.
    pub link: Link,
    /// Which stream.
    pub stream: StreamId,
    /// Which payload.
    pub body: BodyId,
    /// First byte within the payload.
    pub body_offset: u64,
    /// Most bytes that may be sent now.
    pub length: u64,
    /// Of these, what the session's credit is used for.
    pub(crate) charge: u64,
}

/// What [`Session::poll_transmit`] gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Whole frames were appended.
    Control,
    /// A body may be sent.
    Body(Offer),
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
    /// Whose sending state is of an older one is brought over when it is next looked at.
    pub(crate) set: ConnectionSet,
    /// The message connection first, whether attached or not.
    pub(crate) links: Vec<LinkState>,
    /// Boxed: a map's nodes are half empty.
    pub(crate) streams: BTreeMap<StreamId, Box<Stream>>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) statistics: SessionStatistics,
    pub(crate) watch: Watch,
    // Opening.
    pub(crate) opened: u64,
    pub(crate) open_credit: u64,
    pub(crate) peer_opened: u64,
    pub(crate) peer_open_credit: u64,
    pub(crate) peer_streams_ended: u64,
    pub(crate) is_open_blocked: bool,
    // Sending.
    /// Streams that owe control frames.
    pub(crate) owing: BTreeSet<StreamId>,
    /// Streams that owe an ack which may wait.
    pub(crate) ack_later: BTreeSet<StreamId>,
    pub(crate) ack_deadline: Option<Time>,
    pub(crate) offer_serial: u64,
    pub(crate) credit: SessionCredit,
    pub(crate) peer_limits: Option<SessionLimits>,
    /// Fixed by the first connection.
    features: Features,
    pub(crate) is_send_blocked: bool,
    /// Memory kept for unacked bodies, at most: the configured cap, or less.
    pub(crate) retained_cap: u64,
    /// Kept so that an ack needs no allocation.
    pub(crate) released: Vec<Extent>,
    // Control of the session.
    pub(crate) bulk: Bulk,
    pub(crate) ping_serial: u64,
    pub(crate) owes_stream_credit: bool,
    pub(crate) owes_drain: bool,
    pub(crate) owes_close: Option<Status>,
    pub(crate) resume_out: Option<ResumeOut>,
    pub(crate) resume_in: Option<PeerResume>,
    // Ends and timers.
    pub(crate) is_draining: bool,
    pub(crate) is_peer_draining: bool,
    pub(crate) closed: Option<CloseReason>,
    pub(crate) resume_deadline: Option<Time>,
    pub(crate) drain_deadline: Option<Time>,
}

impl Session {
    /// A new session, not attached yet: the resume window runs.
    #[must_use]
    pub fn new(side: Side, id: SessionId, mut config: SessionConfig, now: Time) -> Self {
        // Sums of them stay below 2^64, and each fits the wire.
        config.stream_window_bytes = config.stream_window_bytes.min(OFFSET_MAX);
        config.session_window_bytes = config.session_window_bytes.min(OFFSET_MAX);
        config.streams_max = config.streams_max.min(OFFSET_MAX);
        config.bulk_connections = config.bulk_connections.min(BULK_CONNECTIONS_MAX);
        let resume_deadline = Some(now + config.resume_window);
        Self {
            side,
            id,
            epoch: Epoch(0),
            is_attached: false,
            set: ConnectionSet::default(),
            links: vec![LinkState::new(now)],
            streams: BTreeMap::new(),
            events: VecDeque::new(),
            statistics: SessionStatistics::default(),
            watch: Watch::default(),
            opened: 0,
            open_credit: 0,
            peer_opened: 0,
            peer_open_credit: config.streams_max,
            peer_streams_ended: 0,
            is_open_blocked: false,
            owing: BTreeSet::new(),
            ack_later: BTreeSet::new(),
            ack_deadline: None,
            offer_serial: 0,
            credit: SessionCredit::new(config.session_window_bytes),
            peer_limits: None,
            features: Features::NONE,
            is_send_blocked: false,
            retained_cap: config.retained_bytes_max,
            released: Vec::new(),
            bulk: Bulk::default(),
            ping_serial: 0,
            owes_stream_credit: false,
            owes_drain: false,
            owes_close: None,
            resume_out: None,
            resume_in: None,
            is_draining: false,
            is_peer_draining: false,
            closed: None,
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
        if established.role != Role::Message {
            return Err(SessionError::TooManyConnections {
                held: 0,
                allowed: 0,
            });
        }
        if established.epoch <= self.epoch && !cfg!(ringway_mutant = "stale_epoch_accepted") {
            let (got, current) = (established.epoch.0, self.epoch.0);
            return Err(SessionError::StaleEpoch { got, current });
        }
        if !established.resumed && self.statistics.attaches > 0 {
            // Whoever took it knows nothing of what was sent before: never a silent start at zero.
            let text = format!("session {} began anew there", self.id);
            let reason = CloseReason::UnknownSession(text);
            self.end_with(reason.clone());
            return Err(SessionError::Closed(reason));
        }
        self.detach(now);
        self.epoch = established.epoch;
        self.is_attached = true;
        self.resume_deadline = None;
        self.statistics.attaches += 1;
        self.watch_attach(now);
        if self.peer_limits.is_none() {
            self.features = established.features;
        }
        self.learn_limits(established.peer_limits);
        self.begin_resume(now, established.resumed);
        Ok(())
    }

    /// First credit comes with the handshake; it only ever grows.
    fn learn_limits(&mut self, limits: SessionLimits) {
        if self.peer_limits.is_none() {
            self.open_credit = self.open_credit.max(limits.streams_max);
            self.credit.allow(limits.session_window_bytes);
            for stream in self.streams.values_mut() {
                stream.send.credit = stream.send.credit.max(limits.stream_window_bytes);
            }
            self.peer_limits = Some(limits);
        }
        self.unblock_open();
    }

    /// The connections are gone: with one of them, all. Nothing that was under way on them counts.
    pub fn detach(&mut self, now: Time) {
        self.watch_detach(now);
        self.is_attached = false;
        let links = std::mem::replace(&mut self.links, vec![LinkState::new(now)]);
        self.set.begin();
        self.resume_out = None;
        self.resume_in = None;
        for link in links {
            for stream in link.fence.into_streams() {
                self.end_fence(now, stream);
            }
        }
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

    /// When to send checksums behind bodies; off until both ends agreed.
    #[must_use]
    pub fn body_checksum(&self) -> BodyChecksum {
        match self.features.contains(Features::BODY_CHECKSUM) {
            true => self.config.body_checksum,
            false => BodyChecksum::Off,
        }
    }

    pub(crate) fn features(&self) -> Features {
        self.features
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    // --- looking -------------------------------------------------------------------------------

    /// How far a stream has got; `None` once it has ended.
    #[must_use]
    pub fn progress(&self, stream: StreamId) -> Option<StreamProgress> {
        self.streams.get(&stream).map(|state| state.progress())
    }

    /// Counters as they are now.
    #[must_use]
    pub fn statistics(&self) -> &SessionStatistics {
        &self.statistics
    }

    /// Streams the peer may have open at once.
    #[must_use]
    pub fn streams_max(&self) -> u64 {
        self.config.streams_max
    }

    /// Streams that have not ended.
    #[must_use]
    pub fn live_streams(&self) -> usize {
        self.streams.len()
    }

    // --- bookkeeping ---------------------------------------------------------------------------

    pub(crate) fn new_stream(&self) -> Box<Stream> {
        let send_credit = self
            .peer_limits
            .map_or(0, |limits| limits.stream_window_bytes);
        let receive_credit = self.config.stream_window_bytes;
        Box::new(Stream::new(self.set, send_credit, receive_credit))
    }

    /// Lines a stream up if it has something to send.
    pub(crate) fn queue(&mut self, stream: StreamId) {
        let waiting = self.streams.get(&stream).filter(|state| !state.is_queued);
        let Some(lane) = waiting.and_then(|state| state.send.lane()) else {
            return self.settle(stream);
        };
        let link = self.assign(stream);
        if let Some(state) = self.streams.get_mut(&stream)
            && let Some(link) = self.links.get_mut(link.index())
        {
            state.is_queued = true;
            link.ready.push(state.priority, lane, stream);
        }
    }

    pub(crate) fn release(&mut self, extents: impl IntoIterator<Item = Extent>) {
        for extent in extents {
            self.statistics.retained_bytes -= extent.cost;
            self.events.extend(extent.body.map(Event::Released));
        }
        if self.is_send_blocked && self.statistics.retained_bytes < self.retained_cap {
            self.is_send_blocked = false;
            self.events.push_back(Event::SendUnblocked);
        }
    }

    /// The peer has a stream up to here: what it frees is released, what landed is counted.
    pub(crate) fn acknowledge(&mut self, stream: StreamId, offset: u64, records: u64) {
        let mut released = std::mem::take(&mut self.released);
        if let Some(state) = self.streams.get_mut(&stream) {
            let landed = state.send.ack(offset, records, &mut released);
            self.statistics.unacked_bytes -= landed;
        }
        self.release(released.drain(..));
        self.released = released;
    }

    pub(crate) fn void_offer(&mut self, stream: StreamId) {
        for link in &mut self.links {
            if link.offer.is_some_and(|offer| offer.stream == stream) {
                link.offer = None;
            }
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
        if !self
            .streams
            .get(&stream)
            .is_some_and(|state| state.is_over())
        {
            return;
        }
        self.forget(now, stream);
    }

    pub(crate) fn forget(&mut self, now: Time, stream: StreamId) {
        self.renew(stream);
        self.settle_for_good(stream);
        let Some(mut state) = self.streams.remove(&stream) else {
            return;
        };
        self.owing.remove(&stream);
        self.ack_later.remove(&stream);
        self.void_offer(stream);
        self.statistics.unacked_bytes -= state.send.in_flight;
        self.watch_forget(now, state.send.credit_wait, state.receive.reader_wait);
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

    pub(crate) fn emit(&mut self, frame: &Frame, out: &mut Vec<u8>) {
        self.statistics.frames_sent += 1;
        frame.emit(out);
    }

    // --- events and timers ---------------------------------------------------------------------

    /// The next thing the application should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
