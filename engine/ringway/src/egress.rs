//! The sending half of a connection: what the protocol offers, to the socket, in wire order.
//!
//! ```text
//!   offer ─▶ load (pipe, memory) ─▶ commit: header for what is held ─▶ queue ─▶ socket
//!            hot file: now                                            Inline, Pipe: non-blocking
//!            cold file: worker                                        Memory: an op
//! ```
//!
//! A header is written only for bytes already held: a file that shrinks afterwards cannot leave
//! a frame that nobody can finish. At most one body is being loaded and the queue holds at most
//! one body, so control never waits behind more than one piece.

use ringway_io::{BufferRef, Completion, Errno, Kernel, Op, Payload as OpPayload, Pipe, Readiness};
use ringway_proto::{BodyChecksum, Offer, Trailer, Transmit};

use crate::checked::trailer_bytes;
use crate::config::PathChoice;
use crate::connection::{Connection, ConnectionKey, Piece};
use crate::loss::Loss;
use crate::path_table::{BodySource, PathQuestion, explain_path};
use crate::payload::Payload;
use crate::purpose::ConnectionOp;
use crate::session::SessionKey;
use crate::shard::Shard;
use crate::statistics::BodyPath;

/// Inline bytes gathered before they are sent.
const INLINE_BYTES: usize = 64 << 10;

/// A body piece while other streams are active: a small message waits behind at most one
/// (measured: 256 KiB costs no visible throughput, 1 MiB puts 0.2 ms before every small message).
pub(crate) const SHARED_PIECE_BYTES: u64 = 256 << 10;

/// A body piece while nothing else is to be sent, and on a bulk connection: one pipe. Smaller ones
/// beside messages leave most of the cores to those: with 768 KiB the bulk kept 0.84 of its rate
/// alone, and the slowest in a hundred round trips took a tenth of a plain pair's all the same
/// (`--bench mixed`).
pub(crate) const LONE_PIECE_BYTES: u64 = 1 << 20;

/// What came of trying to move the front of the queue.
enum Push {
    /// It is gone.
    Done,
    /// The socket is full, or an op works for it.
    Waiting,
    /// The connection is.
    Lost,
}

/// What came of an offer.
pub(crate) enum Take {
    /// In the queue, or appended to the inline bytes.
    Taken,
    /// Being loaded.
    Loading,
    /// Not now: no pipe, no memory.
    Later,
    /// Not now: it is being read, and another may go first.
    Awaited,
}

impl<K: Kernel> Shard<K> {
    /// Sends as much as the socket takes.
    pub(crate) fn pump_egress(&mut self, key: ConnectionKey) {
        for _ in 0..self.steps(key) {
            let Some(connection) = self.connections.get(key.0) else {
                return;
            };
            let egress = &connection.egress;
            if connection.is_dead || egress.is_busy || egress.is_broken {
                return;
            }
            if connection.egress.queue.is_empty() {
                if !self.refill(key) {
                    return;
                }
                continue;
            }
            match self.push_front(key) {
                Push::Done => {}
                Push::Waiting | Push::Lost => return,
            }
        }
        // The socket takes everything at once: others have their turn first.
        if let Some(connection) = self.connections.get(key.0) {
            let session = connection.session;
            self.mark_dirty(session);
        }
    }

    /// How many steps a connection may go on at a time: a bulk connection beside messages has one
    /// piece of a body, in the three steps that it takes.
    fn steps(&self, key: ConnectionKey) -> usize {
        let connection = self.connections.get(key.0);
        let is_beside = connection.is_some_and(|connection| {
            let session = self.sessions.get(connection.session.0);
            connection.link.is_bulk() && session.is_some_and(|session| self.has_messages(session))
        });
        if is_beside { 3 } else { 64 }
    }

