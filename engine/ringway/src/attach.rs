//! Connections come to sessions and go.
//!
//! An ack means fenced: a new connection is attached only when nothing of an older one is read
//! any more and every op on it has completed. Until then it waits in `pending`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ringway_io::{Descriptor, Kernel, Pipe};
use ringway_proto::{
    Claim, CloseReason, Decision, Epoch, Established, Intent, Link, PeerIdentity, Refusal, Role,
    SessionId, Side,
};

use crate::Error;
use crate::admission::{key_is_full, limits_of};
use crate::config::PathChoice;
use crate::connection::{Connection, ConnectionKey, Piece};
use crate::dial::{DialFor, DialKey, nanoseconds};
use crate::error::ConnectError;
use crate::listener::ListenerShared;
use crate::loss::Loss;
use crate::session::{Session, SessionKey, SessionShared, SessionState};
use crate::session_books::SessionBooks;
use crate::session_directory::{Admission, Owner};
use crate::session_entry::{PendingAttach, Redial, SessionEntry};
use crate::shard::Shard;
use crate::statistics::BodyPath;

/// Ops that must be left in the kernel's table for a new session to be accepted.
const OPS_PER_SESSION: usize = 16;

impl<K: Kernel> Shard<K> {
    // --- deciding ------------------------------------------------------------------------------

    /// Which shard decides about the claimed session: its owner, or the next in turn for a new
    /// one.
    pub(crate) fn shard_of(&self, claim: &Claim) -> usize {
        match self.shared.find(claim.session) {
            Some(owner) => owner.shard,
            None if claim.intent == Intent::New => self.shared.place(),
            None => self.mailbox.index(),
        }
    }

    /// What to answer a peer that has proven who it is.
    pub(crate) fn decision(&mut self, claim: &Claim, listener: &Arc<ListenerShared>) -> Decision {
        match self.shared.find(claim.session) {
            Some(owner) if claim.intent == Intent::Attach => self.decide_attach(claim, &owner),
            Some(owner) => self.decide_resume(claim, &owner),
            None if claim.intent == Intent::New => self.decide_new(claim, listener),
            None => Decision::Refuse(Refusal::unknown_session(claim.session)),
        }
    }

    fn decide_resume(&self, claim: &Claim, owner: &Owner) -> Decision {
        let session = self.sessions.get(owner.key.0);
        match session {
            // Not the peer it belongs to: it learns nothing, not even that there is one.
            Some(_) if !owner.belongs_to(&claim.peer) => {
                Decision::Refuse(Refusal::unknown_session(claim.session))
            }
            Some(session)
                if session.proto.epoch() >= claim.epoch
                    && !cfg!(ringway_mutant = "stale_epoch_accepted") =>
            {
                Decision::Refuse(Refusal::stale_epoch(claim.epoch, session.proto.epoch()))
            }
            Some(_) => Decision::Resume { epoch: claim.epoch },
            None => Decision::Refuse(Refusal::unknown_session(claim.session)),
        }
    }

