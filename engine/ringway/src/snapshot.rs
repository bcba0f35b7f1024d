//! Statistics as they are at one moment.
//!
//! A snapshot is a question to the shard, answered within its turn: nothing is shared with other
//! threads, so counting costs an addition, and all numbers of one answer fit together. The shard
//! turns whenever it is asked, with or without a connection (docs/decisions/statistics.md).
//!
//! What clocks say of a session is read when somebody asks; when the session ends, it is added to
//! the shard's own counters, which therefore never go back.

use ringway_io::Kernel;
use ringway_proto::StreamId;

use crate::Error;
use crate::send_waits::Awaited;
use crate::session::{SessionKey, SessionState};
use crate::session_entry::SessionEntry;
use crate::session_statistics::SessionStatistics;
use crate::shard::Shard;
use crate::statistics::Statistics;
use crate::stream_statistics::StreamStatistics;

impl<K: Kernel> Shard<K> {
    /// Everything the shard counts and holds.
    pub(crate) fn snapshot(&self) -> Statistics {
        let mut sum = self.statistics;
        for key in self.sessions.keys() {
            if let Some(session) = self.sessions.get(key) {
                self.add_session(session, &mut sum);
            }
        }
        let as_u64 = |count: usize| count as u64;
        sum.streams_detached = as_u64(self.detached.len());
        sum.connections = as_u64(self.connections.len());
        sum.handshakes = as_u64(self.handshakes.len());
        sum.dials = as_u64(self.dials.len());
        sum.listeners = as_u64(self.listeners.len());
        sum.shards_kept = u64::from(self.is_kept);
        sum.tasks = as_u64(self.tasks.count());
        sum.messages_waiting = as_u64(self.mailbox.len());
        sum.ops_in_flight = as_u64(self.kernel.in_flight());
        sum.receive_buffers_free = u64::from(self.kernel.provided_available().0);
        sum.connections_starved = as_u64(self.starved.len());
        sum.leases_resting = as_u64(self.resting.values().map(Vec::len).sum());
        sum
    }

    fn add_session(&self, session: &SessionEntry, sum: &mut Statistics) {
        if matches!(session.shared.state(), SessionState::Ended(_)) {
            return;
        }
        let of = self.session_numbers(session);
        sum.sessions += 1;
        sum.sessions_connected += of.connected;
        sum.streams += of.streams;
        sum.streams_without_credit += of.streams_without_credit;
        sum.streams_unread += of.streams_unread;
        sum.retained_bytes += of.retained_bytes;
        sum.unacked_bytes += of.unacked_bytes;
        add_times(&of, sum);
    }

    fn session_numbers(&self, session: &SessionEntry) -> SessionStatistics {
        let now = self.now();
        let (proto, books) = (session.proto.statistics(), &session.books);
        let (streams_without_credit, streams_unread) = session.proto.waiting_streams();
        let (send_credit_bytes, receive_credit_bytes) = session.proto.credit_left();
        let attached = session.attached();
        let queued = attached.filter_map(|key| self.connections.get(key.0));
        let queued = queued.map(|connection| connection.egress.queue.len() as u64);
        SessionStatistics {
            resumes: books.resumes,
            body_bytes_sent: books.body_bytes_sent,
            replayed_bytes: proto.replayed_bytes,
            body_bytes_received: proto.received_bytes,
            duplicate_bytes: proto.duplicate_bytes,
            frames_sent: proto.frames_sent,
            frames_received: proto.frames_received,
            zero_copy_attempted: books.zero_copy_attempted,
            zero_copy_copied: books.zero_copy_copied,
            cap_wait_ns: books.cap_wait.total_ns(now),
            reader_wait_ns: session.proto.reader_wait_ns(now),
            connected: u64::from(session.connection.is_some()),
            streams: session.streams.len() as u64,
            streams_without_credit,
            streams_unread,
            opens_waiting: session.opens.len() as u64,
            bodies_retained: session.bodies.len() as u64,
            retained_bytes: proto.retained_bytes,
            unacked_bytes: proto.unacked_bytes,
            send_credit_bytes,
            receive_credit_bytes,
            pieces_queued: queued.sum(),
            path_bytes: books.path_bytes,
            path_pieces: books.path_pieces,
            losses: books.losses,
            send_waits_ns: books.waits.times(now.as_ns()),
            resume_gaps_ns: books.resume_gaps_ns,
        }
    }

