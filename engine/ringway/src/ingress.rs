//! The receiving half of a connection: frames to the protocol, bodies to where they belong.
//!
//! Two ways (see the picture at [`crate::connection::Ingress`]). Small frames arrive by a
//! multishot receive into shared buffers and are copied out within the turn. Once a large body is
//! announced, the multishot is ended, and the body is received directly into the application's
//! buffer, into a lease, or through pipes into a file; headers in between are received exactly.
//!
//! The protocol is told of body bytes (`handle_body`) only when they are in memory or in the file:
//! an ack means copied. Nothing behind a body is parsed before all of it is told.

use ringway_io::{Completion, Kernel, Payload};

use crate::connection::{Connection, ConnectionKey};
use crate::purpose::ConnectionOp;
use crate::session::SessionKey;
use crate::session_entry::SessionEntry;
use crate::shard::Shard;

/// From this many bytes of a body still to come, leaving the shared buffers pays: below, the
/// extra receive costs more than the copy.
pub(crate) const DIRECT_BYTES_MIN: u64 = 32 << 10;

/// One direct receive into memory of ours: a whole frame (measured: a tenth less CPU than 256 KiB).
pub(crate) const PIECE_BYTES: u64 = 1 << 20;

impl<K: Kernel> Shard<K> {
    pub(crate) fn ingress_session(&self, key: ConnectionKey) -> Option<SessionKey> {
        let connection = self.connections.get(key.0)?;
        let is_alive = !connection.is_dead && !connection.is_lingering;
        is_alive.then_some(connection.session)
    }

    /// Goes on receiving, after whatever stopped it.
    pub(crate) fn resume_ingress(&mut self, session: SessionKey) {
        let session = self.sessions.get(session.0);
        for connection in session.map(SessionEntry::connections).unwrap_or_default() {
            self.advance_ingress(connection);
        }
    }

    /// Starts whatever receive comes next, if none is under way.
    pub(crate) fn advance_ingress(&mut self, key: ConnectionKey) {
        loop {
            let Some(connection) = self.connections.get_mut(key.0) else {
                return;
            };
            let ingress = &mut connection.ingress;
            let is_off = connection.is_dead || connection.is_lingering;
            if is_off || ingress.is_busy || ingress.is_waiting {
                return;
            }
            if !ingress.writes.is_empty() {
                return self.write_next(key);
            }
            if let Some(bytes) = ingress.backlog.pop_front() {
                self.take_bytes(key, &bytes);
                continue;
            }
            match &ingress.body {
                Some(body) if body.remaining == 0 => {
                    if connection.sink_held() > 0 {
                        return self.pump_sink(key);
                    }
                    self.finish_body(key);
                }
                Some(body) if ingress.multishot.is_none() => {
                    let is_large = body.remaining >= DIRECT_BYTES_MIN || ingress.is_direct;
                    if is_large {
                        self.receive_body(key);
                    } else {
                        self.arm_frames(key);
                    }
                    return;
                }
                Some(body) => {
                    let is_large = body.remaining >= DIRECT_BYTES_MIN;
                    if is_large {
                        self.stop_frames(key);
                    }
                    return;
                }
                None if ingress.is_direct && ingress.multishot.is_none() => {
                    return self.receive_header(key);
                }
                None => return self.arm_frames(key),
            }
        }
    }

    pub(crate) fn set_busy(&mut self, key: ConnectionKey, is_busy: bool) {
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.ingress.is_busy = is_busy;
        }
    }

    pub(crate) fn on_ingress_op(
        &mut self,
        key: ConnectionKey,
        kind: ConnectionOp,
        completion: Completion,
    ) {
        match kind {
            ConnectionOp::Frames => self.on_frames(key, completion),
            ConnectionOp::Header => self.on_header(key, completion),
            ConnectionOp::Body => self.on_body(key, completion),
            ConnectionOp::SinkWrite => self.on_sink_write(key, &completion),
            ConnectionOp::SinkSplice => self.on_sink_splice(key, &completion),
            ConnectionOp::Readable => {
                if let Some(connection) = self.connections.get_mut(key.0) {
                    connection.ingress.sink.is_polling = false;
                }
                self.advance_ingress(key);
            }
            _ => self.discard(completion),
        }
    }

    /// An op of a dead connection has ended: only what it carries matters.
    pub(crate) fn on_dead_ingress_op(&mut self, key: ConnectionKey, completion: Completion) {
        match completion.payload {
            Payload::Provided(buffer) => self.kernel.recycle(buffer),
            Payload::Buffer(buffer) => self.place_body(key, buffer, 0),
            _ => {}
        }
    }
}

impl Connection {
    /// Bytes of the current body that are in pipes.
    pub(crate) fn sink_held(&self) -> u64 {
        let sink = &self.ingress.sink;
        let pipes = [&sink.filling, &sink.draining];
        pipes
            .into_iter()
            .flatten()
            .map(|(_, held)| u64::from(*held))
            .sum()
    }
}

pub(crate) fn usize_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
