//! Bodies on their way in: copied from the shared buffers, or received directly into memory.
//!
//! The protocol is told of bytes only when they are where they belong: an ack means copied.

use crate::connection::{Body, ConnectionKey, Exact, FileWrite};
use crate::inbox::Chunk;
use crate::ingress::{DIRECT_BYTES_MIN, PIECE_BYTES, usize_of};
use crate::loss::Loss;
use crate::purpose::ConnectionOp;
use crate::receiving::Destination;
use crate::session::SessionKey;
use crate::shard::Shard;
use crate::sink::direct_length;
use crate::stream_entry::Request;
use bytes::Bytes;
use ringway_io::{BufferMemory, BufferMut, Capability, Completion, Errno, Kernel, Op, Payload};
use ringway_proto::StreamId;

/// Where no piece of the arena is free for all of a receive, so much at a time.
const PIECE_BYTES_LEAST: usize = 256 << 10;

/// Pieces below this are copied into memory of their own when they wait in an inbox.
pub(crate) const SMALL_BYTES: usize = 4 << 10;

impl<K: Kernel> Shard<K> {
    pub(crate) fn begin_body(&mut self, key: ConnectionKey, body: Body) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        if body.remaining >= DIRECT_BYTES_MIN {
            connection.ingress.small_frames = 0;
        } else {
            connection.ingress.small_frames += 1;
        }
        let (owner, link) = (connection.session, connection.link);
        self.note_message(owner, link);
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        self.statistics.duplicate_bytes += body.skip;
        let (is_empty, is_large) = (body.remaining == 0, body.remaining >= DIRECT_BYTES_MIN);
        if body.incoming.trailer {
            // At most a frame's body: the protocol has checked its length.
            let whole = usize_of(body.remaining) + ringway_proto::TRAILER_BYTES;
            connection.ingress.gathered = Some(Vec::with_capacity(whole));
        }
        connection.ingress.body = Some(body);
        if is_empty {
            self.take_empty_body(key);
        } else if is_large {
            // Now, not once what is in hand is stored: meanwhile more would arrive to be copied.
            self.stop_frames(key);
        }
    }

    /// A body of no bytes: an empty record, or only the end of the stream.
    pub(crate) fn take_empty_body(&mut self, key: ConnectionKey) {
        let Some(owner) = self.ingress_session(key) else {
            return;
        };
        let connection = self.connections.get_mut(key.0);
        let Some(body) = connection.and_then(|connection| connection.ingress.body.take()) else {
            return;
        };
        let stream = body.incoming.stream;
        if body.incoming.end_of_record
            && let Some(entry) = self.stream_mut(owner, stream)
            && !entry.is_discarding
        {
            entry.shared.inbox.push(Chunk {
                bytes: Bytes::new(),
                offset: body.at,
                end_of_record: true,
            });
        }
        if self.body_stored(key, 0) {
            self.serve_requests(owner, stream);
        }
    }

    /// Takes the bytes of the current body that are in hand.
    pub(crate) fn take_body_bytes(&mut self, key: ConnectionKey, bytes: &Bytes) -> Option<usize> {
        let owner = self.ingress_session(key)?;
        let body = self.connections.get(key.0)?.ingress.body.clone()?;
        let stream = body.incoming.stream;
        let here = bytes.len().min(usize_of(body.remaining));
        if body.skip > 0 {
            let count = here.min(usize_of(body.skip));
            self.body_taken(key, count as u64, true);
            return self.body_stored(key, count as u64).then_some(count);
        }
        match self.destination(owner, stream) {
            Destination::Nowhere => {
                self.body_taken(key, here as u64, false);
                // What a reset has overtaken was given back with the reset.
                let is_discarding = self.is_discarding(owner, stream);
                // Received first: what is not received cannot be consumed, and would never be.
                if !self.body_stored(key, here as u64) {
                    return None;
                }
                if is_discarding {
                    self.consume(owner, stream, here as u64);
                }
                Some(here)
            }
            Destination::Inbox | Destination::InboxThenFile => {
                self.put_into_inbox(key, owner, &body, bytes.slice(..here));
                if !self.body_stored(key, here as u64) {
                    return None;
                }
                // Requests wait behind what a dropped future had put back.
                self.serve_requests(owner, stream);
                Some(here)
            }
            Destination::Buffer { room } => {
                let count = here.min(usize_of(room));
                self.copy_into_buffer(owner, stream, &bytes[..count]);
                let ends_record = self.body_taken(key, count as u64, false);
                if !self.body_stored(key, count as u64) {
                    return None;
                }
                self.buffer_filled(owner, stream, body.at, count, ends_record);
                Some(count)
            }
            Destination::File { offset, room, .. } => {
                let count = here.min(usize_of(room));
                let connection = self.connections.get_mut(key.0)?;
                connection.ingress.writes.push_back(FileWrite {
                    offset,
                    bytes: bytes.slice(..count),
                    lease_offset: None,
                });
                self.file_holds(owner, stream, count as u64);
                self.body_taken(key, count as u64, false);
                if cfg!(ringway_mutant = "body_acked_before_written") {
                    self.body_stored(key, count as u64);
                }
                Some(count)
            }
        }
    }

    fn is_discarding(&mut self, owner: SessionKey, stream: StreamId) -> bool {
        self.stream_mut(owner, stream)
            .is_some_and(|entry| entry.is_discarding)
    }

    pub(crate) fn put_into_inbox(
        &mut self,
        key: ConnectionKey,
        owner: SessionKey,
        body: &Body,
        bytes: Bytes,
    ) {
        let (stream, offset) = (body.incoming.stream, body.at);
        let end_of_record = self.body_taken(key, bytes.len() as u64, false);
        // A small piece must not pin the whole receive it came with while it waits.
        let bytes = if bytes.len() < SMALL_BYTES {
            Bytes::copy_from_slice(&bytes)
        } else {
            bytes
        };
        if let Some(entry) = self.stream_mut(owner, stream) {
            entry.shared.inbox.push(Chunk {
                bytes,
                offset,
                end_of_record,
            });
        }
    }

    pub(crate) fn copy_into_buffer(&mut self, owner: SessionKey, stream: StreamId, bytes: &[u8]) {
        let entry = self.stream_mut(owner, stream);
        if let Some(Request::Buffer(request)) = entry.and_then(|entry| entry.requests.front_mut())
            && let Some(buffer) = &mut request.buffer
        {
            let end = request.filled + bytes.len();
            buffer[request.filled..end].copy_from_slice(bytes);
        }
    }

    /// Body bytes were taken from the socket. True when they are the last of a record.
    pub(crate) fn body_taken(
        &mut self,
        key: ConnectionKey,
        count: u64,
        is_duplicate: bool,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return false;
        };
        let Some(body) = &mut connection.ingress.body else {
            return false;
        };
        body.remaining -= count;
        if is_duplicate {
            body.skip -= count;
        } else {
            body.at += count;
        }
        body.remaining == 0 && body.incoming.end_of_record
    }

    /// Body bytes are where they belong (or were of no use): the protocol may ack them.
    pub(crate) fn body_stored(&mut self, key: ConnectionKey, count: u64) -> bool {
        let now = self.now();
        let Some(owner) = self.ingress_session(key) else {
            return false;
        };
        let link = self
            .connections
            .get(key.0)
            .map(|connection| connection.link);
        let (Some(link), Some(session)) = (link, self.sessions.get_mut(owner.0)) else {
            return false;
        };
        let before = session.proto.statistics().received_bytes;
        let handled = session.proto.handle_body(now, link, count);
        // Not when it is announced: what a cut keeps from arriving is announced again.
        let received = session.proto.statistics().received_bytes - before;
        self.statistics.body_bytes_received += received;
        self.mark_dirty(owner);
        if let Err(violation) = handled {
            self.violated(owner, &violation);
            return false;
        }
        true
    }

    /// All of a body is stored: a header comes next.
    pub(crate) fn finish_body(&mut self, key: ConnectionKey) {
        self.close_sink(key);
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.ingress.body = None;
        }
    }

    pub(crate) fn receive_header(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get(key.0) else {
            return;
        };
        let missing = connection.ingress.header_missing;
        let wanted = if missing == 0 {
            ringway_proto::HEADER_BYTES
        } else {
            missing
        };
        let op = Op::Receive {
            socket: connection.socket.clone(),
            buffer: BufferMut::heap(vec![0; wanted]),
            exact: true,
        };
        self.receive_exactly(key, ConnectionOp::Header, op);
    }

    fn receive_exactly(&mut self, key: ConnectionKey, kind: ConnectionOp, op: Op) {
        self.set_busy(key, true);
        let op = self.submit_on(key, kind, op);
        if let Some(connection) = self.connections.get_mut(key.0) {
            let is_asked = false;
            connection.ingress.exact = Some(Exact { op, is_asked });
        }
    }

    /// An exact receive has ended. True if it was asked how far it got, and that was nowhere.
    fn is_found_silent(&mut self, key: ConnectionKey, completion: &Completion) -> bool {
        self.set_busy(key, false);
        let connection = self.connections.get_mut(key.0);
        let exact = connection.and_then(|connection| connection.ingress.exact.take());
        let is_asked = exact.is_some_and(|exact| exact.is_asked);
        is_asked && completion.result == Err(Errno::ECANCELED)
    }

    fn go_on_after_silence(&mut self, key: ConnectionKey) {
        if self.judge_silence(key) {
            self.advance_ingress(key);
        }
    }

    pub(crate) fn on_header(&mut self, key: ConnectionKey, completion: Completion) {
        let is_silent = self.is_found_silent(key, &completion);
        let Payload::Buffer(buffer) = completion.payload else {
            return self.lose_connection(key, Loss::Receive(Errno::EIO));
        };
        match completion.result {
            Ok(0) => self.lose_connection(key, Loss::PeerClosed),
            Ok(count) => {
                let bytes = Bytes::copy_from_slice(&buffer.as_slice()[..count as usize]);
                self.take_bytes(key, &bytes);
                self.advance_ingress(key);
            }
            Err(_) if is_silent => self.go_on_after_silence(key),
            Err(errno) => self.lose_connection(key, Loss::Receive(errno)),
        }
    }

    /// Receives the next part of the current body into the place it belongs.
    pub(crate) fn receive_body(&mut self, key: ConnectionKey) {
        let Some(owner) = self.ingress_session(key) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        connection.ingress.is_direct = true;
        let Some(body) = connection.ingress.body.clone() else {
            return;
        };
        if let Some(missing) = self.ungathered(key) {
            return self.receive_into_memory(key, missing.min(PIECE_BYTES));
        }
        let stream = body.incoming.stream;
        let destination = if body.skip > 0 {
            Destination::Nowhere
        } else {
            self.destination(owner, stream)
        };
        match destination {
            Destination::File { file, offset, room } if file.direct.is_some() => {
                let length = direct_length(offset, room.min(body.remaining));
                if length > 0 {
                    self.receive_into_memory(key, length);
                }
            }
            Destination::File { .. } if self.can_splice() => self.pump_sink(key),
            Destination::Buffer { room } => self.receive_into_buffer(key, owner, &body, room),
            // Goes on when the inbox is written.
            Destination::InboxThenFile => {}
            _ => {
                let limit = if body.skip > 0 {
                    body.skip
                } else {
                    body.remaining
                };
                self.receive_into_memory(key, limit.min(PIECE_BYTES));
            }
        }
    }

    pub(crate) fn can_splice(&self) -> bool {
        self.kernel.capabilities().has(Capability::Splice)
    }

    pub(crate) fn receive_into_buffer(
        &mut self,
        key: ConnectionKey,
        owner: SessionKey,
        body: &Body,
        room: u64,
    ) {
        let length = usize_of(room.min(body.remaining));
        let entry = self.stream_mut(owner, body.incoming.stream);
        let taken = entry.and_then(|entry| match entry.requests.front_mut() {
            Some(Request::Buffer(request)) => Some((request.buffer.take()?, request.filled)),
            _ => None,
        });
        let Some((memory, filled)) = taken else {
            return;
        };
        let buffer = BufferMut::heap(memory).with_range(filled..filled + length);
        self.submit_body_receive(key, buffer);
    }

    pub(crate) fn receive_into_memory(&mut self, key: ConnectionKey, length: u64) {
        let length = usize_of(length);
        let less = length.min(PIECE_BYTES_LEAST);
        let lent = self.kernel.lease(length).map(|lease| (lease, length));
        let lent = lent.or_else(|| self.kernel.lease(less).map(|lease| (lease, less)));
        let buffer = match lent {
            Some((lease, length)) => BufferMut::lease(lease, length),
            None => {
                self.statistics.leases_exhausted += 1;
                BufferMut::heap(vec![0; less])
            }
        };
        self.submit_body_receive(key, buffer);
    }

    pub(crate) fn submit_body_receive(&mut self, key: ConnectionKey, buffer: BufferMut) {
        let Some(connection) = self.connections.get(key.0) else {
            return;
        };
        let socket = connection.socket.clone();
        let op = Op::Receive {
            socket,
            buffer,
            exact: true,
        };
        self.receive_exactly(key, ConnectionOp::Body, op);
    }

    pub(crate) fn on_body(&mut self, key: ConnectionKey, completion: Completion) {
        let is_silent = self.is_found_silent(key, &completion);
        let count = completion.result.unwrap_or(0) as usize;
        if let Payload::Buffer(buffer) = completion.payload {
            self.place_body(key, buffer, count);
        }
        match completion.result {
            Ok(0) => self.lose_connection(key, Loss::PeerClosed),
            Ok(_) => self.advance_ingress(key),
            Err(_) if is_silent => self.go_on_after_silence(key),
            Err(errno) => self.lose_connection(key, Loss::Receive(errno)),
        }
    }

    /// Puts directly received bytes where they belong, or gives the application's buffer back to
    /// its request.
    pub(crate) fn place_body(&mut self, key: ConnectionKey, buffer: BufferMut, count: usize) {
        let Some(connection) = self.connections.get(key.0) else {
            return;
        };
        let (owner, body) = (connection.session, connection.ingress.body.clone());
        let Some(body) = body else { return };
        let stream = body.incoming.stream;
        let is_request = self.returns_buffer(owner, stream);
        if let (true, BufferMemory::Heap(_)) = (is_request, &buffer.memory) {
            return self.place_in_request(key, owner, &body, buffer, count);
        }
        if count == 0 {
            return;
        }
        if self.ungathered(key).is_some() {
            let bytes = frozen(buffer, count);
            return self.take_bytes(key, &bytes);
        }
        if body.skip > 0 {
            self.body_taken(key, count as u64, true);
            self.body_stored(key, count as u64);
            return;
        }
        self.statistics.received_direct_bytes += count as u64;
        let is_lease = matches!(buffer.memory, BufferMemory::Lease(_)) && buffer.range.start == 0;
        let bytes = frozen(buffer, count);
        self.take_all_body_bytes(key, bytes);
        let connection = self.connections.get_mut(key.0).filter(|_| is_lease);
        // There was none before: nothing is received while something is to be written.
        if let Some(write) = connection.and_then(|connection| connection.ingress.writes.front_mut())
        {
            write.lease_offset = Some(write.offset);
        }
    }

    /// Takes bytes of the current body to wherever they belong by now: a request may have come
    /// meanwhile, with room for a part of them.
    pub(crate) fn take_all_body_bytes(&mut self, key: ConnectionKey, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let Some(connection) = self.connections.get_mut(key.0) else {
                return;
            };
            if !connection.ingress.writes.is_empty() {
                return connection.ingress.backlog.push_front(bytes);
            }
            match self.take_body_bytes(key, &bytes) {
                Some(count) if count > 0 => bytes = bytes.slice(count..),
                _ => return,
            }
        }
    }

    pub(crate) fn returns_buffer(&mut self, owner: SessionKey, stream: StreamId) -> bool {
        let entry = self.stream_mut(owner, stream);
        entry.is_some_and(|entry| {
            matches!(entry.requests.front(), Some(Request::Buffer(request)) if request.buffer.is_none())
        })
    }

    pub(crate) fn place_in_request(
        &mut self,
        key: ConnectionKey,
        owner: SessionKey,
        body: &Body,
        buffer: BufferMut,
        count: usize,
    ) {
        let stream = body.incoming.stream;
        let entry = self.stream_mut(owner, stream);
        if let Some(Request::Buffer(request)) = entry.and_then(|entry| entry.requests.front_mut())
            && let BufferMemory::Heap(memory) = buffer.memory
        {
            request.buffer = Some(memory);
        }
        let is_dead = self.ingress_session(key).is_none();
        if count == 0 || is_dead {
            // It may be over, or forgotten, and was only kept for its buffer.
            self.serve_requests(owner, stream);
            return self.forget_detached(owner, stream);
        }
        let ends_record = self.body_taken(key, count as u64, false);
        self.statistics.received_direct_bytes += count as u64;
        if self.body_stored(key, count as u64) {
            self.buffer_filled(owner, stream, body.at, count, ends_record);
        }
    }
}

pub(crate) fn frozen(buffer: BufferMut, count: usize) -> Bytes {
    let start = buffer.range.start;
    match buffer.memory {
        BufferMemory::Heap(mut memory) => {
            memory.truncate(start + count);
            Bytes::from(memory).slice(start..)
        }
        BufferMemory::Lease(lease) => {
            let lease = lease.freeze(start + count);
            lease.into_bytes().slice(start..)
        }
    }
}
