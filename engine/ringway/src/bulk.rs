//! Bulk connections of a session: dialled when the protocol misses them, attached beside the message
//! connection, read no further while a body on them is ahead of its stream.
//!
//! They end with the message connection, and it with them (`end_connection`).

use ringway_io::{Descriptor, Kernel};
use ringway_proto::{Claim, Decision, Established, Incoming, Link, Refusal};

use crate::connection::{Body, Connection, ConnectionKey};
use crate::egress::{LONE_PIECE_BYTES, SHARED_PIECE_BYTES};
use crate::error::ConnectError;
use crate::session::SessionKey;
use crate::session_directory::Owner;
use crate::session_entry::SessionEntry;
use crate::shard::Shard;

/// So long after its last body the message connection is in use, ns: bodies on the bulk
/// connections leave in smaller pieces meanwhile.
const MESSAGES_ACTIVE_NS: u64 = 10_000_000;

impl<K: Kernel> Shard<K> {
    // --- attaching -----------------------------------------------------------------------------

    /// What to answer a peer that wants to attach a bulk connection.
    pub(crate) fn decide_attach(&self, claim: &Claim, owner: &Owner) -> Decision {
        let session = self.sessions.get(owner.key.0);
        let Some(session) = session.filter(|_| owner.belongs_to(&claim.peer)) else {
            return Decision::Refuse(Refusal::unknown_session(claim.session));
        };
        match session.proto.check_bulk(claim.epoch) {
            Ok(()) => Decision::Attach { epoch: claim.epoch },
            Err(refusal) => Decision::Refuse(refusal),
        }
    }

    pub(crate) fn attach_bulk(
        &mut self,
        key: SessionKey,
        socket: Descriptor,
        established: &Established,
    ) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(key.0) else {
            return self.linger_unattached(key, socket);
        };
        let link = match session.proto.attach_bulk(now, established) {
            Ok(link) => link,
            Err(error) => {
                // Its message connection was replaced, or is gone, since the handshake.
                tracing::debug!(session = %session.id, %error, "no bulk connection");
                return self.linger_unattached(key, socket);
            }
        };
        tracing::info!(session = %session.id, link = link.number(), "bulk connection attached");
        self.statistics.bulk_attached += 1;
        let route = self.kernel.route(&socket);
        let connection = Connection::new(key, (link, established.epoch), socket, route);
        let connection = ConnectionKey(self.connections.insert(connection));
        if let Some(session) = self.sessions.get_mut(key.0) {
            session.bulk.push(connection);
        }
        self.advance_ingress(connection);
        self.mark_dirty(key);
    }

    // --- dialling ------------------------------------------------------------------------------

    /// Dials a bulk connection that the protocol misses, one at a time.
    pub(crate) fn dial_missing_bulk(&mut self, key: SessionKey) {
        let is_missing = |session: &SessionEntry| {
            session.bulk_dial.is_none()
                && session.dial.is_none()
                && session.proto.bulk_missing() > 0
                && session.bulk_given_up != session.proto.epoch()
        };
        if self.sessions.get(key.0).is_some_and(is_missing) {
            self.dial_bulk(key);
        }
    }

    /// The peer will have no bulk connection in this epoch: bodies stay on the message connection.
    pub(crate) fn bulk_dial_failed(&mut self, key: SessionKey, error: &ConnectError) {
        if let Some(session) = self.sessions.get_mut(key.0) {
            tracing::info!(session = %session.id, %error, "no bulk connection");
            session.bulk_dial = None;
            session.bulk_given_up = session.proto.epoch();
        }
    }

    /// The session was closed here. A bulk connection that has begun to prove itself may be
    /// attached at the peer by now: a reset could overtake our last words on the message
    /// connection, and the peer would take the session for cut and wait for it to resume. So it
    /// goes on, and lingers then.
    pub(crate) fn cease_bulk_dial(&mut self, key: SessionKey) {
        let dial = self.sessions.get(key.0).and_then(|it| it.bulk_dial);
        if dial.is_some_and(|dial| !self.is_proving(dial)) {
            self.cancel_bulk_dial(key);
        }
    }

    pub(crate) fn cancel_bulk_dial(&mut self, key: SessionKey) {
        let session = self.sessions.get_mut(key.0);
        if let Some(dial) = session.and_then(|session| session.bulk_dial.take()) {
            self.cancel_dial(dial);
        }
    }

    // --- bodies that waited --------------------------------------------------------------------

    /// Goes on with bodies that may be taken now. Streams they belong to are there: events come
    /// first.
    pub(crate) fn take_arrivals(&mut self, key: SessionKey) {
        let now = self.now();
        while let Some(session) = self.sessions.get_mut(key.0)
            && let Some((link, arrival)) = session.proto.poll_arrival(now)
        {
            match arrival {
                Ok(incoming) => self.take_arrival(key, link, incoming),
                Err(violation) => self.violated(key, &violation),
            }
            self.drain_events(key);
        }
    }

    fn take_arrival(&mut self, key: SessionKey, link: Link, incoming: Incoming) {
        let session = self.sessions.get(key.0);
        let Some(connection) = session.and_then(|session| session.connection_of(link)) else {
            return;
        };
        if let Some(connection) = self.connections.get_mut(connection.0) {
            connection.ingress.is_waiting = false;
        }
        self.begin_body(connection, Body::new(incoming));
        self.advance_ingress(connection);
        self.mark_dirty(key);
    }

    // --- taking turns --------------------------------------------------------------------------

    /// A body was sent or received on the message connection.
    pub(crate) fn note_message(&mut self, key: SessionKey, link: Link) {
        let now_ns = self.now().as_ns();
        if let Some(session) = self.sessions.get_mut(key.0)
            && !link.is_bulk()
        {
            session.last_message_ns = now_ns;
        }
    }

    /// Whether a small message may come at any moment, and with it the wish not to stand behind
    /// much.
    pub(crate) fn has_messages(&self, session: &SessionEntry) -> bool {
        let since_ns = self.now().as_ns().saturating_sub(session.last_message_ns);
        session.last_message_ns > 0 && since_ns < MESSAGES_ACTIVE_NS
    }

    /// How large a piece of a body may be on this connection.
    pub(crate) fn piece_bytes(session: &SessionEntry, link: Link) -> u64 {
        let is_alone = session.bulk.is_empty() && session.streams.len() <= 1;
        match link.is_bulk() || is_alone {
            true => LONE_PIECE_BYTES,
            false => SHARED_PIECE_BYTES,
        }
    }
}
