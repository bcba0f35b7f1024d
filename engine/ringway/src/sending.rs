//! What handles want sent: accepted by the protocol in their order, or waiting for room.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::Error;
use crate::config::WhenFull;
use crate::payload::Payload;
use crate::purpose::Purpose;
use crate::reply::Reply;
use crate::session::SessionKey;
use crate::session_entry::Retained;
use crate::shard::Shard;
use crate::stream_entry::{PendingSend, Source};
use ringway_io::{Completion, FileStat, Kernel, Op, Payload as OpPayload};
use ringway_proto::{BodyId, BodyKind, SendError, Status, StreamId};

impl<K: Kernel> Shard<K> {
    pub(crate) fn queue_send(&mut self, key: SessionKey, stream: StreamId, send: PendingSend) {
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
        if !entry.sends.is_empty() {
            entry.sends.push_back(send);
            return self.retry_sends(key, stream);
        }
        if let Some(session) = self.sessions.get_mut(key.0) {
            session.count_retained();
        }
        // Nothing waits before it: it need not stand in the queue.
        if let Err(waiting) = self.offer_send(key, stream, send) {
            self.put_back(key, stream, waiting);
        }
        self.mark_dirty(key);
    }

    /// Gives the protocol what waits, in order, until it is blocked or a file is looked at.
    pub(crate) fn retry_sends(&mut self, key: SessionKey, stream: StreamId) {
        if let Some(session) = self.sessions.get_mut(key.0) {
            session.count_retained();
        }
        while let Some(send) = self.take_send(key, stream) {
            if let Err(waiting) = self.offer_send(key, stream, send) {
                self.put_back(key, stream, waiting);
                break;
            }
        }
        let session = self.sessions.get_mut(key.0);
        if let Some(entry) = session.and_then(|session| session.streams.get_mut(&stream))
            && entry.sends.is_empty()
        {
            // Most streams are idle most of the time: theirs need no room.
            entry.sends = VecDeque::new();
        }
        self.mark_dirty(key);
    }

    fn take_send(&mut self, key: SessionKey, stream: StreamId) -> Option<PendingSend> {
        let entry = self.sessions.get_mut(key.0)?.streams.get_mut(&stream)?;
        entry.sends.pop_front()
    }

    fn put_back(&mut self, key: SessionKey, stream: StreamId, send: PendingSend) {
        let session = self.sessions.get_mut(key.0);
        if let Some(entry) = session.and_then(|session| session.streams.get_mut(&stream)) {
            entry.sends.push_front(send);
        }
    }

    /// Gives the oldest send to the protocol; back it comes when it has to wait.
    fn offer_send(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        send: PendingSend,
    ) -> Result<(), PendingSend> {
        let (payload, end_of_record, source, reply) = match send {
            PendingSend::Records { records, reply } => {
                return self.offer_records(key, stream, records, reply);
            }
            PendingSend::Finish { status, reply } => {
                self.offer_finish(key, stream, status, reply);
                return Ok(());
            }
            PendingSend::Body {
                payload,
                end_of_record,
                source,
                reply,
            } => (payload, end_of_record, source, reply),
        };
        if reply.is_forgotten() {
            return Ok(());
        }
        let identity = match source {
            Source::Known(stat) => Some(stat),
            Source::Failed(error) => {
                drop(reply.send(Err(*error)));
                return Ok(());
            }
            Source::Unknown | Source::Asked => {
                if let (Source::Unknown, Payload::File(range)) = (&source, &payload) {
                    let file = range.file.descriptor().clone();
                    self.submit(
                        Purpose::SourceStat(key, stream),
                        Op::StatDescriptor { file },
                    );
                }
                return Err(PendingSend::Body {
                    payload,
                    end_of_record,
                    source: Source::Asked,
                    reply,
                });
            }
            Source::Memory => None,
        };
        match self.accept_body(key, stream, &payload, end_of_record) {
            Ok((end, body)) => {
                self.retain(key, stream, body, payload, identity);
                drop(reply.send(Ok(end)));
            }
            Err(SendError::Blocked { .. }) if self.waits_when_full(key, stream) => {
                return Err(PendingSend::Body {
                    payload,
                    end_of_record,
                    source: identity.map_or(Source::Memory, Source::Known),
                    reply,
                });
            }
            Err(error) => drop(reply.send(Err(Error::from(error)))),
        }
        Ok(())
    }