    /// Asks the protocol for what to send; true when there is something in the queue.
    pub(crate) fn refill(&mut self, key: ConnectionKey) -> bool {
        let mut out = Vec::new();
        let now = self.now();
        // The first body that was found not to be read yet: offered again, all others had a turn.
        let mut awaited = None;
        self.set_awaiting(key, false);
        loop {
            let Some(connection) = self.connections.get(key.0) else {
                return false;
            };
            let (owner, link) = (connection.session, connection.link);
            let is_loading = connection.egress.loading.is_some();
            let Some(session) = self.sessions.get(owner.0) else {
                return false;
            };
            let body_max = Self::piece_bytes(session, link);
            let Some(session) = self.sessions.get_mut(owner.0) else {
                return false;
            };
            match session.proto.poll_transmit(now, link, &mut out, body_max) {
                None => break,
                Some(Transmit::Control) => {}
                // The offer that is being loaded is void (its stream was reset). The next one has
                // to wait until its op has ended, or two would load at a time.
                Some(Transmit::Body(offer)) if is_loading => {
                    session.proto.withdraw(offer);
                    break;
                }
                Some(Transmit::Body(offer)) => match self.take_offer(key, offer, &mut out) {
                    Take::Taken | Take::Loading => {}
                    Take::Awaited if awaited.is_none_or(|body| body != offer.body) => {
                        awaited.get_or_insert(offer.body);
                        self.set_awaiting(key, true);
                    }
                    Take::Awaited | Take::Later => break,
                },
            }
            let has_body = self
                .connections
                .get(key.0)
                .is_some_and(|connection| !connection.egress.queue.is_empty());
            if out.len() >= INLINE_BYTES || has_body {
                break;
            }
        }
        self.queue_inline(key, out);
        self.connections
            .get(key.0)
            .is_some_and(|connection| !connection.egress.queue.is_empty())
    }

