//! What handles want sent: accepted by the protocol in their order, or waiting for room.

use std::collections::VecDeque;

use crate::Error;
use crate::config::WhenFull;
use crate::payload::Payload;
use crate::purpose::Purpose;
use crate::session::SessionKey;
use crate::session_entry::Retained;
use crate::shard::Shard;
use crate::stream_entry::{PendingSend, Source};
use ringway_io::{Completion, FileStat, Kernel, Op, Payload as OpPayload};
use ringway_proto::{BodyKind, SendError, StreamId};

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
        entry.sends.push_back(send);
        self.retry_sends(key, stream);
    }

    /// Gives the protocol what waits, in order, until it is blocked or a file is looked at.
    pub(crate) fn retry_sends(&mut self, key: SessionKey, stream: StreamId) {
        if let Some(session) = self.sessions.get_mut(key.0) {
            session.count_retained();
        }
        while self.accept_send(key, stream) {}
        let session = self.sessions.get_mut(key.0);
        if let Some(entry) = session.and_then(|session| session.streams.get_mut(&stream))
            && entry.sends.is_empty()
        {
            // Most streams are idle most of the time: theirs need no room.
            entry.sends = VecDeque::new();
        }
        self.mark_dirty(key);
    }

    /// Accepts the oldest pending send; false when there is none, or it has to wait.
    pub(crate) fn accept_send(&mut self, key: SessionKey, stream: StreamId) -> bool {
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
                entry.cap_wait.stop(now);
                drop(reply.send(Ok(end)));
                true
            }
            Err(SendError::Blocked { retained, allowed }) if entry.when_full == WhenFull::Fail => {
                drop(reply.send(Err(Error::RetentionFull { retained, allowed })));
                true
            }
            Err(SendError::Blocked { .. }) => {
                self.statistics.send_blocked += 1;
                entry.cap_wait.start(now);
                session.books.cap_wait.start(now);
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

    pub(crate) fn ask_source(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        file: ringway_io::Descriptor,
    ) {
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
}

pub(crate) fn refuse(send: PendingSend, error: Error) {
    match send {
        PendingSend::Body { reply, .. } => drop(reply.send(Err(error))),
        PendingSend::Finish { reply, .. } => drop(reply.send(Err(error))),
    }
}

pub(crate) fn source_of(completion: Completion, end: u64) -> Source {
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
