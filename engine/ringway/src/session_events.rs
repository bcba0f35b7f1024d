//! Drains a session's protocol object: events to the handles, transmits to the connection.

use std::sync::Arc;

use ringway_io::Kernel;
use ringway_proto::{BodyId, CloseReason, Event, Link, StreamId};

use crate::Error;
use crate::config::WhenFull;
use crate::connection::ConnectionKey;
use crate::dial::nanoseconds;
use crate::inbox::{End, Gap};
use crate::loss::Loss;
use crate::payload::Payload;
use crate::purpose::ConnectionOp;
use crate::session::SessionKey;
use crate::session_entry::SessionEntry;
use crate::shard::Shard;
use crate::stream::StreamShared;
use crate::stream_entry::StreamEntry;
use crate::timers::Timer;
use ringway_io::Completion;

impl<K: Kernel> Shard<K> {
    /// Events first, so that what they free can be sent at once; then transmits; then the timer.
    pub(crate) fn drain_session(&mut self, key: SessionKey) {
        self.drain_events(key);
        self.take_arrivals(key);
        self.dial_missing_bulk(key);
        self.pump_session(key);
        self.drain_events(key);
        if let Some(session) = self.sessions.get_mut(key.0) {
            session.count_retained();
        }
        self.set_session_timer(key);
        self.note_wait(key);
    }

    /// Messages first. Once more at the end: a stream may have come back from a bulk connection.
    fn pump_session(&mut self, key: SessionKey) {
        let session = self.sessions.get(key.0);
        let connections = session.map(SessionEntry::connections).unwrap_or_default();
        for &connection in &connections {
            self.pump_egress(connection);
        }
        if connections.len() > 1 {
            self.pump_egress(connections[0]);
        }
    }

    pub(crate) fn drain_events(&mut self, key: SessionKey) {
        while let Some(session) = self.sessions.get_mut(key.0)
            && let Some(event) = session.proto.poll_event()
        {
            self.on_event(key, event);
        }
    }

    fn set_session_timer(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        let wanted_ns = session.proto.poll_timeout().map(|time| time.as_ns());
        if wanted_ns == session.timer_ns {
            return;
        }
        if let Some(at_ns) = session.timer_ns {
            self.timers.remove(at_ns, Timer::Session(key));
        }
        session.timer_ns = wanted_ns;
        if let Some(at_ns) = wanted_ns {
            self.timers.add(at_ns, Timer::Session(key));
        }
    }

    pub(crate) fn on_session_timer(&mut self, key: SessionKey) {
        let now = self.now();
        if let Some(session) = self.sessions.get_mut(key.0) {
            session.timer_ns = None;
            session.proto.handle_timeout(now);
            self.mark_dirty(key);
        }
    }

