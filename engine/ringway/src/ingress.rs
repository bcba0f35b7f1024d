//! The receiving half of a connection: frames to the protocol, bodies to where they belong.
//!
//! Two ways (see the picture at [`crate::connection::Ingress`]). Small frames arrive by a
//! multishot receive into shared buffers and are copied out within the turn. Once a large body is
//! announced, the multishot is ended, and the body is received directly into the application's
//! buffer, into a lease, or through pipes into a file; headers in between are received exactly.
//!
//! The protocol is told of body bytes (`handle_body`) only when they are in memory or in the file:
//! an ack means copied. Nothing behind a body is parsed before all of it is told.

use bytes::Bytes;
use ringway_io::{
    BufferMemory, BufferMut, BufferRef, Capability, Completion, Errno, Kernel, Op, Payload,
    Readiness,
};
use ringway_proto::{Next, StreamId, Violation};

use crate::connection::{Body, Connection, ConnectionKey};
use crate::inbox::Chunk;
use crate::purpose::ConnectionOp;
use crate::receiving::Destination;
use crate::session::SessionKey;
use crate::shard::Shard;
use crate::stream_entry::Request;

/// From this many bytes of a body still to come, leaving the shared buffers pays: below, the
/// extra receive costs more than the copy.
const DIRECT_BYTES_MIN: u64 = 32 << 10;

/// One direct receive into memory of ours.
const PIECE_BYTES: u64 = 256 << 10;

/// Pieces below this are copied into memory of their own when they wait in an inbox.
const SMALL_BYTES: usize = 4 << 10;

/// Received bytes that wait for a write before they are parsed: beyond, receiving stops.
const BACKLOG_BYTES_MAX: usize = 256 << 10;

/// After so many frames without a large body, frames are received in bulk again.
const SMALL_FRAMES: u32 = 8;

impl<K: Kernel> Shard<K> {
    fn ingress_session(&self, key: ConnectionKey) -> Option<SessionKey> {
        let connection = self.connections.get(key.0)?;
        let is_alive = !connection.is_dead && !connection.is_lingering;
        is_alive.then_some(connection.session)
    }

