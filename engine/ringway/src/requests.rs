//! What the handles ask of their shard.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ringway_io::{Completion, FileStat, Kernel, Op, Payload as OpPayload};
use ringway_proto::{BodyKind, SendError, Status, StreamId};

use crate::config::StreamOptions;
use crate::message::Message;
use crate::payload::Payload;
use crate::purpose::Purpose;
use crate::reply::Reply;
use crate::session::{SessionKey, SessionState};
use crate::session_entry::Retained;
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
            Message::Op { op, reply } => drop(self.submit(Purpose::Caller(Some(reply)), op)),
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
            Message::Statistics(reply) => drop(reply.send(self.statistics)),
            Message::Listen {
                target,
                options,
                reply,
            } => {
                let listening = self.listen(&target, options);
                if let Err(Ok(unwanted)) = reply.send(listening) {
                    self.stop_listening(&unwanted);
                }
            }
            Message::StopListening(listener) => self.stop_listening(&listener),
            Message::Connect {
                target,
                options,
                reply,
            } => self.dial_new(target, options, reply),
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

    fn on_session_message(&mut self, message: Message) {
        match message {
            Message::ReconnectNow(session) => self.reconnect_now(session),
            Message::Drain { session, reply } => self.drain_requested(session, Some(reply)),
            Message::Close { session, reason } => self.close_session(session, reason),
            Message::SessionDropped(session) => self.drain_requested(session, None),
            Message::OpenStream {
                session,
                options,
                reply,
            } => self.open_stream(session, &options, reply),
            Message::Progress {
                session,
                stream,
                reply,
            } => drop(reply.send(self.stream_progress(session, stream))),
            other => self.on_stream_message(other),
        }
    }

    fn on_stream_message(&mut self, message: Message) {
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

    // --- sessions ------------------------------------------------------------------------------

    fn reconnect_now(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get(key.0) else {
            return;
        };
        if session.redial.is_none() {
            return;
        }
        let (connection, dial) = (session.connection, session.dial);
        match (connection, dial) {
            // The newest connection wins when it has proven itself: one switch-over.
            (Some(_), None) => self.dial_again(key),
            (None, Some(dial)) => {
                self.cancel_dial(dial);
                self.dial_again(key);
            }
            (None, None) => self.redial_if_needed(key),
            (Some(_), Some(_)) => {}
        }
    }

    fn drain_requested(&mut self, key: SessionKey, reply: Option<Reply<()>>) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        session.drains.extend(reply);
        session.proto.drain(now);
        self.mark_dirty(key);
    }

    fn close_session(&mut self, key: SessionKey, reason: Status) {
        let now = self.now();
        if let Some(session) = self.sessions.get_mut(key.0) {
            session.proto.close(now, reason);
            self.mark_dirty(key);
        }
    }

    fn ended_error(&self, key: SessionKey) -> Error {
        match self.sessions.get(key.0).map(|entry| entry.shared.state()) {
            Some(SessionState::Ended(reason)) => Error::SessionEnded(reason),
            _ => Error::StreamEnded,
        }
    }

    // --- streams -------------------------------------------------------------------------------

    fn open_stream(
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
            match session
                .proto
                .open(now, ringway_proto::StreamOptions::default())
            {
                Ok(id) => {
                    let shared = Arc::new(StreamShared::default());
                    let mut entry = StreamEntry::new(Arc::clone(&shared));
                    entry.fail_when_full = options.fail_when_full;
                    session.streams.insert(id, entry);
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

    fn stream_progress(&self, key: SessionKey, stream: StreamId) -> Result<StreamProgress, Error> {
        let session = self.sessions.get(key.0).ok_or(Error::StreamEnded)?;
        let progress = session.proto.progress(stream).ok_or(Error::StreamEnded)?;
        Ok(StreamProgress {
            accepted: progress.accepted,
            sent: progress.sent,
            acked: progress.acked,
            consumed: progress.consumed,
            received: progress.received,
        })
    }

    fn queue_send(&mut self, key: SessionKey, stream: StreamId, send: PendingSend) {
        // A stop that has arrived is to be the reason, not that the direction has ended by it.
        self.drain_events(key);
        let error = self.ended_error(key);
        let session = self.sessions.get_mut(key.0);
        let Some(entry) = session.and_then(|session| session.streams.get_mut(&stream)) else {
            return refuse(send, error);
        };
        if let Some(failure) = entry.shared.outbox.failure() {
            return refuse(send, failure);
        }
        if entry.is_finishing {
            return refuse(send, Error::AlreadyFinished);
        }
        entry.is_finishing = matches!(send, PendingSend::Finish { .. });
        entry.sends.push_back(send);
        self.retry_sends(key, stream);
    }

    /// Gives the protocol what waits, in order, until it is blocked or a file is looked at.
    pub(crate) fn retry_sends(&mut self, key: SessionKey, stream: StreamId) {
        while self.accept_send(key, stream) {}
        self.mark_dirty(key);
    }

    /// Accepts the oldest pending send; false when there is none, or it has to wait.
    fn accept_send(&mut self, key: SessionKey, stream: StreamId) -> bool {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(key.0) else {
            return false;
        };
        let Some(entry) = session.streams.get_mut(&stream) else {
            return false;
        };
        match entry.sends.front() {
            None => return false,
            Some(PendingSend::Finish { .. }) => {
                if let Some(PendingSend::Finish { status, reply }) = entry.sends.pop_front() {
                    let finished = session.proto.finish(now, stream, status);
                    drop(reply.send(finished.map_err(Error::from)));
                }
                return true;
            }
            Some(PendingSend::Body { reply, .. }) if reply.is_forgotten() => {
                entry.sends.pop_front();
                return true;
            }
            Some(PendingSend::Body {
                source: Source::Asked,
                ..
            }) => return false,
            Some(PendingSend::Body {
                source: Source::Unknown,
                payload: Payload::File(range),
                ..
            }) => {
                let file = range.file.descriptor().clone();
                self.ask_source(key, stream, file);
                return false;
            }
            Some(PendingSend::Body { .. }) => {}
        }
        let body = session.new_body();
        let Some(entry) = session.streams.get_mut(&stream) else {
            return false;
        };
        let Some(PendingSend::Body {
            payload,
            end_of_record,
            source,
            reply,
        }) = entry.sends.pop_front()
        else {
            return false;
        };
        let identity = match source {
            Source::Known(stat) => Some(*stat),
            Source::Failed(error) => {
                drop(reply.send(Err(error)));
                return true;
            }
            Source::Memory | Source::Unknown | Source::Asked => None,
        };
        let kind = match payload {
            Payload::File(_) => BodyKind::Range,
            Payload::Bytes(_) | Payload::Lease(_) => BodyKind::Memory,
        };
        let sent = session
            .proto
            .send(now, stream, body, payload.len(), kind, end_of_record);
        match sent {
            Ok(end) => {
                if !payload.is_empty() {
                    let retained = Retained {
                        payload,
                        stream,
                        identity,
                        verified_epoch: 0,
                    };
                    session.bodies.insert(body, retained);
                }
                drop(reply.send(Ok(end)));
                true
            }
            Err(SendError::Blocked { retained, allowed }) if entry.fail_when_full => {
                drop(reply.send(Err(Error::RetentionFull { retained, allowed })));
                true
            }
            Err(SendError::Blocked { .. }) => {
                self.statistics.send_blocked += 1;
                let source = identity.map_or(Source::Memory, |stat| Source::Known(Box::new(stat)));
                entry.sends.push_front(PendingSend::Body {
                    payload,
                    end_of_record,
                    source,
                    reply,
                });
                false
            }
            Err(error) => {
                drop(reply.send(Err(Error::from(error))));
                true
            }
        }
    }

    fn ask_source(&mut self, key: SessionKey, stream: StreamId, file: ringway_io::Descriptor) {
        let session = self.sessions.get_mut(key.0);
        let entry = session.and_then(|session| session.streams.get_mut(&stream));
        if let Some(PendingSend::Body { source, .. }) =
            entry.and_then(|entry| entry.sends.front_mut())
        {
            *source = Source::Asked;
        }
        self.submit(
            Purpose::SourceStat(key, stream),
            Op::StatDescriptor { file },
        );
    }

    pub(crate) fn on_source_stat(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        completion: Completion,
    ) {
        let session = self.sessions.get_mut(key.0);
        let Some(entry) = session.and_then(|session| session.streams.get_mut(&stream)) else {
            return;
        };
        let asked = entry.sends.iter_mut().find_map(|send| match send {
            PendingSend::Body {
                source: source @ Source::Asked,
                payload: Payload::File(range),
                ..
            } => Some((source, range.offset.saturating_add(range.length))),
            _ => None,
        });
        if let Some((source, end)) = asked {
            *source = source_of(completion, end);
        }
        self.retry_sends(key, stream);
    }

    fn reset_stream(&mut self, key: SessionKey, stream: StreamId, status: Status) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        if let Some(entry) = session.streams.get_mut(&stream) {
            entry.is_finishing = true;
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
    fn drop_stream(&mut self, key: SessionKey, stream: StreamId) {
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

fn refuse(send: PendingSend, error: Error) {
    match send {
        PendingSend::Body { reply, .. } => drop(reply.send(Err(error))),
        PendingSend::Finish { reply, .. } => drop(reply.send(Err(error))),
    }
}

fn source_of(completion: Completion, end: u64) -> Source {
    match (completion.result, completion.payload) {
        (Ok(_), OpPayload::Stat(stat)) if stat.size >= end => Source::Known(Box::new(stat)),
        (Ok(_), OpPayload::Stat(FileStat { size, .. })) => Source::Failed(Error::Limit {
            what: "end of the file range",
            wanted: end,
            allowed: size,
        }),
        (result, _) => Source::Failed(Error::Kernel {
            operation: "stat",
            errno: result.err().unwrap_or(ringway_io::Errno::EIO),
        }),
    }
}