    fn on_event(&mut self, key: SessionKey, event: Event) {
        match event {
            Event::Opened(stream) => self.on_opened(key, stream),
            Event::Finished { stream, status, .. } => {
                self.on_receive_end(key, stream, End::Finished(status));
            }
            Event::Reset {
                stream,
                status,
                final_offset,
            } => {
                let error = Error::StreamReset {
                    status,
                    final_offset,
                };
                self.on_receive_end(key, stream, End::Failed(error));
            }
            Event::StopRequested { stream, status } => {
                if let Some(entry) = self.stream_mut(key, stream) {
                    entry.is_finishing = true;
                    entry.is_reset = true;
                    entry.fail_sending(&Error::Stopped(status));
                }
            }
            Event::Acked { stream, offset } => self.on_acked(key, stream, offset),
            Event::FinishAcked { stream } => {
                if let Some(entry) = self.stream_mut(key, stream) {
                    // What was acked may be the reset that a stop brought: then the peer does not
                    // have everything.
                    entry.finish_acked = !entry.is_reset;
                    entry.publish_acked();
                }
            }
            Event::Fenced { stream } => {
                if let Some(entry) = self.stream_mut(key, stream) {
                    entry.unfenced.clear();
                }
            }
            Event::Consumed { stream, offset } => {
                if let Some(entry) = self.stream_mut(key, stream) {
                    entry.shared.outbox.set_consumed(offset);
                }
            }
            Event::Released(body) => self.on_released(key, body),
            Event::Dropped(body) => {
                self.statistics.payloads_dropped += 1;
                if let Some(session) = self.sessions.get_mut(key.0) {
                    session.bodies.remove(&body);
                }
            }
            Event::Lossy(stream) => {
                if let Some(entry) = self.stream_mut(key, stream) {
                    entry.shared.set_lossy(true);
                    entry.when_full = WhenFull::DropOldest;
                }
            }
            Event::Gap {
                stream,
                offset,
                bytes,
                records,
                is_record_cut,
            } => {
                let gap = Gap {
                    offset,
                    bytes,
                    records,
                    is_record_cut,
                };
                self.on_gap(key, stream, gap);
            }
            Event::SendUnblocked => self.on_send_unblocked(key),
            Event::OpenUnblocked => self.retry_opens(key),
            Event::StreamEnded(stream) => self.on_stream_ended(key, stream),
            Event::Resumed { gap } => {
                let gap_ns = nanoseconds(gap);
                self.statistics.resume_gaps_ns.record(gap_ns);
                if let Some(session) = self.sessions.get_mut(key.0) {
                    session.books.resume_gaps_ns.record(gap_ns);
                }
            }
            Event::PeerSilent { link } => self.on_peer_silent(key, link),
            Event::PeerDraining => {
                tracing::info!("the peer drains its session");
            }
            Event::Drained => {
                if let Some(session) = self.sessions.get_mut(key.0) {
                    for reply in session.drains.drain(..) {
                        let _ = reply.send(());
                    }
                }
            }
            Event::Closed(reason) => self.on_closed(key, &reason),
        }
    }

    fn on_opened(&mut self, key: SessionKey, stream: StreamId) {
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        let shared = Arc::new(StreamShared::default());
        let entry = StreamEntry::new(Arc::clone(&shared));
        session.streams.insert(stream, Box::new(entry));
        // After the end nobody accepts: the session is over anyway.
        drop(session.shared.streams.push((stream, shared)));
    }

    /// Records never come. Whoever reads is told in its place, behind what waits.
    fn on_gap(&mut self, key: SessionKey, stream: StreamId, gap: Gap) {
        let Some(entry) = self.stream_mut(key, stream) else {
            return;
        };
        if entry.is_discarding {
            return self.consume(key, stream, gap.bytes);
        }
        entry.shared.inbox.push_gap(gap);
        self.serve_requests(key, stream);
    }

    fn on_receive_end(&mut self, key: SessionKey, stream: StreamId, end: End) {
        if let Some(entry) = self.stream_mut(key, stream) {
            entry.end_receiving(end);
        }
        self.serve_requests(key, stream);
    }

    /// A payload is not needed any more. The file behind an acked range is looked at once more
    /// before the application is told of the ack, whose event follows this one.
    fn on_released(&mut self, key: SessionKey, body: BodyId) {
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        let Some(retained) = session.bodies.remove(&body) else {
            return;
        };
        match (retained.payload, retained.identity) {
            (Payload::File(range), Some(identity)) => {
                self.check_source(key, retained.stream, &range, identity);
            }
            (Payload::Lease(lease), _) => {
                if let Some(entry) = session.streams.get_mut(&retained.stream)
                    && entry.is_reset
                    && !cfg!(ringway_mutant = "reset_lease_not_fenced")
                {
                    entry.unfenced.push(lease);
                }
            }
            _ => {}
        }
    }

    fn on_acked(&mut self, key: SessionKey, stream: StreamId, offset: u64) {
        if let Some(entry) = self.stream_mut(key, stream) {
            entry.acked = entry.acked.max(offset);
            entry.publish_acked();
        }
    }