    /// What a session counts; nothing once it has ended: its handles have the last numbers then.
    pub(crate) fn session_snapshot(&self, key: SessionKey) -> Option<SessionStatistics> {
        let session = self.sessions.get(key.0)?;
        match session.shared.state() {
            SessionState::Ended(_) => None,
            _ => Some(self.session_numbers(session)),
        }
    }

    /// What a stream counts.
    pub(crate) fn stream_snapshot(
        &self,
        key: SessionKey,
        stream: StreamId,
    ) -> Result<StreamStatistics, Error> {
        let now = self.now();
        let session = self.sessions.get(key.0).ok_or(Error::StreamEnded)?;
        let of = session.proto.stream_statistics(now, stream);
        let (Some(of), Some(entry)) = (of, session.streams.get(&stream)) else {
            return Err(self.ended_error(key));
        };
        Ok(StreamStatistics {
            accepted_bytes: of.accepted_bytes,
            sent_bytes: of.sent_bytes,
            acked_bytes: of.acked_bytes,
            consumed_by_peer_bytes: of.consumed_by_peer_bytes,
            records_accepted: of.records_accepted,
            replayed_bytes: of.replayed_bytes,
            received_bytes: of.received_bytes,
            consumed_bytes: of.consumed_bytes,
            records_received: of.records_received,
            credit_wait_ns: of.credit_wait_ns,
            cap_wait_ns: entry.cap_wait.total_ns(now),
            reader_wait_ns: of.reader_wait_ns,
            unacked_bytes: of.sent_bytes - of.acked_bytes.min(of.sent_bytes),
            retained_bytes: of.retained_bytes,
            unread_bytes: of.received_bytes - of.consumed_bytes,
            send_credit_bytes: of.send_credit_bytes,
            receive_credit_bytes: of.receive_credit_bytes,
            sends_waiting: entry.sends.len() as u64,
            receives_waiting: entry.requests.len() as u64,
        })
    }

    // --- counting ------------------------------------------------------------------------------

    /// Notes what a session waits for before it can send more: on any of its connections.
    pub(crate) fn note_wait(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key.0) else {
            return;
        };
        let attached = session.attached();
        let (mut is_busy, mut is_loading) = (false, false);
        for connection in attached.filter_map(|key| self.connections.get(key.0)) {
            is_busy |= connection.egress.is_busy;
            is_loading |= connection.egress.loading.is_some() || connection.egress.is_awaiting;
        }
        let awaited = match session.connection {
            None => Awaited::Connection,
            Some(_) if is_busy => Awaited::Socket,
            Some(_) if is_loading => Awaited::Source,
            Some(_) => session.proto.send_wait().into(),
        };
        session.books.waits.note(awaited, || self.kernel.now_ns());
    }

    /// The session ends: its handles get the last numbers, the shard keeps what clocks said.
    pub(crate) fn close_books(&mut self, key: SessionKey) {
        let session = self.sessions.get(key.0);
        let lives =
            |session: &&SessionEntry| !matches!(session.shared.state(), SessionState::Ended(_));
        let Some(session) = session.filter(lives) else {
            return;
        };
        let last = self.session_numbers(session);
        session.shared.set_last_statistics(SessionStatistics {
            connected: 0,
            ..last
        });
        add_times(&last, &mut self.statistics);
    }
}

fn add_times(of: &SessionStatistics, sum: &mut Statistics) {
    sum.cap_wait_ns += of.cap_wait_ns;
    sum.reader_wait_ns += of.reader_wait_ns;
    sum.send_waits_ns += of.send_waits_ns;
}
