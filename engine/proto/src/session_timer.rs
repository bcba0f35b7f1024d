//! What a session does because time passes: acks that waited, heartbeats, windows.

use std::time::Duration;

use crate::close_reason::CloseReason;
use crate::event::Event;
use crate::limit::STREAMS_PER_STEP;
use crate::link::{Link, LinkState};
use crate::session::Session;
use crate::status::Status;
use crate::time::Time;

/// A peer that asks for more heartbeats than this does not get them.
const HEARTBEAT_LEAST: Duration = Duration::from_millis(50);

/// Silence is told after two heartbeats, and where the peer was heard on another link, once more
/// after four.
const SILENCE_TOLD_MAX: u32 = 2;

impl Session {
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.closed.is_some() {
            return None;
        }
        let attached = |time| self.is_attached.then_some(time);
        let (heartbeat, ping) = (self.config.heartbeat, self.ping_interval());
        let told_max = self.silence_told_max();
        let sign = |link: &LinkState| link.next_timeout(heartbeat, ping, told_max);
        let liveness = self.links.iter().map(sign);
        [
            self.settling_since().and_then(attached),
            self.ack_deadline.and_then(attached),
            liveness.min().and_then(attached),
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
            self.owe_late_acks();
        }
        if self.is_attached {
            self.handle_heartbeat(now);
            self.go_on_settling(now);
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

    /// Acks that may wait no longer, a bounded number: the rest stays due.
    fn owe_late_acks(&mut self) {
        for _ in 0..STREAMS_PER_STEP {
            let Some(stream) = self.ack_later.pop_first() else {
                break;
            };
            self.owe_ack(stream);
        }
        if self.ack_later.is_empty() {
            self.ack_deadline = None;
        }
    }

    fn handle_heartbeat(&mut self, now: Time) {
        let (heartbeat, ping) = (self.config.heartbeat, self.ping_interval());
        let told_max = self.silence_told_max();
        for (index, link) in self.links.iter_mut().enumerate() {
            if now >= link.last_sent + ping {
                link.owes_ping = true;
                link.last_sent = now;
            }
            if link.listens(told_max) && now >= link.silent_at(heartbeat) {
                link.silence_told += 1;
                let link = Link::at(index);
                self.events.push_back(Event::PeerSilent { link });
            }
        }
    }

    /// The side that has less patience sets the pace: its own pings may stand behind a body that
    /// takes longer than it would wait for the answers.
    fn ping_interval(&self) -> Duration {
        let own = self.config.heartbeat;
        self.peer_limits.map_or(own, |peer| {
            let peer = Duration::from_millis(peer.heartbeat_ms);
            own.min(peer.max(HEARTBEAT_LEAST))
        })
    }

    /// Whether the peer is alive though nothing was heard on `link`: it was heard on another one
    /// within two heartbeats. Its signs of life on this one may stand behind the other's bytes in
    /// a queue on the way. After four the link is dead all the same.
    #[must_use]
    pub fn is_heard_beside(&self, now: Time, link: Link) -> bool {
        let others = self.links.iter().enumerate();
        let mut others = others.filter(|(index, _)| *index != link.index());
        let heartbeat = self.config.heartbeat;
        !self.is_dead(now, link) && others.any(|(_, it)| now < it.last_heard + heartbeat * 2)
    }

    fn silence_told_max(&self) -> u32 {
        match self.links.len() {
            1 => 1,
            _ => SILENCE_TOLD_MAX,
        }
    }

    /// Whether nothing was heard on `link` for so long that it is of no use, whoever is alive.
    #[must_use]
    pub fn is_dead(&self, now: Time, link: Link) -> bool {
        let longest = self.config.heartbeat * (2 * SILENCE_TOLD_MAX);
        let link = self.link(link);
        link.is_none_or(|link| now >= link.last_heard + longest)
    }

    /// Bytes arrived on `link` that cannot be reported as body yet: the peer is alive.
    pub fn heard(&mut self, now: Time, link: Link) {
        if let Some(state) = self.link_mut(link) {
            state.hear(now);
        }
    }
}

impl LinkState {
    /// When a heartbeat is due on it, or silence is to be told.
    fn next_timeout(&self, heartbeat: Duration, ping: Duration, told_max: u32) -> Time {
        let ping = self.last_sent + ping;
        match self.listens(told_max) {
            true => ping.min(self.silent_at(heartbeat)),
            false => ping,
        }
    }

    /// Silence on it would mean something: while a body waits, nothing is read.
    fn listens(&self, told_max: u32) -> bool {
        self.silence_told < told_max && self.waiting.is_none()
    }

    /// When silence is told the next time.
    fn silent_at(&self, heartbeat: Duration) -> Time {
        self.last_heard + heartbeat * (2 + 2 * self.silence_told)
    }
}