    fn on_send_unblocked(&mut self, key: SessionKey) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        session.books.cap_wait.stop(now);
        let waiting: Vec<_> = session
            .streams
            .iter()
            .filter(|(_, entry)| !entry.sends.is_empty())
            .map(|(&stream, _)| stream)
            .collect();
        for stream in waiting {
            self.retry_sends(key, stream);
        }
    }

    /// Both directions are over: what the application has not read stays in the inbox.
    fn on_stream_ended(&mut self, key: SessionKey, stream: StreamId) {
        let session = self.sessions.get_mut(key.0);
        if let Some(entry) = session.and_then(|session| session.streams.remove(&stream)) {
            self.detach_stream(key, stream, entry, &Error::StreamEnded);
        }
    }

    /// Nothing was heard on a connection. An exact receive tells nothing before it is whole, and
    /// over a slow network that may take longer than silence may last: it is ended first, and
    /// says how far it got.
    fn on_peer_silent(&mut self, key: SessionKey, link: Link) {
        let now = self.now();
        let Some(entry) = self.sessions.get(key.0) else {
            return;
        };
        let Some(silent) = entry.connection_of(link) else {
            return;
        };
        let (all, is_dead) = (entry.connections(), entry.proto.is_dead(now, link));
        if self.ask_how_far(silent) {
            return;
        }
        // The others may be alive, and only not have said so.
        let mut is_any_asked = false;
        for other in all.into_iter().filter(|other| *other != silent) {
            is_any_asked |= self.ask_how_far(other);
        }
        if is_dead || !is_any_asked {
            self.judge_silence(silent);
        }
    }

    /// Ends an exact receive, which then says how far it got; whether there is one.
    fn ask_how_far(&mut self, key: ConnectionKey) -> bool {
        let connection = self.connections.get_mut(key.0);
        let Some(exact) = connection.and_then(|it| it.ingress.exact.as_mut()) else {
            return false;
        };
        if !std::mem::replace(&mut exact.is_asked, true) {
            let op = exact.op;
            self.kernel.cancel(op);
        }
        true
    }

    /// Nothing came on a connection for long: it is lost, unless the peer is heard on another one
    /// of the set. Then it goes on; true.
    pub(crate) fn judge_silence(&mut self, key: ConnectionKey) -> bool {
        let now = self.now();
        let Some(connection) = self.connections.get(key.0) else {
            return false;
        };
        let session = self.sessions.get(connection.session.0);
        let goes_on = session.is_some_and(|it| it.proto.is_heard_beside(now, connection.link));
        if !goes_on {
            self.lose_connection(key, Loss::PeerSilent);
        }
        goes_on
    }

    fn on_closed(&mut self, key: SessionKey, reason: &CloseReason) {
        // After the peer's close nobody reads what we might still say.
        if !matches!(reason, CloseReason::Peer(_)) {
            self.cease_bulk_dial(key);
            self.dial_farewell(key, reason);
            self.linger(key);
        }
        self.end_session(key, reason);
    }

    /// A completion of an op on a connection.
    pub(crate) fn on_connection_op(
        &mut self,
        key: ConnectionKey,
        kind: ConnectionOp,
        completion: Completion,
    ) {
        let is_last = !completion.more;
        let Some(connection) = self.connections.get_mut(key.0) else {
            return self.discard(completion);
        };
        if is_last {
            connection.ops -= 1;
        }
        let is_dead = connection.is_dead;
        if is_dead {
            self.on_dead_op(key, kind, completion);
        } else if connection.is_lingering {
            self.on_lingering_op(key, kind, completion);
        } else if is_ingress(kind) {
            let (owner, link) = (connection.session, connection.link);
            let now = self.now();
            if let Some(session) = self.sessions.get_mut(owner.0)
                && completion.result.is_ok()
            {
                session.proto.heard(now, link);
            }
            self.on_ingress_op(key, kind, completion);
        } else {
            self.on_egress_op(key, kind, completion);
        }
        if is_last {
            self.bury_connection(key);
        }
    }

    fn on_dead_op(&mut self, key: ConnectionKey, kind: ConnectionOp, completion: Completion) {
        if is_ingress(kind) {
            self.on_dead_ingress_op(key, completion);
        } else {
            // A lease that was being sent or loaded goes with the completion.
            drop(completion);
        }
    }
}

fn is_ingress(kind: ConnectionOp) -> bool {
    matches!(
        kind,
        ConnectionOp::Frames
            | ConnectionOp::Header
            | ConnectionOp::Body
            | ConnectionOp::Readable
            | ConnectionOp::SinkSplice
            | ConnectionOp::SinkWrite
    )
}