    fn decide_new(&mut self, claim: &Claim, listener: &Arc<ListenerShared>) -> Decision {
        let waiting_max = listener.options.sessions_waiting_max;
        // Each connection keeps a receive armed and has a few ops under way.
        let ops_max = self.kernel.limits().ops_max as usize;
        let is_busy = self.kernel.in_flight() + OPS_PER_SESSION > ops_max;
        let is_full = listener.sessions.len() >= waiting_max || is_busy || !self.has_room();
        if is_full {
            let (held, allowed) = (self.sessions.len(), self.config.sessions_max);
            return Decision::Refuse(Refusal::overloaded(held as u64, allowed as u64));
        }
        let (session, handle) = self.create_session(
            Side::Acceptor,
            claim.session,
            claim.peer.clone(),
            listener.options.path,
            None,
        );
        // The handle keeps the session alive until the listener's queue has one, or until the
        // connection breaks before that.
        let owner = Owner::new(self.mailbox.index(), session, &claim.peer);
        let limits = limits_of(claim, listener);
        let wanted = (limits, self.config.session.streams_max.max(1));
        let mut evicted = Vec::new();
        let admission = self
            .shared
            .admit(claim.session, owner, wanted, &mut evicted);
        self.evict_all(evicted, limits);
        let refusal = match admission {
            Admission::Admitted { streams, retained } => {
                if let Some(entry) = self.sessions.get_mut(session.0) {
                    entry.unclaimed = Some(handle);
                    entry.retained = retained;
                    entry.proto.limit_streams(streams);
                    entry.count_retained();
                }
                self.note_disconnected(session, true);
                // Its resume window runs from now on: the verdict may never arrive.
                self.mark_dirty(session);
                return Decision::New { epoch: claim.epoch };
            }
            // Two attempts of one dialer at the same time: the later one may try again.
            Admission::Taken => Refusal::stale_epoch(claim.epoch, claim.epoch),
            Admission::Full {
                what,
                held,
                allowed,
            } => key_is_full(what, held, allowed),
        };
        drop(self.sessions.remove(session.0));
        Decision::Refuse(refusal)
    }

    fn create_session(
        &mut self,
        side: Side,
        id: SessionId,
        peer: PeerIdentity,
        path: Option<PathChoice>,
        redial: Option<Redial>,
    ) -> (SessionKey, Session) {
        let config = self.config.session.clone();
        let now = self.now();
        let proto = ringway_proto::Session::new(side, id, config, now);
        let mailbox = self.mailbox.clone();
        let path = path.unwrap_or(self.config.path);
        let mut handle = None;
        let key = self.sessions.insert_with(|key| {
            let state = SessionState::Disconnected { attempts: 0 };
            let key = SessionKey(key);
            let shared = Arc::new(SessionShared::new(key, id, peer, mailbox, state));
            let session = Session::new(Arc::clone(&shared));
            let weak = session.downgrade();
            handle = Some(session);
            SessionEntry {
                id,
                side,
                proto,
                shared,
                handle: weak,
                unclaimed: None,
                path,
                connection: None,
                bulk: Vec::new(),
                fencing: Vec::new(),
                are_streams_told: false,
                pending: None,
                redial,
                dial: None,
                bulk_dial: None,
                bulk_given_up: Epoch(0),
                last_message_ns: 0,
                streams: BTreeMap::new(),
                books: SessionBooks::new(now),
                bodies: BTreeMap::new(),
                next_body: 0,
                opens: VecDeque::new(),
                drains: Vec::new(),
                reconnects: Vec::new(),
                is_dirty: false,
                timer_ns: None,
                evictable_since_ns: None,
                retained: None,
                has_attached: false,
            }
        });
        let handle = handle.expect("insert_with always makes the value");
        (SessionKey(key), handle)
    }

    // --- attaching -----------------------------------------------------------------------------

    pub(crate) fn on_dial_established(
        &mut self,
        dial: DialKey,
        socket: Descriptor,
        established: Established,
    ) {
        if self.is_unwanted(dial) {
            self.kernel.reset(&socket);
            return self.cancel_dial(dial);
        }
        let Some(dial) = self.finish_dial(dial) else {
            return self.kernel.reset(&socket);
        };
        match dial.purpose {
            DialFor::Resume(session) => self.attach(session, socket, established),
            DialFor::Attach(session) => self.attach_bulk(session, socket, &established),
            DialFor::Farewell(farewell) => self.say_farewell(&farewell, socket),
            DialFor::New(reply) => {
                let path = dial.redial.options.path;
                let (peer, redial) = (established.peer.clone(), Some(dial.redial));
                let (key, handle) =
                    self.create_session(Side::Dialer, dial.session, peer.clone(), path, redial);
                let owner = Owner::new(self.mailbox.index(), key, &peer);
                self.shared.insert(dial.session, owner);
                self.attach(key, socket, established);
                if let Some(reply) = reply {
                    // A caller that has gone drops the handle here, and that closes the session.
                    drop(reply.send(Ok(handle)));
                }
            }
        }
    }

