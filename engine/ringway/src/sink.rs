//! Bodies on their way into a file: spliced through pipes, or written from memory.
//!
//! ```text
//! socket ──splice, now──▶ filling pipe      draining pipe ──splice, worker──▶ file
//!                              └────── swap ──────▶ ┘
//! ```
//!
//! The socket leg never uses a worker: as many stalled peers as workers would stop every healthy
//! transfer.

use crate::connection::{Connection, ConnectionKey};
use crate::ingress::PIECE_BYTES;
use crate::loss::Loss;
use crate::purpose::ConnectionOp;
use crate::receiving::Destination;
use crate::session::SessionKey;
use crate::shard::Shard;
use ringway_io::{BufferRef, Completion, Errno, Kernel, Op, Readiness};
use ringway_proto::StreamId;

impl<K: Kernel> Shard<K> {
    /// Writes bytes that were copied from a receive buffer into their file.
    pub(crate) fn write_next(&mut self, key: ConnectionKey) {
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
    pub(crate) fn write_is_unwanted(&mut self, key: ConnectionKey, owner: SessionKey) {
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
        let is_acked = cfg!(ringway_mutant = "body_acked_before_written");
        if is_acked || self.body_stored(key, count as u64) {
            self.file_filled(owner, stream, count as u64);
            self.advance_ingress(key);
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
            file,
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
