//! Bodies on their way into a file: spliced through pipes, or written from memory.
//!
//! ```text
//! socket ──splice, now──▶ filling pipe      draining pipe ──splice, worker──▶ file
//!                              └────── swap ──────▶ ┘
//! ```
//!
//! The socket leg never uses a worker: as many stalled peers as workers would stop every healthy
//! transfer.

use std::sync::Arc;

use crate::connection::{Connection, ConnectionKey, FileWrite};
use crate::file::OpenFile;
use crate::ingress::PIECE_BYTES;
use crate::loss::Loss;
use crate::purpose::ConnectionOp;
use crate::read_ahead::DIRECT_UNIT;
use crate::receiving::Destination;
use crate::session::SessionKey;
use crate::shard::Shard;
use crate::stream_entry::Request;
use ringway_io::{BufferRef, Completion, Errno, Kernel, Op, Readiness};
use ringway_proto::StreamId;

impl<K: Kernel> Shard<K> {
    /// Writes bytes that were copied from a receive buffer into their file.
    pub(crate) fn write_next(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get(key.0) else {
            return;
        };
        let owner = connection.session;
        let Some(write) = connection.ingress.writes.front().cloned() else {
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
        let direct = file.direct.as_ref().filter(|_| write.is_aligned());
        let op = Op::Write {
            file: direct.unwrap_or(&file.descriptor).clone(),
            offset: write.offset,
            buffer: BufferRef::Bytes(write.bytes),
        };
        self.set_busy(key, true);
        let op = self.submit_on(key, ConnectionOp::SinkWrite, op);
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.worker = Some(op);
        }
    }

    fn is_direct_sink(&mut self, owner: SessionKey, stream: StreamId) -> bool {
        match self.destination(owner, stream) {
            Destination::File { file, .. } => file.direct.is_some(),
            _ => false,
        }
    }

    /// The file refuses direct I/O, which it was opened for: it goes on through the cache.
    fn write_through_cache(&mut self, owner: SessionKey, stream: StreamId) {
        tracing::debug!("a file cannot be written past the page cache; it is written through it");
        let entry = self.stream_mut(owner, stream);
        if let Some(Request::File(request)) = entry.and_then(|entry| entry.requests.front_mut()) {
            let descriptor = request.file.descriptor.clone();
            let direct = None;
            request.file = Arc::new(OpenFile { descriptor, direct });
        }
    }