    pub(crate) fn on_accept_established(
        &mut self,
        listener: &Arc<ListenerShared>,
        socket: Descriptor,
        established: Established,
    ) {
        let owner = self.shared.find(established.session);
        let Some(owner) = owner.filter(|owner| owner.shard == self.mailbox.index()) else {
            return self.kernel.reset(&socket);
        };
        if established.role == Role::Bulk {
            return self.attach_bulk(owner.key, socket, &established);
        }
        self.attach(owner.key, socket, established);
        let unclaimed = self.sessions.get_mut(owner.key.0);
        if let Some(handle) = unclaimed.and_then(|entry| entry.unclaimed.take()) {
            // A closed listener gives it back: dropping the handle closes the session.
            drop(listener.sessions.push(handle));
        }
    }

    fn attach(&mut self, key: SessionKey, socket: Descriptor, established: Established) {
        let Some(session) = self.sessions.get_mut(key.0) else {
            return self.kernel.reset(&socket);
        };
        let pending = PendingAttach {
            socket,
            established,
        };
        if let Some(older) = session.pending.replace(pending) {
            self.kernel.reset(&older.socket);
        }
        let current = session.connection;
        if let Some(dial) = session.dial.take() {
            // A connection came from elsewhere (the peer cannot dial: another attempt of ours).
            self.cancel_dial(dial);
        }
        if let Some(current) = current {
            self.end_connection(current, Loss::TakenOver);
        }
        self.attach_pending(key);
    }