    /// Gives records to the protocol, one after the other, until one has to wait or is refused.
    fn offer_records(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        mut records: VecDeque<Bytes>,
        reply: Reply<Result<u64, Error>>,
    ) -> Result<(), PendingSend> {
        if reply.is_forgotten() {
            return Ok(());
        }
        let mut end = self.accepted(key, stream);
        while let Some(record) = records.pop_front() {
            let payload = Payload::Bytes(record);
            match self.accept_body(key, stream, &payload, true) {
                Ok((behind, body)) => {
                    self.retain(key, stream, body, payload, None);
                    end = Ok(behind);
                }
                Err(SendError::Blocked { .. }) if self.waits_when_full(key, stream) => {
                    if let Payload::Bytes(record) = payload {
                        records.push_front(record);
                    }
                    return Err(PendingSend::Records { records, reply });
                }
                Err(error) => {
                    end = Err(Error::from(error));
                    break;
                }
            }
        }
        drop(reply.send(end));
        Ok(())
    }

    /// What the stream has accepted so far, bytes.
    fn accepted(&self, key: SessionKey, stream: StreamId) -> Result<u64, Error> {
        let progress = self.stream_progress(key, stream)?;
        Ok(progress.accepted)
    }

    fn offer_finish(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        status: Status,
        reply: Reply<Result<(), Error>>,
    ) {
        let now = self.now();
        if let Some(session) = self.sessions.get_mut(key.0) {
            let finished = session.proto.finish(now, stream, status);
            drop(reply.send(finished.map_err(Error::from)));
        }
    }

    /// The offset behind the payload, and its name.
    fn accept_body(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        payload: &Payload,
        end_of_record: bool,
    ) -> Result<(u64, BodyId), SendError> {
        let now = self.now();
        let session = self.sessions.get_mut(key.0);
        let session = session.ok_or(SendError::UnknownStream)?;
        let body = session.new_body();
        let kind = match payload {
            Payload::File(_) => BodyKind::Range,
            Payload::Bytes(_) | Payload::Lease(_) => BodyKind::Memory,
        };
        let length = payload.len();
        let end = session
            .proto
            .send(now, stream, body, length, kind, end_of_record)?;
        Ok((end, body))
    }

    fn retain(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        body: BodyId,
        payload: Payload,
        identity: Option<Box<FileStat>>,
    ) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        if !payload.is_empty() {
            let retained = Retained {
                payload,
                stream,
                identity,
                verified_epoch: 0,
                ahead: None,
            };
            session.bodies.insert(body, retained);
        }
        if let Some(entry) = session.streams.get_mut(&stream) {
            entry.cap_wait.stop(now);
        }
    }

    /// The retention cap is reached: whether the send waits for room, which is counted, or fails.
    fn waits_when_full(&mut self, key: SessionKey, stream: StreamId) -> bool {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(key.0) else {
            return false;
        };
        let entry = session.streams.get_mut(&stream);
        let Some(entry) = entry.filter(|entry| entry.when_full != WhenFull::Fail) else {
            return false;
        };
        self.statistics.send_blocked += 1;
        entry.cap_wait.start(now);
        session.books.cap_wait.start(now);
        true
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
}

pub(crate) fn refuse(send: PendingSend, error: Error) {
    match send {
        PendingSend::Body { reply, .. } | PendingSend::Records { reply, .. } => {
            drop(reply.send(Err(error)));
        }
        PendingSend::Finish { reply, .. } => drop(reply.send(Err(error))),
    }
}

pub(crate) fn source_of(completion: Completion, end: u64) -> Source {
    match (completion.result, completion.payload) {
        (Ok(_), OpPayload::Stat(stat)) if stat.size >= end => Source::Known(Box::new(stat)),
        (Ok(_), OpPayload::Stat(FileStat { size, .. })) => Source::Failed(Box::new(Error::Limit {
            what: "end of the file range",
            wanted: end,
            allowed: size,
        })),
        (result, _) => Source::Failed(Box::new(Error::Kernel {
            operation: "stat",
            errno: result.err().unwrap_or(ringway_io::Errno::EIO),
        })),
    }
}
