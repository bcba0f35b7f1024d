//! What the handles ask of their shard.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ringway_io::Kernel;
use ringway_proto::{Retention, Status, StreamId};

use crate::config::{StreamOptions, WhenFull};
use crate::message::Message;
use crate::payload::Payload;
use crate::reply::Reply;
use crate::session::{SessionKey, SessionState};
use crate::session_entry::Reconnected;
use crate::shard::Shard;
use crate::stream::{Stream, StreamProgress, StreamShared};
use crate::stream_entry::{BufferRequest, FileRequest, PendingSend, Request, Source, StreamEntry};
use crate::timers::Timer;
use crate::{Error, dial::nanoseconds};

impl<K: Kernel> Shard<K> {
    pub(crate) fn on_message(&mut self, message: Message) {
        match message {
            Message::Spawn(make) => self.tasks.spawn(make()),
            Message::Now(reply) => {
                let _ = reply.send(Duration::from_nanos(self.kernel.now_ns()));
            }
            Message::Sleep { duration, reply } => {
                let at_ns = self.kernel.now_ns().saturating_add(nanoseconds(duration));
                let key = self.sleepers.insert(reply);
                self.timers.add(at_ns, Timer::Sleep(key));
            }
            Message::Op { op, reply } => {
                let next = self.caller_ops.add((*op, reply));
                self.submit_for_caller(next);
            }
            Message::Lease { bytes, reply } => {
                let lease = self.kernel.lease(bytes);
                self.statistics.leases_exhausted += u64::from(lease.is_none());
                drop(reply.send(lease));
            }
            Message::Adopt { descriptor, reply } => {
                let adopted = self
                    .kernel
                    .adopt(descriptor)
                    .map_err(|errno| Error::Kernel {
                        operation: "adopt a descriptor",
                        errno,
                    });
                drop(reply.send(adopted));
            }
            Message::Statistics(reply) => drop(reply.send(self.snapshot())),
            Message::SessionStatistics(key, reply) => drop(reply.send(self.session_snapshot(key))),
            Message::StreamStatistics {
                session,
                stream,
                reply,
            } => drop(reply.send(self.stream_snapshot(session, stream))),
            Message::Listen {
                target,
                options,
                reply,
            } => {
                let listening = self.listen(&target, *options);
                if let Err(Ok(unwanted)) = reply.send(listening) {
                    self.stop_listening(&unwanted);
                }
            }
            Message::AdoptConnection {
                listener,
                connection,
                reply,
            } => drop(reply.send(self.adopt_connection(&listener, connection))),
            Message::StopListening(listener) => self.stop_listening(&listener),
            Message::Connect {
                target,
                options,
                reply,
            } => self.dial_new(target, *options, reply),
            Message::Handover(handover) => self.take_over(*handover),
            Message::Dialled {
                dial,
                attempt,
                result,
            } => self.on_dialled(dial, attempt, result),
            Message::Shutdown { within, reply } => self.begin_shutdown(within, reply),
            other => self.on_session_message(other),
        }
    }

    pub(crate) fn on_session_message(&mut self, message: Message) {
        match message {
            Message::Reconnect { session, reply } => self.reconnect(session, reply),
            Message::Drain { session, reply } => self.drain_requested(session, Some(reply)),
            Message::Close { session, reason } => self.close_session(session, reason),
            Message::Evict { session, allowed } => self.evict(session, allowed, allowed),
            Message::SessionDropped(session) => self.drain_requested(session, None),
            Message::OpenStream {
                session,
                options,
                reply,
            } => self.open_stream(session, &options, reply),
            Message::Prioritize {
                session,
                stream,
                priority,
            } => {
                if let Some(session) = self.sessions.get_mut(session.0) {
                    session.proto.set_priority(stream, priority);
                }
            }
            Message::Progress {
                session,
                stream,
                reply,
            } => drop(reply.send(self.stream_progress(session, stream))),
            other => self.on_stream_message(other),
        }
    }