    /// Attaches what waits, if nothing older is in the way.
    fn attach_pending(&mut self, key: SessionKey) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        let is_fenced = session.fencing.is_empty() || cfg!(ringway_mutant = "ack_before_fencing");
        if !is_fenced || session.connection.is_some() {
            return;
        }
        let Some(pending) = session.pending.take() else {
            return;
        };
        if let Err(error) = session.proto.attach(now, &pending.established) {
            tracing::warn!(session = %session.id, %error, "cannot attach");
            self.kernel.reset(&pending.socket);
            return self.mark_dirty(key);
        }
        let is_resume = std::mem::replace(&mut session.has_attached, true);
        session.books.resumes += u64::from(is_resume);
        let epoch = session.proto.epoch();
        session.shared.set_state(SessionState::Connected { epoch });
        for reply in session.reconnects.drain(..) {
            drop(reply.send(Ok(epoch)));
        }
        tracing::info!(session = %session.id, epoch = epoch.0, "attached");
        self.statistics.resumes += u64::from(is_resume);
        self.statistics.sessions_opened += u64::from(!is_resume);
        self.note_disconnected(key, false);
        let of_handshake = pending.established.epoch;
        let route = self.kernel.route(&pending.socket);
        let connection = Connection::new(key, (Link::MESSAGE, of_handshake), pending.socket, route);
        let connection = ConnectionKey(self.connections.insert(connection));
        if let Some(session) = self.sessions.get_mut(key.0) {
            session.connection = Some(connection);
        }
        self.advance_ingress(connection);
        self.mark_dirty(key);
    }

    // --- losing --------------------------------------------------------------------------------

    /// The connection is of no use any more, and with it all of its session: reset, cancelled,
    /// detached; gone when their ops are.
    pub(crate) fn end_connection(&mut self, key: ConnectionKey, cause: Loss) {
        let Some(connection) = self.connections.get(key.0).filter(|it| !it.is_dead) else {
            return;
        };
        let owner = connection.session;
        let session = self.sessions.get(owner.0);
        let attached = session.map(SessionEntry::connections).unwrap_or_default();
        if !attached.contains(&key) {
            // It lingers: its session is over.
            self.kill(key);
            return self.bury_connection(key);
        }
        for &each in &attached {
            self.kill(each);
        }
        self.cancel_bulk_dial(owner);
        let now = self.now();
        if let Some(session) = self.sessions.get_mut(owner.0) {
            tracing::info!(session = %session.id, %cause, "connection lost");
            self.statistics.connections_lost += 1;
            self.statistics.losses.count(cause);
            session.books.losses.count(cause);
            self.statistics.bulk_lost += session.bulk.len() as u64;
            session.connection = None;
            session.bulk.clear();
            session.fencing.extend(&attached);
            session.proto.detach(now);
            session
                .shared
                .set_state(SessionState::Disconnected { attempts: 0 });
        }
        self.note_disconnected(owner, true);
        self.mark_dirty(owner);
        for each in attached {
            self.bury_connection(each);
        }
    }

    /// Resets a connection and cancels what is under way on it.
    pub(crate) fn kill(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        if std::mem::replace(&mut connection.is_dead, true) {
            return;
        }
        let socket = connection.socket.clone();
        let by_id = [connection.worker, connection.loader];
        self.kernel.reset(&socket);
        self.kernel.cancel_all_on(&socket);
        for op in by_id.into_iter().flatten() {
            self.kernel.cancel(op);
        }
        self.rest_leases(key);
    }

    /// As [`end_connection`](Self::end_connection), and the dialing side tries again at once.
    pub(crate) fn lose_connection(&mut self, key: ConnectionKey, cause: Loss) {
        let session = self
            .connections
            .get(key.0)
            .map(|connection| connection.session);
        self.end_connection(key, cause);
        if let Some(session) = session {
            self.redial_if_needed(session);
        }
    }

    pub(crate) fn redial_if_needed(&mut self, key: SessionKey) {
        let is_needed = self.sessions.get(key.0).is_some_and(|session| {
            session.side == Side::Dialer && !session.is_reachable() && !session.proto.is_closed()
        });
        if is_needed {
            self.dial_again(key);
        }
    }

    /// Removes a dead connection once its last op has completed, and lets the next one attach.
    pub(crate) fn bury_connection(&mut self, key: ConnectionKey) {
        let is_over = |connection: &mut Connection| connection.is_dead && connection.ops == 0;
        if !self.connections.get_mut(key.0).is_some_and(is_over) {
            return;
        }
        let Some(connection) = self.connections.remove(key.0) else {
            return;
        };
        self.let_go_of_request(&connection);
        for pipe in pipes_of(&mut { connection.ingress.sink }, connection.egress) {
            self.kernel.release_pipe(pipe, false);
        }
        let owner = connection.session;
        if let Some(session) = self.sessions.get_mut(owner.0) {
            session.fencing.retain(|fenced| *fenced != key);
        }
        self.attach_pending(owner);
        self.forget_if_over(owner);
    }

    /// What a reset connection still had under way may sit in a device queue: its leases rest,
    /// so that no other session's bytes come to lie in them meanwhile.
    fn rest_leases(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get(key.0) else {
            return;
        };
        let mut leases = connection.unfenced.clone();
        for piece in &connection.egress.queue {
            match piece {
                Piece::Pipe {
                    lease: Some(lease), ..
                } => leases.push(lease.clone()),
                Piece::Memory {
                    buffer: ringway_io::BufferRef::Lease(lease),
                    path: BodyPath::ZeroCopy | BodyPath::SpliceArena,
                    ..
                } => leases.push(lease.clone()),
                _ => {}
            }
        }
        if let Some(session) = self.sessions.get(connection.session.0) {
            leases.extend(session.leases());
        }
        if !leases.is_empty() {
            let grace_ns = nanoseconds(self.config.reset_grace);
            let until_ns = self.kernel.now_ns().saturating_add(grace_ns);
            self.resting.entry(until_ns).or_default().extend(leases);
        }
    }

    // --- ends ----------------------------------------------------------------------------------

    pub(crate) fn announce_disconnected(&self, key: SessionKey, attempts: u32) {
        if let Some(session) = self.sessions.get(key.0)
            && session.connection.is_none()
        {
            session
                .shared
                .set_state(SessionState::Disconnected { attempts });
        }
    }

    /// The peer will not have the session any more.
    pub(crate) fn resume_failed(&mut self, key: SessionKey, error: &ConnectError) {
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        session.dial = None;
        let reason = match error {
            ConnectError::Refused { refusal, .. } => CloseReason::refused(refusal.clone()),
            other => CloseReason::unreachable(&other.to_string()),
        };
        self.end_session(key, &reason);
    }

    /// Ends a session for good: everybody who waits is told, everything it holds is let go.
    pub(crate) fn end_session(&mut self, key: SessionKey, reason: &CloseReason) {
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        if matches!(session.shared.state(), SessionState::Ended(_)) {
            return;
        }
        tracing::info!(session = %session.id, %reason, "session ended");
        self.close_books(key);
        self.leave_remains(key);
        self.statistics.sessions_ended += 1;
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        let id = session.id;
        session
            .shared
            .set_state(SessionState::Ended(reason.clone()));
        let (connection, dial) = (session.connection, session.dial.take());
        let pending = session.pending.take();
        let timer_ns = session.timer_ns.take();
        session.redial = None;
        self.shared.remove(id, key, self.mailbox.index());
        if let Some(at_ns) = timer_ns {
            self.timers
                .remove(at_ns, crate::timers::Timer::Session(key));
        }
        if let Some(pending) = pending {
            self.kernel.reset(&pending.socket);
        }
        if let Some(dial) = dial {
            self.cancel_dial(dial);
        }
        if let Some(connection) = connection {
            self.end_connection(connection, Loss::SessionEnded);
        }
        self.fail_streams(key, &Error::SessionEnded(reason.clone()));
        self.forget_if_over(key);
    }

    fn fail_streams(&mut self, key: SessionKey, error: &Error) {
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        session.are_streams_told = true;
        session.shared.streams.end(error.clone());
        session.bodies.clear();
        for (_, reply) in session.opens.drain(..) {
            drop(reply.send(Err(error.clone())));
        }
        for reply in session.drains.drain(..) {
            let _ = reply.send(());
        }
        for reply in session.reconnects.drain(..) {
            drop(reply.send(Err(error.clone())));
        }
        let streams = std::mem::take(&mut session.streams);
        for (id, stream) in streams {
            self.detach_stream(key, id, stream, error);
        }
    }

    /// Forgets an ended session once no op of its connections is in flight.
    fn forget_if_over(&mut self, key: SessionKey) {
        let is_over = self.sessions.get(key.0).is_some_and(|session| {
            matches!(session.shared.state(), SessionState::Ended(_))
                && session.are_streams_told
                && session.fencing.is_empty()
                && session.connection.is_none()
        });
        if is_over {
            drop(self.sessions.remove(key.0));
        }
    }

    /// At the end of the shard nobody is left waiting.
    pub(crate) fn fail_all_sessions(&mut self) {
        for key in self.sessions.keys() {
            let key = SessionKey(key);
            self.close_books(key);
            let reason = CloseReason::engine_stopped();
            self.leave_remains(key);
            if let Some(session) = self.sessions.get(key.0) {
                session.shared.set_state(SessionState::Ended(reason));
            }
            self.fail_streams(key, &Error::EngineStopped);
        }
    }
}

/// Every pipe a connection has; none of them is known to be empty.
fn pipes_of(sink: &mut crate::connection::Sink, egress: crate::connection::Egress) -> Vec<Pipe> {
    let mut pipes: Vec<Pipe> = [sink.filling.take(), sink.draining.take()]
        .into_iter()
        .flatten()
        .map(|(pipe, _)| pipe)
        .collect();
    pipes.extend(egress.loading.and_then(|loading| loading.pipe));
    for piece in egress.queue {
        if let Piece::Pipe { pipe, .. } = piece {
            pipes.push(pipe);
        }
    }
    pipes
}