    fn set_awaiting(&mut self, key: ConnectionKey, is_awaiting: bool) {
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.egress.is_awaiting = is_awaiting;
        }
    }

    /// Puts inline bytes behind what is queued.
    pub(crate) fn queue_inline(&mut self, key: ConnectionKey, bytes: Vec<u8>) {
        if let Some(connection) = self.connections.get_mut(key.0)
            && !bytes.is_empty()
        {
            connection
                .egress
                .queue
                .push_back(Piece::Inline { bytes, sent: 0 });
        }
    }

    pub(crate) fn take_offer(
        &mut self,
        key: ConnectionKey,
        offer: Offer,
        out: &mut Vec<u8>,
    ) -> Take {
        let Some(connection) = self.connections.get(key.0) else {
            return Take::Later;
        };
        let owner = connection.session;
        let Some(session) = self.sessions.get(owner.0) else {
            return Take::Later;
        };
        let Some(retained) = session.bodies.get(&offer.body) else {
            tracing::error!(body = offer.body.0, "an offer names a body nobody has");
            return self.withdraw(connection.session, offer);
        };
        let epoch = session.proto.epoch().0;
        let payload = retained.payload.clone();
        if let Payload::File(range) = &payload
            && retained.verified_epoch != epoch
        {
            let file = range.file.descriptor().clone();
            return self.verify(key, offer, file);
        }
        // A checksum that is always wanted needs the bytes in our hands.
        let choice = match (session.proto.body_checksum(), session.path) {
            (BodyChecksum::Always, path) if path != PathChoice::Direct => PathChoice::Copy,
            (_, PathChoice::Direct) if !payload.is_direct_file() => PathChoice::Auto,
            (_, path) => path,
        };
        let question = self.question(connection, choice, payload.source(), offer.length);
        let path = explain_path(&question).path;
        match payload {
            Payload::File(range) => {
                if self.is_for_disk(owner, &offer, &range, choice)
                    && let Some(take) = self.take_direct(key, offer, &range, out)
                {
                    return take;
                }
                self.take_file(key, offer, &range, path, out)
            }
            Payload::Bytes(bytes) => {
                self.take_memory(key, offer, &BufferRef::Bytes(bytes), path, out)
            }
            Payload::Lease(lease) => {
                #[cfg(ringway_mutant = "lease_freed_at_notification")]
                self.retain_copy(key, offer.body, &lease);
                self.take_memory(key, offer, &BufferRef::Lease(lease), path, out)
            }
        }
    }

    /// The lease is its op's alone; what is sent again comes from elsewhere.
    #[cfg(ringway_mutant = "lease_freed_at_notification")]
    fn retain_copy(&mut self, key: ConnectionKey, body: ringway_proto::BodyId, bytes: &[u8]) {
        let owner = self.connections.get(key.0).map(|it| it.session);
        let session = owner.and_then(|owner| self.sessions.get_mut(owner.0));
        if let Some(retained) = session.and_then(|session| session.bodies.get_mut(&body)) {
            retained.payload = Payload::Bytes(bytes::Bytes::copy_from_slice(bytes));
        }
    }

    pub(crate) fn question(
        &self,
        connection: &Connection,
        choice: PathChoice,
        source: BodySource,
        length: u64,
    ) -> PathQuestion {
        PathQuestion {
            source,
            length,
            route: connection.route,
            choice,
            capabilities: self.kernel.capabilities(),
            copied_in_a_row: connection.egress.zero_copy.copied_in_a_row,
            avoided: connection.egress.zero_copy.avoided,
        }
    }

    pub(crate) fn withdraw(&mut self, owner: SessionKey, offer: Offer) -> Take {
        if let Some(session) = self.sessions.get_mut(owner.0) {
            session.proto.withdraw(offer);
        }
        Take::Later
    }

    /// Appends the header for `length` held bytes of the offer, which take `path`.
    /// False: the offer is void, the bytes are not to be sent.
    pub(crate) fn commit(
        &mut self,
        key: ConnectionKey,
        offer: Offer,
        length: u64,
        path: BodyPath,
        trailer: Trailer,
        out: &mut Vec<u8>,
    ) -> bool {
        let now = self.now();
        let owner = self
            .connections
            .get(key.0)
            .map(|connection| connection.session);
        let Some(session) = owner.and_then(|owner| self.sessions.get_mut(owner.0)) else {
            return false;
        };
        let replayed_before = session.proto.statistics().replayed_bytes;
        if !session.proto.commit(now, offer, length, trailer, out) {
            return false;
        }
        self.statistics.replayed_bytes +=
            session.proto.statistics().replayed_bytes - replayed_before;
        session.books.count_piece(path, length);
        self.statistics.body_bytes_sent += length;
        self.statistics.path_bytes.add(path, length);
        self.statistics.path_pieces.add(path, 1);
        self.statistics.bulk_body_bytes_sent += if offer.link.is_bulk() { length } else { 0 };
        if let Some(owner) = owner {
            self.note_message(owner, offer.link);
        }
        true
    }

    pub(crate) fn take_memory(
        &mut self,
        key: ConnectionKey,
        offer: Offer,
        buffer: &BufferRef,
        path: BodyPath,
        out: &mut Vec<u8>,
    ) -> Take {
        let start = usize::try_from(offer.body_offset).unwrap_or(usize::MAX);
        let length = usize::try_from(offer.length).unwrap_or(usize::MAX);
        let part = buffer.slice(start..start + length);
        if let (BodyPath::SpliceArena, BufferRef::Lease(lease)) = (path, &part) {
            return self.take_lease_by_splice(key, offer, lease, out);
        }
        self.note_zero_copy_choice(key, path);
        let trailer = self.trailer_for(key, path);
        if !self.commit(key, offer, length as u64, path, trailer, out) {
            return Take::Later;
        }
        if path == BodyPath::Coalesced {
            out.extend_from_slice(part.as_slice());
            if trailer == Trailer::Behind {
                out.extend_from_slice(&trailer_bytes(part.as_slice()));
            }
            return Take::Taken;
        }
        self.queue_memory(key, part, path, trailer, out);
        Take::Taken
    }

    /// Queues a body from memory, and its checksum behind it.
    pub(crate) fn queue_memory(
        &mut self,
        key: ConnectionKey,
        buffer: BufferRef,
        path: BodyPath,
        trailer: Trailer,
        out: &mut Vec<u8>,
    ) {
        let checksum = (trailer == Trailer::Behind).then(|| trailer_bytes(buffer.as_slice()));
        self.queue_inline(key, std::mem::take(out));
        let sent = 0;
        self.queue_piece(key, Piece::Memory { buffer, sent, path });
        if let Some(checksum) = checksum {
            self.queue_inline(key, checksum.to_vec());
        }
    }

    pub(crate) fn queue_piece(&mut self, key: ConnectionKey, piece: Piece) {
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.egress.queue.push_back(piece);
        }
    }

    pub(crate) fn note_zero_copy_choice(&mut self, key: ConnectionKey, path: BodyPath) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        let zero_copy = &mut connection.egress.zero_copy;
        if path == BodyPath::ZeroCopy {
            zero_copy.avoided = 0;
        } else if zero_copy.copied_in_a_row > 0 {
            zero_copy.avoided = zero_copy.avoided.saturating_add(1);
        }
    }

    pub(crate) fn take_lease_by_splice(
        &mut self,
        key: ConnectionKey,
        offer: Offer,
        lease: &ringway_io::Lease,
        out: &mut Vec<u8>,
    ) -> Take {
        let Some(pipe) = self.acquire_pipe() else {
            return self.take_lease_by_copy(key, offer, lease, out);
        };
        match self.kernel.splice_from_lease(lease, &pipe) {
            Ok(held) if held > 0 => {
                self.note_zero_copy_choice(key, BodyPath::SpliceArena);
                let lease = Some(lease.clone());
                self.queue_pipe(key, offer, pipe, held, lease, BodyPath::SpliceArena, out);
                Take::Taken
            }
            failed => {
                tracing::debug!(?failed, "a lease cannot be spliced; it is copied");
                self.kernel.release_pipe(pipe, true);
                self.take_lease_by_copy(key, offer, lease, out)
            }
        }
    }

    fn take_lease_by_copy(
        &mut self,
        key: ConnectionKey,
        offer: Offer,
        lease: &ringway_io::Lease,
        out: &mut Vec<u8>,
    ) -> Take {
        let part = BufferRef::Lease(lease.clone());
        let (path, length) = (BodyPath::Copy, part.len() as u64);
        if !self.commit(key, offer, length, path, Trailer::None, out) {
            return Take::Later;
        }
        self.queue_memory(key, part, path, Trailer::None, out);
        Take::Taken
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call each, all of them are the piece"
    )]
    pub(crate) fn queue_pipe(
        &mut self,
        key: ConnectionKey,
        offer: Offer,
        pipe: Pipe,
        held: u32,
        lease: Option<ringway_io::Lease>,
        path: BodyPath,
        out: &mut Vec<u8>,
    ) {
        if !self.commit(key, offer, u64::from(held), path, Trailer::None, out) {
            return self.kernel.release_pipe(pipe, false);
        }
        self.queue_inline(key, std::mem::take(out));
        self.queue_piece(key, Piece::Pipe { pipe, held, lease });
    }

    /// A pipe for a body on its way out. Nobody waits for one: a peer that reads nothing keeps its
    /// pipe for as long as it likes, and would keep all others from sending.
    pub(crate) fn acquire_pipe(&mut self) -> Option<Pipe> {
        let pipe = self.kernel.acquire_pipe();
        self.statistics.pipes_exhausted += u64::from(pipe.is_none());
        pipe
    }

    fn push_front(&mut self, key: ConnectionKey) -> Push {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return Push::Lost;
        };
        let more_follows = connection.egress.queue.len() > 1;
        match connection.egress.queue.front_mut() {
            None => Push::Done,
            Some(Piece::Inline { bytes, sent }) => {
                let socket = &connection.socket;
                match self.kernel.send_now(socket, &bytes[*sent..], more_follows) {
                    Ok(count) => {
                        *sent += count;
                        if *sent == bytes.len() {
                            connection.egress.queue.pop_front();
                        }
                        Push::Done
                    }
                    Err(errno) => self.blocked(key, errno),
                }
            }
            Some(Piece::Pipe { pipe, held, .. }) => {
                let socket = &connection.socket;
                match self
                    .kernel
                    .splice_to_socket(pipe, socket, *held, more_follows)
                {
                    Ok(0) => self.blocked(key, Errno::EPIPE),
                    Ok(count) => {
                        *held -= count.min(*held);
                        if *held == 0
                            && let Some(Piece::Pipe { pipe, .. }) =
                                connection.egress.queue.pop_front()
                        {
                            self.kernel.release_pipe(pipe, true);
                        }
                        Push::Done
                    }
                    Err(errno) => self.blocked(key, errno),
                }
            }
            Some(Piece::Memory { .. }) => self.submit_memory(key),
        }
    }

    fn blocked(&mut self, key: ConnectionKey, errno: Errno) -> Push {
        if errno != Errno::EAGAIN {
            self.send_failed(key, errno);
            return Push::Lost;
        }
        self.statistics.socket_blocked += 1;
        let Some(connection) = self.connections.get_mut(key.0) else {
            return Push::Lost;
        };
        connection.egress.is_busy = true;
        let op = Op::Poll {
            descriptor: connection.socket.clone(),
            readiness: Readiness::Writable,
        };
        self.submit_on(key, ConnectionOp::Writable, op);
        Push::Waiting
    }

    /// Nothing can be sent any more. If the peer does not read any longer, it may have closed the
    /// session, and its last words wait in our receive queue: as long as something is being
    /// received, that ends the connection. A failure of our own is no reason to wait for a peer
    /// that goes on speaking.
    pub(crate) fn send_failed(&mut self, key: ConnectionKey, errno: Errno) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        connection.egress.is_broken = true;
        let may_be_told = matches!(errno, Errno::EPIPE | Errno::ECONNRESET);
        let ingress = &connection.ingress;
        let is_receiving = ingress.multishot.is_some() || ingress.is_busy;
        if !is_receiving || !may_be_told {
            self.lose_connection(key, Loss::Send(errno));
        }
    }

    fn submit_memory(&mut self, key: ConnectionKey) -> Push {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return Push::Lost;
        };
        let Some(Piece::Memory { buffer, sent, path }) = connection.egress.queue.front() else {
            return Push::Lost;
        };
        let socket = connection.socket.clone();
        let rest = buffer.slice(*sent..buffer.len());
        let (kind, op) = match (path, rest) {
            (BodyPath::ZeroCopy, BufferRef::Lease(lease)) => {
                self.statistics.zero_copy_attempted += 1;
                if let Some(session) = self.sessions.get_mut(connection.session.0) {
                    session.books.zero_copy_attempted += 1;
                }
                let length = u32::try_from(lease.len()).unwrap_or(u32::MAX);
                let more_follows = false;
                let op = Op::SendZeroCopy {
                    socket,
                    lease,
                    more_follows,
                };
                (ConnectionOp::SendZeroCopy(length), op)
            }
            (_, buffer) => {
                let more_follows = false;
                let op = Op::Send {
                    socket,
                    buffer,
                    more_follows,
                };
                (ConnectionOp::Send, op)
            }
        };
        connection.egress.is_busy = true;
        self.submit_on(key, kind, op);
        Push::Waiting
    }

    pub(crate) fn on_egress_op(
        &mut self,
        key: ConnectionKey,
        kind: ConnectionOp,
        completion: Completion,
    ) {
        match kind {
            ConnectionOp::Writable => self.continue_egress(key, 0),
            ConnectionOp::Send => self.on_sent(key, completion.result),
            ConnectionOp::SendZeroCopy(length) => self.on_zero_copy(key, length, &completion),
            _ => self.on_loaded(key, kind, completion),
        }
        if let Some(owner) = self.ingress_session(key) {
            self.note_wait(owner);
        }
    }

    pub(crate) fn set_sending(&mut self, key: ConnectionKey, is_busy: bool) {
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.egress.is_busy = is_busy;
        }
    }

    /// The first completion frees the stream, the notification the buffer, which the op holds.
    pub(crate) fn on_zero_copy(
        &mut self,
        key: ConnectionKey,
        length: u32,
        completion: &Completion,
    ) {
        if let OpPayload::Notification { copied } = completion.payload {
            let Some(connection) = self.connections.get_mut(key.0) else {
                return;
            };
            let zero_copy = &mut connection.egress.zero_copy;
            match copied {
                Some(true) => {
                    zero_copy.copied_in_a_row += 1;
                    self.statistics.zero_copy_copied += 1;
                    if let Some(session) = self.sessions.get_mut(connection.session.0) {
                        session.books.zero_copy_copied += 1;
                    }
                    self.statistics.zero_copy_copied_bytes += u64::from(length);
                }
                Some(false) => zero_copy.copied_in_a_row = 0,
                None => {}
            }
            return;
        }
        match completion.result {
            // No memory for the notification, or not possible here: copied instead.
            Err(Errno::ENOMEM | Errno::EOPNOTSUPP) => self.copy_instead(key),
            result => self.on_sent(key, result),
        }
    }

    pub(crate) fn copy_instead(&mut self, key: ConnectionKey) {
        self.set_sending(key, false);
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.egress.zero_copy.copied_in_a_row += 1;
            if let Some(Piece::Memory { path, .. }) = connection.egress.queue.front_mut() {
                *path = BodyPath::Copy;
            }
        }
        self.pump_egress(key);
    }

    pub(crate) fn on_sent(&mut self, key: ConnectionKey, result: Result<u32, Errno>) {
        let count = match result {
            Ok(count) if count > 0 => count as usize,
            Ok(_) => return self.send_failed(key, Errno::EPIPE),
            Err(errno) => return self.send_failed(key, errno),
        };
        self.continue_egress(key, count);
    }

    /// The front of the queue has moved on by so many bytes; there is room for more.
    pub(crate) fn continue_egress(&mut self, key: ConnectionKey, count: usize) {
        self.set_sending(key, false);
        if let Some(connection) = self.connections.get_mut(key.0)
            && count > 0
            && let Some(Piece::Memory { buffer, sent, .. }) = connection.egress.queue.front_mut()
        {
            *sent += count;
            if *sent >= buffer.len() {
                connection.egress.queue.pop_front();
            }
        }
        self.pump_egress(key);
    }
}
