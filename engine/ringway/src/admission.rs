//! Whether there is room for a new session, and who makes it.
//!
//! At the bound of a shard, or of a key, the accepted session that has been longest without a
//! connection ends, and its application is told why. One with a connection never makes room.

use ringway_io::Kernel;
use ringway_proto::{Claim, CloseReason, Refusal, RefusalCode, Side};

use crate::key_limits::KeyLimits;
use crate::listener::ListenerShared;
use crate::session::SessionKey;
use crate::session_directory::Owner;
use crate::session_entry::SessionEntry;
use crate::shard::Shard;

impl<K: Kernel> Shard<K> {
    /// Makes room in this shard for one more session; false if there is none.
    pub(crate) fn has_room(&mut self) -> bool {
        let (held, allowed) = (self.sessions.len(), self.config.sessions_max);
        if held < allowed {
            return true;
        }
        let since = |key| Some((self.sessions.get(key)?.evictable_since_ns?, key));
        let oldest = self.sessions.keys().into_iter().filter_map(since).min();
        let Some((_, oldest)) = oldest else {
            return false;
        };
        self.evict(SessionKey(oldest), held as u64, allowed as u64);
        self.sessions.len() < allowed
    }

    /// Ends a session that makes room for another one.
    pub(crate) fn evict(&mut self, key: SessionKey, held: u64, allowed: u64) {
        let now = self.now();
        let reason = CloseReason::Evicted { held, allowed };
        if let Some(session) = self.sessions.get_mut(key.0) {
            self.statistics.sessions_evicted += 1;
            let status = ringway_proto::Status::new(
                ringway_proto::Status::SHUTTING_DOWN,
                &reason.to_string(),
            );
            // A connection that came in this moment is told; usually there is none.
            session.proto.close(now, status);
            if session.connection.is_some() {
                self.linger(key);
            }
            self.end_session(key, &reason);
        }
    }

    /// Tells the owners of evicted sessions.
    pub(crate) fn evict_all(&mut self, evicted: Vec<Owner>, limits: KeyLimits) {
        let allowed = limits.sessions.or(limits.streams).unwrap_or(0);
        for owner in evicted {
            match self.shared.shard(owner.shard) {
                Some(_) if owner.shard == self.mailbox.index() => {
                    self.evict(owner.key, allowed, allowed);
                }
                Some(mailbox) => mailbox.send(crate::message::Message::Evict {
                    session: owner.key,
                    allowed,
                }),
                None => {}
            }
        }
    }

    /// The session has lost its connection, or (`false`) has one again.
    pub(crate) fn note_disconnected(&mut self, key: SessionKey, is_disconnected: bool) {
        let now_ns = self.kernel.now_ns();
        if let Some(session) = self.sessions.get_mut(key.0)
            && session.side == Side::Acceptor
        {
            let since_ns = is_disconnected.then_some(now_ns);
            session.evictable_since_ns = since_ns;
            self.shared.set_disconnected(session.id, since_ns);
        }
    }
}

/// What the peer's key may take.
pub(crate) fn limits_of(claim: &Claim, listener: &ListenerShared) -> KeyLimits {
    match (listener.keys(), &claim.peer.key_id) {
        (Some(keys), Some(id)) => keys.limits_of(id),
        _ => KeyLimits::default(),
    }
}

/// What a peer is told whose key has nothing left.
pub(crate) fn key_is_full(what: &str, held: u64, allowed: u64) -> Refusal {
    let text = format!("{held} {what} of {allowed} allowed for this key");
    Refusal::new(RefusalCode::Overloaded, &text)
}

impl SessionEntry {
    /// Tells the key's other sessions what this one keeps, and takes what they leave.
    pub(crate) fn count_retained(&mut self) {
        if let Some(share) = &mut self.retained {
            let kept = self.proto.statistics().retained_bytes;
            let allowed = share.count(kept);
            self.proto.cap_retained(allowed);
        }
    }
}
