//! The last moments of a connection whose session we have closed.
//!
//! Closing a TCP socket with unread bytes in it, or resetting it, destroys what the peer has not
//! read yet: our close frame, with the reason in it. So our direction is shut once it is empty,
//! arriving bytes are discarded, and the connection ends when the peer closes, or after a bound.

use ringway_io::{Completion, Descriptor, Kernel, Payload, ShutdownHow};
use ringway_proto::{Epoch, Link};

use crate::connection::{Connection, ConnectionKey};
use crate::dial::Farewell;
use crate::purpose::ConnectionOp;
use crate::session::SessionKey;
use crate::session_entry::SessionEntry;
use crate::shard::Shard;
use crate::timers::Timer;

/// A peer that does not close its side is left after this, ns.
const LINGER_NS: u64 = 2_000_000_000;

/// What a peer may send beyond the session's window, bytes: what small streams may without credit
/// of the session (4096 of them a page each), control and headers included.
const BEYOND_WINDOW_BYTES: u64 = 16 << 20;

impl<K: Kernel> Shard<K> {
    /// Lets the session's message connection say its last words. Bulk connections say nothing, but
    /// must not end before the peer: it would take the session for cut, and resume it.
    pub(crate) fn linger(&mut self, owner: SessionKey) {
        let Some(session) = self.sessions.get_mut(owner.0) else {
            return;
        };
        let keys = session.connections();
        session.connection = None;
        session.bulk.clear();
        session.fencing.extend(&keys);
        // What the peer has not read yet still refers to them.
        let leases: Vec<_> = session.leases().collect();
        for &key in &keys {
            if let Some(connection) = self.connections.get_mut(key.0) {
                connection.is_lingering = true;
                connection.unfenced.clone_from(&leases);
            }
        }
        for key in keys {
            self.pump_egress(key);
            self.begin_linger(key);
        }
    }

    /// A bulk connection whose session was closed during its handshake: the peer may have attached
    /// it, so it lingers like the others.
    pub(crate) fn linger_unattached(&mut self, owner: SessionKey, socket: Descriptor) {
        let is_alive = |session: &mut SessionEntry| !session.proto.is_closed();
        if self.sessions.get_mut(owner.0).is_some_and(is_alive) {
            return self.kernel.reset(&socket);
        }
        let key = self.connect_lingering(owner, Link::new(1), socket);
        self.begin_linger(key);
    }

    /// A connection that is only there for last words.
    fn connect_lingering(
        &mut self,
        owner: SessionKey,
        link: Link,
        socket: Descriptor,
    ) -> ConnectionKey {
        let route = self.kernel.route(&socket);
        let mut connection = Connection::new(owner, (link, Epoch(0)), socket, route);
        connection.is_lingering = true;
        let key = ConnectionKey(self.connections.insert(connection));
        if let Some(session) = self.sessions.get_mut(owner.0) {
            session.fencing.push(key);
        }
        key
    }

    /// A connection that was dialled to tell the peer that its session is over.
    pub(crate) fn say_farewell(&mut self, farewell: &Farewell, socket: Descriptor) {
        let key = self.connect_lingering(farewell.session, Link::MESSAGE, socket);
        self.queue_inline(key, ringway_proto::close_frame(&farewell.reason));
        self.pump_egress(key);
        self.begin_linger(key);
    }

    fn begin_linger(&mut self, key: ConnectionKey) {
        let at_ns = self.kernel.now_ns() + LINGER_NS;
        self.timers.add(at_ns, Timer::Linger(key));
        self.shut_when_sent(key);
        self.discard_more(key);
    }

    /// Our direction of the message connection ends once everything queued has left.
    fn shut_when_sent(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.connections.get(key.0)
            && connection.egress.queue.is_empty()
            && !connection.link.is_bulk()
        {
            self.kernel.shutdown(&connection.socket, ShutdownHow::Send);
        }
    }

