//! What is watched while a session runs: how long it waits and for what, and how long a lost
//! connection was felt.
//!
//! ```text
//!   connection lost ──▶ attached ──▶ replay ──▶ first new body byte, sent or received
//!         └───────────────────── gap ────────────────────┘
//! ```
//!
//! A gap is told only if that byte comes within one heartbeat of the attach: after that, nobody
//! had anything to send, and the time says nothing about resuming.

use crate::event::Event;
use crate::id::StreamId;
use crate::session::Session;
use crate::session_report::StreamStatistics;
use crate::time::Time;
use crate::wait_clock::WaitClock;

/// What a session knows of its waits.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// When the connection was lost whose loss is not overcome yet.
    lost: Option<Time>,
    attached: Option<Time>,
    /// When the waits ended of streams that were not looked at since.
    detached: Option<Time>,
    /// Streams of which more could be sent if their credit allowed.
    credit_waits: u64,
    /// Streams whose peers have used up what was granted, because it is not read here.
    reader_waits: u64,
    reader_wait: WaitClock,
}

/// What keeps a session from sending bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendWait {
    /// Nothing: it may send.
    None,
    /// Everything accepted has been sent.
    Application,
    /// The peer's credit, of a stream or of the session.
    Credit,
    /// The cap on unacked bytes.
    Acks,
    /// There is no connection, or the peer has not stated what it has.
    Connection,
}

impl Session {
    /// What it waits for before it can send a body.
    #[must_use]
    pub fn send_wait(&self) -> SendWait {
        if !self.is_attached || self.resume_in.is_some() {
            return SendWait::Connection;
        }
        if self.links.iter().any(|link| link.offer.is_some()) {
            return SendWait::None;
        }
        let has_ready = |has_credit| {
            let mut links = self.links.iter();
            links.any(|link| link.ready.front(has_credit).is_some())
        };
        if has_ready(self.credit.room() > 0) {
            let is_capped = self.statistics.unacked_bytes >= self.config.unacked_bytes_max;
            return if is_capped {
                SendWait::Acks
            } else {
                SendWait::None
            };
        }
        let is_out_of_credit = self.watch.credit_waits > 0 || has_ready(true);
        match is_out_of_credit {
            true => SendWait::Credit,
            false => SendWait::Application,
        }
    }

    /// How long at least one stream's reader has kept the peer from sending, ns in all.
    #[must_use]
    pub fn reader_wait_ns(&self, now: Time) -> u64 {
        self.watch.reader_wait.total_ns(now)
    }

    /// Streams that wait for credit of their own, and streams whose readers keep the peer waiting.
    #[must_use]
    pub fn waiting_streams(&self) -> (u64, u64) {
        (self.watch.credit_waits, self.watch.reader_waits)
    }

    /// Session credit left: what may be sent, and what the peer may send, bytes.
    #[must_use]
    pub fn credit_left(&self) -> (u64, u64) {
        let [sent, allowed, received, _, granted] = self.credit.ledger();
        (
            allowed.saturating_sub(sent),
            granted.saturating_sub(received),
        )
    }

    /// Counters of a stream as they are now; `None` once it has ended.
    #[must_use]
    pub fn stream_statistics(&self, now: Time, stream: StreamId) -> Option<StreamStatistics> {
        let state = self.streams.get(&stream)?;
        let (send, receive) = (&state.send, &state.receive);
        let sending_now = match state.set == self.set {
            true => now,
            false => self.watch_detached(),
        };
        Some(StreamStatistics {
            accepted_bytes: send.accepted,
            sent_bytes: send.sent_max,
            acked_bytes: send.acked,
            consumed_by_peer_bytes: send.consumed,
            records_accepted: send.records,
            replayed_bytes: send.replayed,
            retained_bytes: send.retained_bytes(),
            send_credit_bytes: send.credit.saturating_sub(send.sent_max),
            credit_wait_ns: send.credit_wait.total_ns(sending_now),
            received_bytes: receive.received,
            consumed_bytes: receive.consumed,
            records_received: receive.records,
            receive_credit_bytes: receive.credit.saturating_sub(receive.received),
            reader_wait_ns: receive.reader_wait.total_ns(now),
        })
    }

    // --- what the other files call --------------------------------------------------------------

    pub(crate) fn watch_attach(&mut self, now: Time) {
        self.watch.attached = Some(now);
    }

    pub(crate) fn watch_detach(&mut self, now: Time) {
        if !self.is_attached || self.closed.is_some() {
            return;
        }
        self.watch.lost.get_or_insert(now);
        if self.resume_in.is_none() {
            // Else streams may still wait to be looked at since the loss before.
            self.watch.detached = Some(now);
        }
        self.watch.credit_waits = 0;
    }

    /// When a stream stopped to wait for credit that was last looked at on an older connection.
    pub(crate) fn watch_detached(&self) -> Time {
        self.watch.detached.unwrap_or_default()
    }

    /// A body byte was sent or received that never was before.
    pub(crate) fn watch_new_byte(&mut self, now: Time) {
        let Some(lost) = self.watch.lost.take() else {
            return;
        };
        let attached = self.watch.attached.unwrap_or(lost);
        if now.since(attached) <= self.config.heartbeat {
            let gap = now.since(lost);
            self.events.push_back(Event::Resumed { gap });
        }
    }

    /// The sending direction of a stream, or its credit, has changed.
    pub(crate) fn watch_credit(&mut self, now: Time, stream: StreamId) {
        self.renew(stream);
        let can_send = self.is_settled(stream);
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        let is_waiting = can_send && state.send.is_out_of_credit();
        let clock = &mut state.send.credit_wait;
        match (is_waiting, clock.is_running()) {
            (true, false) => {
                clock.start(now);
                self.watch.credit_waits += 1;
            }
            (false, true) => {
                clock.stop(now);
                self.watch.credit_waits -= 1;
            }
            _ => {}
        }
    }

    /// The receiving direction of a stream, or what its application took, has changed.
    pub(crate) fn watch_reader(&mut self, now: Time, stream: StreamId) {
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        let receive = &mut state.receive;
        match (
            receive.is_reader_awaited(),
            receive.reader_wait.is_running(),
        ) {
            (true, false) => {
                receive.reader_wait.start(now);
                self.watch.reader_waits += 1;
                self.watch.reader_wait.start(now);
            }
            (false, true) => {
                receive.reader_wait.stop(now);
                self.watch_reader_gone(now);
            }
            _ => {}
        }
    }

    fn watch_reader_gone(&mut self, now: Time) {
        self.watch.reader_waits -= 1;
        if self.watch.reader_waits == 0 {
            self.watch.reader_wait.stop(now);
        }
    }

    /// A stream is forgotten, with these clocks of its two directions.
    pub(crate) fn watch_forget(&mut self, now: Time, credit: WaitClock, reader: WaitClock) {
        self.watch.credit_waits -= u64::from(credit.is_running());
        if reader.is_running() {
            self.watch_reader_gone(now);
        }
    }
}