    /// The file was given up while bytes for it were in hand: nobody wants them.
    pub(crate) fn write_is_unwanted(&mut self, key: ConnectionKey, owner: SessionKey) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        let writes = std::mem::take(&mut connection.ingress.writes);
        let length = writes.iter().map(|write| write.bytes.len() as u64).sum();
        if let Some(body) = &connection.ingress.body {
            let stream = body.incoming.stream;
            self.give_up_held(key, owner, stream, length);
        }
    }

    /// Bytes that were taken for a file go nowhere. A request is only given up midway when its
    /// stream is over or discards what arrives, so that nobody misses them.
    pub(crate) fn give_up_held(
        &mut self,
        key: ConnectionKey,
        owner: SessionKey,
        stream: StreamId,
        length: u64,
    ) {
        let is_stored = self.body_stored(key, length);
        self.consume(owner, stream, length);
        self.file_lets_go(owner, stream);
        if is_stored {
            self.advance_ingress(key);
        }
    }

    pub(crate) fn on_sink_write(&mut self, key: ConnectionKey, completion: &Completion) {
        self.set_busy(key, false);
        let Some((owner, stream, mut write)) = self.take_write(key) else {
            return;
        };
        let is_direct = write.is_aligned() && self.is_direct_sink(owner, stream);
        let count = match completion.result {
            Ok(count) => count as usize,
            Err(errno) => {
                self.put_back_write(key, write);
                if is_direct && errno == Errno::EINVAL {
                    self.write_through_cache(owner, stream);
                    return self.advance_ingress(key);
                }
                self.sink_failed(owner, stream, errno);
                return self.write_is_unwanted(key, owner);
            }
        };
        if is_direct {
            self.statistics.direct_written_bytes += count as u64;
        }
        if count < write.bytes.len() {
            write.offset += count as u64;
            write.bytes = write.bytes.slice(count..);
            self.put_back_write(key, write);
        }
        let is_acked = cfg!(ringway_mutant = "body_acked_before_written");
        if is_acked || self.body_stored(key, count as u64) {
            self.file_filled(owner, stream, count as u64);
            self.advance_ingress(key);
        }
    }

    /// What was being written, and for whom.
    fn take_write(&mut self, key: ConnectionKey) -> Option<(SessionKey, StreamId, FileWrite)> {
        let connection = self.connections.get_mut(key.0)?;
        connection.worker = None;
        let stream = connection.ingress.body.as_ref()?.incoming.stream;
        let write = connection.ingress.writes.pop_front()?;
        Some((connection.session, stream, write))
    }

    fn put_back_write(&mut self, key: ConnectionKey, write: FileWrite) {
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.ingress.writes.push_front(write);
        }
    }

    /// Moves bytes socket → pipe here and pipe → file by a worker, with two pipes so that one is
    /// filled while the other is emptied.
    pub(crate) fn pump_sink(&mut self, key: ConnectionKey) {
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

    pub(crate) fn poll_sink(&mut self, key: ConnectionKey) {
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
    pub(crate) fn fill_pipe(&mut self, key: ConnectionKey) -> bool {
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
                self.lose_connection(key, Loss::PeerClosed);
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
                self.lose_connection(key, Loss::Receive(errno));
                false
            }
        }
    }

    /// Without a pipe the bytes go through memory, unless one of ours is just being emptied.
    pub(crate) fn no_pipe(&mut self, key: ConnectionKey, wanted: u64) {
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
    pub(crate) fn drain_pipe(&mut self, key: ConnectionKey) {
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
            file: file.descriptor.clone(),
            offset,
            length: *held,
        };
        let op = self.submit_on(key, ConnectionOp::SinkSplice, op);
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.worker = Some(op);
        }
    }

    pub(crate) fn on_sink_splice(&mut self, key: ConnectionKey, completion: &Completion) {
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
    pub(crate) fn continue_sink(
        &mut self,
        key: ConnectionKey,
        owner: SessionKey,
        stream: StreamId,
    ) {
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
                file: file.descriptor.clone(),
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

    pub(crate) fn receive_body_or_pump(&mut self, key: ConnectionKey, held: u64) {
        if held > 0 {
            self.pump_sink(key);
        } else {
            self.advance_ingress(key);
        }
    }

    /// The body is whole: its (empty) pipes go back to the pool.
    pub(crate) fn close_sink(&mut self, key: ConnectionKey) {
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
    pub(crate) fn sink_given_up(
        &mut self,
        key: ConnectionKey,
        owner: SessionKey,
        stream: StreamId,
    ) {
        let held = self.connections.get(key.0).map_or(0, Connection::sink_held);
        self.close_sink(key);
        self.give_up_held(key, owner, stream, held);
    }
}

impl FileWrite {
    /// Whether direct I/O may write it: place, length and memory are multiples of its unit. Pieces
    /// of the arena begin at one.
    fn is_aligned(&self) -> bool {
        let Some(lease_offset) = self.lease_offset else {
            return false;
        };
        let parts = [self.offset, self.bytes.len() as u64, lease_offset];
        parts.iter().all(|part| part % DIRECT_UNIT == 0)
    }
}

/// How much to receive at once for a file that is written past the cache: up to the next place
/// where direct I/O may begin, then as much as it may write.
pub(crate) fn direct_length(offset: u64, wanted: u64) -> u64 {
    let whole = wanted - wanted % DIRECT_UNIT;
    match offset % DIRECT_UNIT {
        0 if whole > 0 => whole.min(PIECE_BYTES),
        0 => wanted,
        into => wanted.min(DIRECT_UNIT - into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_received_in_parts_that_direct_io_may_write_and_its_ends() {
        let (mut at, end) = (1000, 1000 + (3 << 20));
        let mut parts = Vec::new();
        while at < end {
            parts.push(direct_length(at, end - at));
            at += parts.last().expect("just pushed");
        }
        assert_eq!(parts, [3096, 1 << 20, 1 << 20, (1 << 20) - 4096, 1000]);
    }
}
