//! What a session does because time passes: acks that waited, heartbeats, windows.

use crate::close_reason::CloseReason;
use crate::event::Event;
use crate::session::Session;
use crate::status::Status;
use crate::time::Time;

impl Session {
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
}