    /// Keeps a receive armed, to see the peer close.
    fn discard_more(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        let ingress = &connection.ingress;
        let is_receiving =
            ingress.multishot.is_some() || ingress.is_busy || ingress.sink.is_polling;
        if connection.is_dead || is_receiving {
            return;
        }
        let socket = connection.socket.clone();
        let (free, all) = self.kernel.provided_available();
        if free == 0 && all > 0 {
            return self.end_linger(key);
        }
        let op = self.frames_op(socket);
        let op = self.submit_on(key, ConnectionOp::Frames, op);
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.ingress.multishot = Some(op);
        }
    }

    /// An op of a lingering connection.
    pub(crate) fn on_lingering_op(
        &mut self,
        key: ConnectionKey,
        kind: ConnectionOp,
        completion: Completion,
    ) {
        let (is_last, result) = (!completion.more, completion.result);
        match completion.payload {
            Payload::Provided(buffer) => self.kernel.recycle(buffer),
            Payload::Buffer(buffer) if kind == ConnectionOp::Body => {
                self.place_body(key, buffer, 0);
            }
            _ => {}
        }
        if is_receive(kind) && !self.may_linger_on(key, result.unwrap_or(0)) {
            return self.end_linger(key);
        }
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        match kind {
            ConnectionOp::Writable | ConnectionOp::Send | ConnectionOp::SendZeroCopy(_) => {
                self.on_lingering_egress(key, kind, is_last, result);
            }
            ConnectionOp::Frames if is_last => {
                connection.ingress.multishot = None;
                // Nothing received and no reason to try again: the peer has closed, or it broke.
                let is_starved = result == Err(ringway_io::Errno::ENOBUFS)
                    || result == Err(ringway_io::Errno::ECANCELED);
                if matches!(result, Ok(0) | Err(_)) && !is_starved {
                    self.end_linger(key);
                } else {
                    self.discard_more(key);
                }
            }
            ConnectionOp::Frames => {}
            // They say nothing of the socket: a receive may be under way beside them.
            ConnectionOp::SinkSplice
            | ConnectionOp::Verify(_)
            | ConnectionOp::LoadSplice
            | ConnectionOp::LoadRead => {}
            ConnectionOp::Header
            | ConnectionOp::Body
            | ConnectionOp::SinkWrite
            | ConnectionOp::Readable => {
                connection.ingress.is_busy &= kind == ConnectionOp::Readable;
                connection.ingress.sink.is_polling &= kind != ConnectionOp::Readable;
                match result {
                    Ok(_) => self.discard_more(key),
                    Err(_) => self.end_linger(key),
                }
            }
        }
    }

    /// Counts what has arrived. More than the peer ever had credit for is not its last bytes before
    /// it hears of the end: it is left.
    fn may_linger_on(&mut self, key: ConnectionKey, bytes: u32) -> bool {
        let window_bytes = self.config.session.session_window_bytes;
        let bytes_max = window_bytes.saturating_add(BEYOND_WINDOW_BYTES);
        self.statistics.lingered_bytes += u64::from(bytes);
        let Some(connection) = self.connections.get_mut(key.0) else {
            return false;
        };
        connection.lingered_bytes += u64::from(bytes);
        connection.lingered_bytes <= bytes_max
    }

    fn on_lingering_egress(
        &mut self,
        key: ConnectionKey,
        kind: ConnectionOp,
        is_last: bool,
        result: Result<u32, ringway_io::Errno>,
    ) {
        match (kind, result) {
            (_, Err(_)) => self.end_linger(key),
            // The notification of a zero-copy send: its first completion came before.
            (ConnectionOp::SendZeroCopy(_), Ok(_)) if is_last => {}
            (ConnectionOp::Writable, Ok(_)) => {
                self.continue_egress(key, 0);
                self.shut_when_sent(key);
            }
            (_, Ok(count)) => {
                self.continue_egress(key, count as usize);
                self.shut_when_sent(key);
            }
        }
    }

    /// The peer has closed, or has had its time.
    pub(crate) fn end_linger(&mut self, key: ConnectionKey) {
        let is_lingering = |connection: &crate::connection::Connection| connection.is_lingering;
        if self.connections.get(key.0).is_some_and(is_lingering) {
            self.kill(key);
            self.bury_connection(key);
        }
    }
}

/// Its result counts bytes that were taken from the socket.
fn is_receive(kind: ConnectionOp) -> bool {
    matches!(
        kind,
        ConnectionOp::Frames | ConnectionOp::Header | ConnectionOp::Body
    )
}