    pub(crate) fn on_stream_message(&mut self, message: Message) {
        match message {
            Message::Send {
                session,
                stream,
                payload,
                end_of_record,
                reply,
            } => {
                let source = match &payload {
                    Payload::File(_) => Source::Unknown,
                    Payload::Bytes(_) | Payload::Lease(_) => Source::Memory,
                };
                let send = PendingSend::Body {
                    payload,
                    end_of_record,
                    source,
                    reply,
                };
                self.queue_send(session, stream, send);
            }
            Message::SendRecords {
                session,
                stream,
                records,
                reply,
            } => self.queue_send(session, stream, PendingSend::Records { records, reply }),
            Message::Finish {
                session,
                stream,
                status,
                reply,
            } => self.queue_send(session, stream, PendingSend::Finish { status, reply }),
            Message::Reset {
                session,
                stream,
                status,
            } => self.reset_stream(session, stream, status),
            Message::Stop {
                session,
                stream,
                status,
            } => self.stop_stream(session, stream, status),
            Message::Consume {
                session,
                stream,
                bytes,
            } => self.consume(session, stream, bytes),
            Message::ReceiveInto {
                session,
                stream,
                shared,
                buffer,
                reply,
            } => {
                let request = Request::Buffer(BufferRequest {
                    length: buffer.len(),
                    buffer: Some(buffer),
                    filled: 0,
                    offset: 0,
                    reply,
                });
                self.request_receive(session, stream, shared, request);
            }
            Message::ReceiveIntoFile {
                session,
                stream,
                shared,
                file,
                offset,
                bytes_max,
                reply,
            } => {
                let request = Request::File(FileRequest {
                    file,
                    offset,
                    written: 0,
                    bytes_max,
                    is_writing_inbox: false,
                    held: 0,
                    reply,
                });
                self.request_receive(session, stream, shared, request);
            }
            Message::ForgetRequests { session, stream } => self.forget_requests(session, stream),
            Message::StreamDropped { session, stream } => self.drop_stream(session, stream),
            _ => unreachable!("every other message is handled before"),
        }
    }

    /// A connection is wanted now. The newest one wins when it has proven itself, so with one that
    /// lives this is a switch-over. Whoever asks while an attempt that was asked for is under way
    /// shares it, and its result.
    pub(crate) fn reconnect(&mut self, key: SessionKey, reply: Reconnected) {
        let error = self.ended_error(key);
        let Some(session) = self.sessions.get_mut(key.0) else {
            return drop(reply.send(Err(error)));
        };
        if session.proto.is_closed() {
            return drop(reply.send(Err(error)));
        }
        if session.redial.is_none() {
            return drop(reply.send(Err(Error::NotDialer)));
        }
        session.reconnects.retain(|other| !other.is_forgotten());
        session.reconnects.push(reply);
        if session.pending.is_some() {
            return;
        }
        match session.dial {
            Some(dial) => self.hurry_dial(dial),
            None => {
                self.dial_again(key);
                if let Some(dial) = self.sessions.get(key.0).and_then(|entry| entry.dial) {
                    self.mark_asked(dial);
                }
            }
        }
    }

    pub(crate) fn drain_requested(&mut self, key: SessionKey, reply: Option<Reply<()>>) {
        let now = self.now();
        let session = self.sessions.get_mut(key.0);
        let Some(session) = session.filter(|session| !session.proto.is_closed()) else {
            // It is over already, even if its last words are still on their way: so is its drain.
            let _ = reply.map(|reply| reply.send(()));
            return;
        };
        session.drains.extend(reply);
        session.proto.drain(now);
        self.mark_dirty(key);
    }

    pub(crate) fn close_session(&mut self, key: SessionKey, reason: Status) {
        let now = self.now();
        if let Some(session) = self.sessions.get_mut(key.0) {
            session.proto.close(now, reason);
            self.mark_dirty(key);
        }
    }

    pub(crate) fn ended_error(&self, key: SessionKey) -> Error {
        match self.sessions.get(key.0).map(|entry| entry.shared.state()) {
            Some(SessionState::Ended(reason)) => Error::SessionEnded(reason),
            _ => Error::StreamEnded,
        }
    }