    /// Goes on receiving, after whatever stopped it.
    pub(crate) fn resume_ingress(&mut self, session: SessionKey) {
        let connection = self
            .sessions
            .get(session.0)
            .and_then(|entry| entry.connection);
        if let Some(connection) = connection {
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
            if connection.is_dead || connection.is_lingering || ingress.is_busy {
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

    // --- frames by multishot -------------------------------------------------------------------

    fn arm_frames(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        connection.ingress.is_direct = false;
        if connection.ingress.multishot.is_some() {
            return;
        }
        // Arming without a free buffer fails at once even on an idle socket; not arming is what
        // turns starvation into backpressure.
        if self.kernel.provided_available().0 == 0 {
            if !self.starved.contains(&key) {
                self.starved.push_back(key);
            }
            return;
        }
        let socket = connection.socket.clone();
        let op = self.submit_on(key, ConnectionOp::Frames, Op::ReceiveMultishot { socket });
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.ingress.multishot = Some(op);
            connection.ingress.is_stopping = false;
        }
    }

    /// Connections that found no free buffer try again.
    pub(crate) fn feed_starved(&mut self) {
        for _ in 0..self.starved.len() {
            if self.kernel.provided_available().0 == 0 {
                return;
            }
            if let Some(key) = self.starved.pop_front() {
                self.advance_ingress(key);
            }
        }
        for _ in 0..self.pipeless.len() {
            if let Some(key) = self.pipeless.pop_front() {
                self.advance_ingress(key);
                self.pump_egress(key);
            }
        }
    }

    fn stop_frames(&mut self, key: ConnectionKey) {
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

    fn on_frames(&mut self, key: ConnectionKey, completion: Completion) {
        let is_last = !completion.more;
        if let Payload::Provided(buffer) = completion.payload {
            let is_busy = self.connections.get(key.0).is_none_or(|connection| {
                connection.is_dead
                    || connection.ingress.is_busy
                    || !connection.ingress.backlog.is_empty()
                    || !connection.ingress.writes.is_empty()
            });
            // A copy only where the bytes cannot be taken at once; the common case borrows.
            let bytes = Bytes::copy_from_slice(self.kernel.provided(&buffer));
            self.kernel.recycle(buffer);
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

    /// Keeps bytes until a write that must come first has ended. Bodies among them are bounded by
    /// credit; control frames are not, so beyond a bound nothing more is received.
    fn put_off(&mut self, key: ConnectionKey, bytes: Bytes) {
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

    fn frames_ended(&mut self, key: ConnectionKey, result: Result<u32, Errno>) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        connection.ingress.multishot = None;
        connection.ingress.is_direct |= connection.ingress.is_stopping;
        connection.ingress.is_stopping = false;
        match result {
            Ok(0) => self.lose_connection(key, "the peer closed the connection"),
            Ok(_) | Err(Errno::ECANCELED) => self.advance_ingress(key),
            Err(Errno::ENOBUFS) => {
                self.statistics.receive_starved += 1;
                self.advance_ingress(key);
            }
            Err(errno) => self.lose_connection(key, &format!("receive: {errno}")),
        }
    }

    // --- parsing -------------------------------------------------------------------------------

    /// Takes received bytes: bodies in part or whole, frames in between.
    fn take_bytes(&mut self, key: ConnectionKey, bytes: &Bytes) {
        let mut at = 0;
        while at < bytes.len() {
            let Some(connection) = self.connections.get_mut(key.0) else {
                return;
            };
            if connection.is_dead {
                return;
            }
            if !connection.ingress.writes.is_empty() {
                // The rest waits until what belongs to a file is in it.
                connection.ingress.backlog.push_front(bytes.slice(at..));
                return;
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

    /// Parses frames; how many bytes were used, or nothing if the connection is gone.
    fn take_frame_bytes(&mut self, key: ConnectionKey, bytes: &[u8]) -> Option<usize> {
        let now = self.now();
        let owner = self.ingress_session(key)?;
        let connection = self.connections.get_mut(key.0)?;
        let session = self.sessions.get_mut(owner.0)?;
        let mut partial = std::mem::take(&mut connection.ingress.partial);
        let held = partial.len();
        let parsed = if held == 0 {
            session.proto.handle_bytes(now, bytes)
        } else {
            // Only what completes the header: the rest is parsed in place.
            let missing = connection.ingress.header_missing.max(1).min(bytes.len());
            partial.extend_from_slice(&bytes[..missing]);
            session.proto.handle_bytes(now, &partial)
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
            let body = Body {
                remaining: incoming.length,
                skip: incoming.skip,
                at: incoming.offset,
                incoming,
            };
            self.begin_body(key, body);
        } else {
            connection.ingress.small_frames += 1;
            if connection.ingress.small_frames >= SMALL_FRAMES {
                connection.ingress.is_direct = false;
            }
        }
        self.mark_dirty(owner);
        Some(used)
    }

    fn violated(&mut self, owner: SessionKey, violation: &Violation) {
        let now = self.now();
        if let Some(session) = self.sessions.get_mut(owner.0) {
            tracing::warn!(session = %session.id, %violation, "the peer broke the protocol");
            session.proto.violated(now, violation.clone());
            self.mark_dirty(owner);
        }
    }

    fn begin_body(&mut self, key: ConnectionKey, body: Body) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        if body.remaining >= DIRECT_BYTES_MIN {
            connection.ingress.small_frames = 0;
        } else {
            connection.ingress.small_frames += 1;
        }
        self.statistics.duplicate_bytes += body.skip;
        self.statistics.body_bytes_received += body.remaining - body.skip;
        let (is_empty, is_large) = (body.remaining == 0, body.remaining >= DIRECT_BYTES_MIN);
        connection.ingress.body = Some(body);
        if is_empty {
            self.take_empty_body(key);
        } else if is_large {
            // Now, not once what is in hand is stored: meanwhile more would arrive to be copied.
            self.stop_frames(key);
        }
    }

    /// A body of no bytes: an empty record, or only the end of the stream.
    fn take_empty_body(&mut self, key: ConnectionKey) {
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
    fn take_body_bytes(&mut self, key: ConnectionKey, bytes: &Bytes) -> Option<usize> {
        let owner = self.ingress_session(key)?;
        let body = self.connections.get(key.0)?.ingress.body.clone()?;
        let stream = body.incoming.stream;
        let here = bytes.len().min(usize_of(body.remaining));
        if body.skip > 0 {
            let count = here.min(usize_of(body.skip));
            self.body_taken(key, count as u64, true);
            return self.body_stored(key, count as u64).then_some(count);
        }
        let count = match self.destination(owner, stream) {
            Destination::Nowhere => {
                self.body_taken(key, here as u64, false);
                self.consume(owner, stream, here as u64);
                here
            }
            Destination::Inbox | Destination::InboxThenFile => {
                self.put_into_inbox(key, owner, &body, bytes.slice(..here));
                // Requests wait behind what a dropped future had put back.
                self.serve_requests(owner, stream);
                here
            }
            Destination::Buffer { room } => {
                let count = here.min(usize_of(room));
                self.copy_into_buffer(owner, stream, &bytes[..count]);
                let ends_record = self.body_taken(key, count as u64, false);
                if !self.body_stored(key, count as u64) {
                    return None;
                }
                self.buffer_filled(owner, stream, body.at, count, ends_record);
                return Some(count);
            }
            Destination::File { offset, room, .. } => {
                let count = here.min(usize_of(room));
                let connection = self.connections.get_mut(key.0)?;
                let write = (offset, bytes.slice(..count));
                connection.ingress.writes.push_back(write);
                self.file_holds(owner, stream, count as u64);
                self.body_taken(key, count as u64, false);
                return Some(count);
            }
        };
        self.body_stored(key, count as u64).then_some(count)
    }

    fn put_into_inbox(&mut self, key: ConnectionKey, owner: SessionKey, body: &Body, bytes: Bytes) {
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

    fn copy_into_buffer(&mut self, owner: SessionKey, stream: StreamId, bytes: &[u8]) {
        let entry = self.stream_mut(owner, stream);
        if let Some(Request::Buffer(request)) = entry.and_then(|entry| entry.requests.front_mut())
            && let Some(buffer) = &mut request.buffer
        {
            let end = request.filled + bytes.len();
            buffer[request.filled..end].copy_from_slice(bytes);
        }
    }

    /// Body bytes were taken from the socket. True when they are the last of a record.
    fn body_taken(&mut self, key: ConnectionKey, count: u64, is_duplicate: bool) -> bool {
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
    fn body_stored(&mut self, key: ConnectionKey, count: u64) -> bool {
        let now = self.now();
        let Some(owner) = self.ingress_session(key) else {
            return false;
        };
        let Some(session) = self.sessions.get_mut(owner.0) else {
            return false;
        };
        let handled = session.proto.handle_body(now, count);
        self.mark_dirty(owner);
        if let Err(violation) = handled {
            self.violated(owner, &violation);
            return false;
        }
        true
    }

    /// All of a body is stored: a header comes next.
    fn finish_body(&mut self, key: ConnectionKey) {
        self.close_sink(key);
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.ingress.body = None;
        }
    }

    // --- direct --------------------------------------------------------------------------------

    fn set_busy(&mut self, key: ConnectionKey, is_busy: bool) {
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.ingress.is_busy = is_busy;
        }
    }

    fn receive_header(&mut self, key: ConnectionKey) {
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
        self.set_busy(key, true);
        self.submit_on(key, ConnectionOp::Header, op);
    }

    fn on_header(&mut self, key: ConnectionKey, completion: Completion) {
        self.set_busy(key, false);
        let Payload::Buffer(buffer) = completion.payload else {
            return self.lose_connection(key, "a receive gave its buffer not back");
        };
        match completion.result {
            Ok(0) => self.lose_connection(key, "the peer closed the connection"),
            Ok(count) => {
                let bytes = Bytes::copy_from_slice(&buffer.as_slice()[..count as usize]);
                self.take_bytes(key, &bytes);
                self.advance_ingress(key);
            }
            Err(errno) => self.lose_connection(key, &format!("receive: {errno}")),
        }
    }

    /// Receives the next part of the current body into the place it belongs.
    fn receive_body(&mut self, key: ConnectionKey) {
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
        let stream = body.incoming.stream;
        let destination = if body.skip > 0 {
            Destination::Nowhere
        } else {
            self.destination(owner, stream)
        };
        match destination {
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

    fn can_splice(&self) -> bool {
        self.kernel.capabilities().has(Capability::Splice)
    }

    fn receive_into_buffer(
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

    fn receive_into_memory(&mut self, key: ConnectionKey, length: u64) {
        let length = usize_of(length);
        let buffer = match self.kernel.lease(length) {
            Some(lease) => BufferMut::lease(lease, length),
            None => {
                self.statistics.leases_exhausted += 1;
                BufferMut::heap(vec![0; length])
            }
        };
        self.submit_body_receive(key, buffer);
    }

    fn submit_body_receive(&mut self, key: ConnectionKey, buffer: BufferMut) {
        let Some(connection) = self.connections.get(key.0) else {
            return;
        };
        let socket = connection.socket.clone();
        let op = Op::Receive {
            socket,
            buffer,
            exact: true,
        };
        self.set_busy(key, true);
        self.submit_on(key, ConnectionOp::Body, op);
    }

    fn on_body(&mut self, key: ConnectionKey, completion: Completion) {
        self.set_busy(key, false);
        let count = completion.result.unwrap_or(0) as usize;
        if let Payload::Buffer(buffer) = completion.payload {
            self.place_body(key, buffer, count);
        }
        match completion.result {
            Ok(0) => self.lose_connection(key, "the peer closed the connection"),
            Ok(_) => self.advance_ingress(key),
            Err(errno) => self.lose_connection(key, &format!("receive: {errno}")),
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
        if body.skip > 0 {
            self.body_taken(key, count as u64, true);
            self.body_stored(key, count as u64);
            return;
        }
        self.statistics.received_direct_bytes += count as u64;
        let bytes = frozen(buffer, count);
        self.take_all_body_bytes(key, bytes);
    }

    /// Takes bytes of the current body to wherever they belong by now: a request may have come
    /// meanwhile, with room for a part of them.
    fn take_all_body_bytes(&mut self, key: ConnectionKey, mut bytes: Bytes) {
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

    fn returns_buffer(&mut self, owner: SessionKey, stream: StreamId) -> bool {
        let entry = self.stream_mut(owner, stream);
        entry.is_some_and(|entry| {
            matches!(entry.requests.front(), Some(Request::Buffer(request)) if request.buffer.is_none())
        })
    }

    fn place_in_request(
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

    // --- into a file ---------------------------------------------------------------------------

    /// Writes bytes that were copied from a receive buffer into their file.
    fn write_next(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get(key.0) else {
            return;
        };
        let owner = connection.session;
        let Some((offset, bytes)) = connection.ingress.writes.front().cloned() else {
            return;
        };
        let stream = connection
            .ingress
            .body
            .as_ref()
            .map(|body| body.incoming.stream);
        let destination = stream.map(|stream| (stream, self.destination(owner, stream)));
        let Some((_, Destination::File { file, .. })) = destination else {
            return self.write_is_unwanted(key, owner);
        };
        let op = Op::Write {
            file,
            offset,
            buffer: BufferRef::Bytes(bytes),
        };
        self.set_busy(key, true);
        let op = self.submit_on(key, ConnectionOp::SinkWrite, op);
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.worker = Some(op);
        }
    }

    /// The file was given up while bytes for it were in hand: nobody wants them.
    fn write_is_unwanted(&mut self, key: ConnectionKey, owner: SessionKey) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        let writes = std::mem::take(&mut connection.ingress.writes);
        let length = writes.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        if let Some(body) = &connection.ingress.body {
            let stream = body.incoming.stream;
            self.give_up_held(key, owner, stream, length);
        }
    }

    /// Bytes that were taken for a file go nowhere. A request is only given up midway when its
    /// stream is over or discards what arrives, so that nobody misses them.
    fn give_up_held(
        &mut self,
        key: ConnectionKey,
        owner: SessionKey,
        stream: StreamId,
        length: u64,
    ) {
        self.consume(owner, stream, length);
        self.file_lets_go(owner, stream);
        if self.body_stored(key, length) {
            self.advance_ingress(key);
        }
    }

    fn on_sink_write(&mut self, key: ConnectionKey, completion: &Completion) {
        self.set_busy(key, false);
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        connection.worker = None;
        let owner = connection.session;
        let stream = connection
            .ingress
            .body
            .as_ref()
            .map(|body| body.incoming.stream);
        let (Some(stream), Some((offset, bytes))) = (stream, connection.ingress.writes.pop_front())
        else {
            return;
        };
        let count = match completion.result {
            Ok(count) if count > 0 => count as usize,
            Ok(_) => 0,
            Err(errno) => {
                connection.ingress.writes.push_front((offset, bytes));
                self.sink_failed(owner, stream, errno);
                return self.write_is_unwanted(key, owner);
            }
        };
        if count < bytes.len() {
            let rest = (offset + count as u64, bytes.slice(count..));
            connection.ingress.writes.push_front(rest);
        }
        if self.body_stored(key, count as u64) {
            self.file_filled(owner, stream, count as u64);
            self.advance_ingress(key);
        }
    }

    /// Moves bytes socket → pipe here and pipe → file by a worker, with two pipes so that one is
    /// filled while the other is emptied.
    fn pump_sink(&mut self, key: ConnectionKey) {
        while self.fill_pipe(key) {}
        self.drain_pipe(key);
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        let sink = &connection.ingress.sink;
        let is_idle = sink.draining.is_none() && !sink.is_polling;
        let is_waiting = sink.filling.as_ref().is_some_and(|(_, held)| *held == 0);
        if is_idle && is_waiting && !connection.is_dead {
            self.poll_sink(key);
        }
    }

    fn poll_sink(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        connection.ingress.sink.is_polling = true;
        let descriptor = connection.socket.clone();
        let readiness = Readiness::Readable;
        let op = Op::Poll {
            descriptor,
            readiness,
        };
        self.submit_on(key, ConnectionOp::Readable, op);
    }

    /// One non-blocking splice from the socket; true when another may bring more.
    fn fill_pipe(&mut self, key: ConnectionKey) -> bool {
        let Some(owner) = self.ingress_session(key) else {
            return false;
        };
        let Some(body) = self
            .connections
            .get(key.0)
            .and_then(|c| c.ingress.body.clone())
        else {
            return false;
        };
        let stream = body.incoming.stream;
        let Destination::File { room, .. } = self.destination(owner, stream) else {
            return false;
        };
        let wanted = body.remaining.min(room);
        let Some(connection) = self.connections.get_mut(key.0) else {
            return false;
        };
        if wanted == 0 {
            return false;
        }
        if connection.ingress.sink.filling.is_none() {
            match self.kernel.acquire_pipe() {
                Some(pipe) => connection.ingress.sink.filling = Some((pipe, 0)),
                None => {
                    self.no_pipe(key, wanted);
                    return false;
                }
            }
        }
        let Some((pipe, held)) = &mut connection.ingress.sink.filling else {
            return false;
        };
        let length = wanted.min(u64::from(pipe.capacity - *held));
        if length == 0 {
            return false;
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        match self
            .kernel
            .splice_from_socket(&connection.socket, pipe, length)
        {
            Ok(0) => {
                self.lose_connection(key, "the peer closed the connection");
                false
            }
            Ok(count) => {
                *held += count;
                if let Some(body) = &mut connection.ingress.body {
                    body.remaining -= u64::from(count);
                    body.at += u64::from(count);
                }
                self.file_holds(owner, stream, u64::from(count));
                true
            }
            Err(Errno::EAGAIN) => false,
            Err(errno) => {
                self.lose_connection(key, &format!("splice from the socket: {errno}"));
                false
            }
        }
    }

    /// Without a pipe the bytes go through memory, unless one of ours is just being emptied.
    fn no_pipe(&mut self, key: ConnectionKey, wanted: u64) {
        self.statistics.pipes_exhausted += 1;
        let has_own = self
            .connections
            .get(key.0)
            .is_some_and(|connection| connection.ingress.sink.draining.is_some());
        if !has_own {
            self.receive_into_memory(key, wanted.min(PIECE_BYTES));
        }
    }

    /// Hands the filled pipe to a worker, if none is at work for this connection.
    fn drain_pipe(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        let owner = connection.session;
        let Some(stream) = connection
            .ingress
            .body
            .as_ref()
            .map(|body| body.incoming.stream)
        else {
            return;
        };
        if connection.is_dead || connection.ingress.sink.draining.is_some() {
            return;
        }
        if connection
            .ingress
            .sink
            .filling
            .as_ref()
            .is_none_or(|(_, held)| *held == 0)
        {
            return;
        }
        let Destination::File { file, offset, .. } = self.destination(owner, stream) else {
            return self.sink_given_up(key, owner, stream);
        };
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        let sink = &mut connection.ingress.sink;
        sink.draining = sink.filling.take();
        let Some((pipe, held)) = &sink.draining else {
            return;
        };
        let op = Op::SpliceToFile {
            pipe: pipe.read.clone(),
            file,
            offset,
            length: *held,
        };
        let op = self.submit_on(key, ConnectionOp::SinkSplice, op);
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.worker = Some(op);
        }
    }

    fn on_sink_splice(&mut self, key: ConnectionKey, completion: &Completion) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        connection.worker = None;
        let owner = connection.session;
        let stream = connection
            .ingress
            .body
            .as_ref()
            .map(|body| body.incoming.stream);
        let (Some(stream), Some((pipe, held))) = (stream, connection.ingress.sink.draining.take())
        else {
            return;
        };
        let count = match completion.result {
            Ok(count) if count > 0 => count.min(held),
            failed => {
                connection.ingress.sink.draining = Some((pipe, held));
                self.sink_failed(owner, stream, failed.err().unwrap_or(Errno::EIO));
                return self.sink_given_up(key, owner, stream);
            }
        };
        self.statistics.received_by_splice_bytes += u64::from(count);
        if count < held {
            connection.ingress.sink.draining = Some((pipe, held - count));
        } else if connection.ingress.sink.filling.is_none() {
            connection.ingress.sink.filling = Some((pipe, 0));
        } else {
            self.kernel.release_pipe(pipe, true);
        }
        if !self.body_stored(key, u64::from(count)) {
            return;
        }
        self.file_filled(owner, stream, u64::from(count));
        self.continue_sink(key, owner, stream);
    }

    /// After bytes reached the file: the rest of the pipe, more from the socket, or the next frame.
    fn continue_sink(&mut self, key: ConnectionKey, owner: SessionKey, stream: StreamId) {
        let rest = self.connections.get(key.0).and_then(|connection| {
            let (pipe, held) = connection.ingress.sink.draining.as_ref()?;
            Some((pipe.read.clone(), *held))
        });
        if let Some((pipe, length)) = rest {
            let Destination::File { file, offset, .. } = self.destination(owner, stream) else {
                return self.sink_given_up(key, owner, stream);
            };
            let op = Op::SpliceToFile {
                pipe,
                file,
                offset,
                length,
            };
            let op = self.submit_on(key, ConnectionOp::SinkSplice, op);
            if let Some(connection) = self.connections.get_mut(key.0) {
                connection.worker = Some(op);
            }
            return;
        }
        let held = self.connections.get(key.0).map_or(0, Connection::sink_held);
        let remaining = self
            .connections
            .get(key.0)
            .and_then(|connection| connection.ingress.body.as_ref())
            .map_or(0, |body| body.remaining);
        if held > 0 || remaining > 0 {
            self.receive_body_or_pump(key, held);
        } else {
            self.close_sink(key);
            self.advance_ingress(key);
        }
    }

    fn receive_body_or_pump(&mut self, key: ConnectionKey, held: u64) {
        if held > 0 {
            self.pump_sink(key);
        } else {
            self.advance_ingress(key);
        }
    }

    /// The body is whole: its (empty) pipes go back to the pool.
    fn close_sink(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        let sink = &mut connection.ingress.sink;
        for (pipe, held) in [sink.filling.take(), sink.draining.take()]
            .into_iter()
            .flatten()
        {
            self.kernel.release_pipe(pipe, held == 0);
        }
    }

    /// The file is of no use any more: neither is what the pipes hold for it.
    fn sink_given_up(&mut self, key: ConnectionKey, owner: SessionKey, stream: StreamId) {
        let held = self.connections.get(key.0).map_or(0, Connection::sink_held);
        self.close_sink(key);
        self.give_up_held(key, owner, stream, held);
    }

    // --- completions ---------------------------------------------------------------------------

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
    fn sink_held(&self) -> u64 {
        let sink = &self.ingress.sink;
        let pipes = [&sink.filling, &sink.draining];
        pipes
            .into_iter()
            .flatten()
            .map(|(_, held)| u64::from(*held))
            .sum()
    }
}

fn frozen(buffer: BufferMut, count: usize) -> Bytes {
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

fn usize_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
