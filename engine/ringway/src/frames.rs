//! Frames by multishot receive: the shared buffers, and parsing.
//!
//! Whether bytes can be parsed at once or must wait for a write, and when the shared receive is
//! armed or ended, is decided here; what becomes of bodies lies in `arriving` and `sink`.

use crate::connection::{Body, Connection, ConnectionKey};
use crate::loss::Loss;
use crate::purpose::ConnectionOp;
use crate::session::SessionKey;
use crate::shard::Shard;
use bytes::Bytes;
use ringway_io::{BufferMut, Completion, Descriptor, Errno, Kernel, Op, Payload};
use ringway_proto::{Next, Violation};

/// A receive buffer of a connection's own, where there are no shared ones.
const OWN_BUFFER_BYTES: usize = 16 << 10;

/// Received bytes that wait for a write before they are parsed: beyond, receiving stops.
pub(crate) const BACKLOG_BYTES_MAX: usize = 256 << 10;

/// After so many frames without a large body, frames are received in bulk again.
pub(crate) const SMALL_FRAMES: u32 = 8;

impl<K: Kernel> Shard<K> {
    pub(crate) fn arm_frames(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        connection.ingress.is_direct = false;
        if connection.ingress.multishot.is_some() {
            return;
        }
        let socket = connection.socket.clone();
        // Arming without a free buffer fails at once even on an idle socket; not arming is what
        // turns starvation into backpressure.
        if self.is_starving() {
            if !self.starved.contains(&key) {
                self.starved.push_back(key);
            }
            return;
        }
        let op = self.frames_op(socket);
        let op = self.submit_on(key, ConnectionOp::Frames, op);
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.ingress.multishot = Some(op);
            connection.ingress.is_stopping = false;
        }
    }

    /// Whether a receive would end at once: no free buffer, or no slot for the op.
    fn is_starving(&self) -> bool {
        let (free, all) = self.kernel.provided_available();
        (free == 0 && all > 0) || self.is_short_of_slots()
    }

    /// A receive into the shared buffers, or where the kernel gave none (no locked memory is left
    /// for this user), one into a buffer of its own.
    pub(crate) fn frames_op(&self, socket: Descriptor) -> Op {
        if self.kernel.provided_available().1 > 0 {
            return Op::ReceiveMultishot { socket };
        }
        Op::Receive {
            socket,
            buffer: BufferMut::heap(vec![0; OWN_BUFFER_BYTES]),
            exact: false,
        }
    }

    /// Connections that found no free buffer or slot try again.
    pub(crate) fn feed_starved(&mut self) {
        for _ in 0..self.starved.len() {
            if self.is_starving() {
                break;
            }
            if let Some(key) = self.starved.pop_front() {
                self.advance_ingress(key);
            }
        }
    }

    pub(crate) fn stop_frames(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        if let Some(op) = connection.ingress.multishot
            && !connection.ingress.is_stopping
        {
            connection.ingress.is_stopping = true;
            self.kernel.cancel(op);
        }
    }

    pub(crate) fn on_frames(&mut self, key: ConnectionKey, completion: Completion) {
        let is_last = !completion.more;
        if let Some(bytes) = self.received_bytes(completion.payload, completion.result) {
            let is_busy = self.connections.get(key.0).is_none_or(|connection| {
                connection.is_dead
                    || connection.ingress.is_busy
                    || connection.ingress.is_waiting
                    || !connection.ingress.backlog.is_empty()
                    || !connection.ingress.writes.is_empty()
            });
            if is_busy {
                self.put_off(key, bytes);
            } else {
                self.take_bytes(key, &bytes);
            }
        }
        if is_last {
            self.frames_ended(key, completion.result);
        } else {
            self.advance_ingress(key);
        }
    }

    /// One copy out of a shared buffer, which goes back at once; pieces of the copy are shared from
    /// here on.
    fn received_bytes(&mut self, payload: Payload, result: Result<u32, Errno>) -> Option<Bytes> {
        match payload {
            Payload::Provided(buffer) => {
                let bytes = Bytes::copy_from_slice(self.kernel.provided(&buffer));
                self.kernel.recycle(buffer);
                Some(bytes)
            }
            Payload::Buffer(buffer) => {
                let count = result.ok().filter(|count| *count > 0)? as usize;
                Some(Bytes::copy_from_slice(&buffer.as_slice()[..count]))
            }
            _ => None,
        }
    }

    /// Keeps bytes until a write that must come first has ended. Bodies among them are bounded by
    /// credit; control frames are not, so beyond a bound nothing more is received.
    pub(crate) fn put_off(&mut self, key: ConnectionKey, bytes: Bytes) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        let backlog = &mut connection.ingress.backlog;
        backlog.push_back(bytes);
        let held: usize = backlog.iter().map(Bytes::len).sum();
        if held > BACKLOG_BYTES_MAX {
            self.stop_frames(key);
        }
    }

    pub(crate) fn frames_ended(&mut self, key: ConnectionKey, result: Result<u32, Errno>) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        connection.ingress.multishot = None;
        connection.ingress.is_direct |= connection.ingress.is_stopping;
        connection.ingress.is_stopping = false;
        match result {
            Ok(0) => self.lose_connection(key, Loss::PeerClosed),
            Ok(_) | Err(Errno::ECANCELED) => self.advance_ingress(key),
            Err(Errno::ENOBUFS) => {
                self.statistics.receive_starved += 1;
                self.advance_ingress(key);
            }
            Err(errno) => self.lose_connection(key, Loss::Receive(errno)),
        }
    }

    /// Takes received bytes: bodies in part or whole, frames in between.
    pub(crate) fn take_bytes(&mut self, key: ConnectionKey, bytes: &Bytes) {
        let mut at = 0;
        while at < bytes.len() {
            let Some(connection) = self.connections.get_mut(key.0) else {
                return;
            };
            if connection.is_dead {
                return;
            }
            if connection.ingress.is_waiting {
                connection.ingress.backlog.push_front(bytes.slice(at..));
                return;
            }
            if !connection.ingress.writes.is_empty() {
                // The rest waits until what belongs to a file is in it.
                connection.ingress.backlog.push_front(bytes.slice(at..));
                return;
            }
            if connection.ingress.gathered.is_some() {
                return self.gather_first(key, &bytes.slice(at..));
            }
            let taken = match &connection.ingress.body {
                Some(body) if body.remaining > 0 => {
                    let taken = self.take_body_bytes(key, &bytes.slice(at..));
                    self.statistics.received_by_copy_bytes += taken.unwrap_or(0) as u64;
                    taken
                }
                Some(_) => {
                    self.finish_body(key);
                    continue;
                }
                None => self.take_frame_bytes(key, &bytes[at..]),
            };
            match taken {
                Some(0) | None => return,
                Some(count) => at += count,
            }
        }
    }

    /// A verified body comes before what was received behind it.
    fn gather_first(&mut self, key: ConnectionKey, bytes: &Bytes) {
        let is_verified = |connection: &mut Connection| connection.ingress.gathered.is_none();
        let Some(count) = self.gather(key, bytes) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        if count < bytes.len() {
            let at = usize::from(is_verified(connection));
            let rest = bytes.slice(count..);
            connection.ingress.backlog.insert(at, rest);
        }
    }

    /// Parses frames; how many bytes were used, or nothing if the connection is gone.
    pub(crate) fn take_frame_bytes(&mut self, key: ConnectionKey, bytes: &[u8]) -> Option<usize> {
        let now = self.now();
        let owner = self.ingress_session(key)?;
        let connection = self.connections.get_mut(key.0)?;
        let link = connection.link;
        let session = self.sessions.get_mut(owner.0)?;
        let mut partial = std::mem::take(&mut connection.ingress.partial);
        let held = partial.len();
        let parsed = if held == 0 {
            session.proto.handle_bytes(now, link, bytes)
        } else {
            // Only what completes the header: the rest is parsed in place.
            let missing = connection.ingress.header_missing.max(1).min(bytes.len());
            partial.extend_from_slice(&bytes[..missing]);
            session.proto.handle_bytes(now, link, &partial)
        };
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(violation) => {
                self.violated(owner, &violation);
                return None;
            }
        };
        let given = if held == 0 {
            bytes.len()
        } else {
            partial.len()
        };
        let mut used = parsed.consumed.saturating_sub(held);
        if let Next::More(missing) = parsed.next {
            connection.ingress.header_missing = missing;
            let rest = parsed.consumed..given;
            let unparsed = if held == 0 {
                bytes[rest].to_vec()
            } else {
                partial[rest].to_vec()
            };
            used = given - held;
            connection.ingress.partial = unparsed;
        }
        if let Next::Body(incoming) = parsed.next {
            // A stream that this frame opened must be there before its bytes.
            self.drain_events(owner);
            let connection = self.connections.get_mut(key.0)?;
            connection.ingress.header_missing = 0;
            self.begin_body(key, Body::new(incoming));
        } else if parsed.next == Next::Wait {
            connection.ingress.header_missing = 0;
            connection.ingress.is_waiting = true;
            // What follows stays in the socket: the peer is pushed back.
            self.stop_frames(key);
        } else {
            connection.ingress.small_frames += 1;
            if connection.ingress.small_frames >= SMALL_FRAMES {
                connection.ingress.is_direct = false;
            }
        }
        self.mark_dirty(owner);
        Some(used)
    }

    pub(crate) fn violated(&mut self, owner: SessionKey, violation: &Violation) {
        let now = self.now();
        if let Some(session) = self.sessions.get_mut(owner.0) {
            tracing::warn!(session = %session.id, %violation, "the peer broke the protocol");
            session.proto.violated(now, violation.clone());
            self.mark_dirty(owner);
        }
    }
}