    pub(crate) fn open_stream(
        &mut self,
        key: SessionKey,
        options: &StreamOptions,
        reply: Reply<Result<Stream, Error>>,
    ) {
        let error = self.ended_error(key);
        let Some(session) = self.sessions.get_mut(key.0) else {
            return drop(reply.send(Err(error)));
        };
        if let SessionState::Ended(reason) = session.shared.state() {
            return drop(reply.send(Err(Error::SessionEnded(reason))));
        }
        session.opens.push_back((options.clone(), reply));
        self.retry_opens(key);
        self.mark_dirty(key);
    }

    /// Opens what waits for credit on the number of streams.
    pub(crate) fn retry_opens(&mut self, key: SessionKey) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        while let Some((options, reply)) = session.opens.pop_front() {
            if reply.is_forgotten() {
                continue;
            }
            let retention = match options.when_full {
                WhenFull::DropOldest => Retention::Newest,
                WhenFull::Wait | WhenFull::Fail => Retention::All,
            };
            let wanted = ringway_proto::StreamOptions {
                retention,
                priority: options.priority,
            };
            match session.proto.open(now, wanted) {
                Ok(id) => {
                    let shared = Arc::new(StreamShared::default());
                    let mut entry = StreamEntry::new(Arc::clone(&shared));
                    entry.when_full = options.when_full;
                    entry.shared.set_lossy(retention == Retention::Newest);
                    session.streams.insert(id, Box::new(entry));
                    let handle = session.handle.upgrade();
                    // Without a handle of the session nobody waits; with one, dropping the
                    // unwanted stream handle resets the stream.
                    if let Some(handle) = handle {
                        drop(reply.send(Ok(Stream::new(id, handle, shared))));
                    }
                }
                Err(ringway_proto::OpenError::Blocked) => {
                    session.opens.push_front((options, reply));
                    return;
                }
                Err(ringway_proto::OpenError::Closed(reason)) => {
                    drop(reply.send(Err(Error::SessionEnded(reason))));
                }
            }
        }
    }

    pub(crate) fn stream_progress(
        &self,
        key: SessionKey,
        stream: StreamId,
    ) -> Result<StreamProgress, Error> {
        let session = self.sessions.get(key.0).ok_or(Error::StreamEnded)?;
        let progress = session.proto.progress(stream).ok_or(Error::StreamEnded)?;
        Ok(progress.into())
    }

    pub(crate) fn reset_stream(&mut self, key: SessionKey, stream: StreamId, status: Status) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        if let Some(entry) = session.streams.get_mut(&stream) {
            entry.is_finishing = true;
            entry.is_reset = true;
            entry.fail_sending(&Error::AlreadyFinished);
            session.proto.reset(now, stream, status);
            self.mark_dirty(key);
        }
    }

    pub(crate) fn stop_stream(&mut self, key: SessionKey, stream: StreamId, status: Status) {
        let now = self.now();
        if let Some(session) = self.sessions.get_mut(key.0) {
            session.proto.stop(now, stream, status);
            self.mark_dirty(key);
        }
    }

    pub(crate) fn consume(&mut self, key: SessionKey, stream: StreamId, bytes: u64) {
        let now = self.now();
        if let Some(session) = self.sessions.get_mut(key.0)
            && bytes > 0
        {
            session.proto.consume(now, stream, bytes);
            self.mark_dirty(key);
        }
    }

    /// Nobody holds the stream any more: what was not finished is reset, what still arrives is
    /// of no use.
    pub(crate) fn drop_stream(&mut self, key: SessionKey, stream: StreamId) {
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        let Some(entry) = session.streams.get_mut(&stream) else {
            return;
        };
        let (is_finishing, has_ended) = (entry.is_finishing, entry.has_receive_ended);
        entry.requests = VecDeque::new();
        if !is_finishing {
            self.reset_stream(key, stream, Status::dropped());
        }
        self.discard_arrivals(key, stream);
        if !has_ended {
            self.stop_stream(key, stream, Status::dropped());
        }
        self.resume_ingress(key);
    }
}
