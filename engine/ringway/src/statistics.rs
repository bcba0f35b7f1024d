//! What a shard counts and holds: everything that is chosen, copied, replayed, dropped or waited
//! for. What each number means stands beside it, and from there in docs/METRICS.md.

use std::ops::AddAssign;

use crate::histogram::Histogram;
use crate::loss::LossCounters;
use crate::metric::{MetricKind, MetricValue, metrics};
use crate::send_waits::SendWaits;

/// The way the bytes of a body took to the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BodyPath {
    /// Copied behind its header and sent with it.
    Coalesced,
    /// Sent from its own memory; the kernel copied it.
    Copy,
    /// Read from the file into memory, then sent.
    ReadThenSend,
    /// Spliced from the file through a pipe.
    SpliceFile,
    /// Spliced from the arena through a pipe.
    SpliceArena,
    /// Sent from registered memory without a copy.
    ZeroCopy,
    /// Read from the file past the page cache, then sent.
    DirectRead,
}

impl BodyPath {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Coalesced,
        Self::Copy,
        Self::ReadThenSend,
        Self::SpliceFile,
        Self::SpliceArena,
        Self::ZeroCopy,
        Self::DirectRead,
    ];

    /// The name in JSON and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Coalesced => "coalesced",
            Self::Copy => "copy",
            Self::ReadThenSend => "read_then_send",
            Self::SpliceFile => "splice_file",
            Self::SpliceArena => "splice_arena",
            Self::ZeroCopy => "zero_copy",
            Self::DirectRead => "direct_read",
        }
    }
}

/// Something by path: bytes or pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathCounters([u64; 7]);

impl PathCounters {
    pub(crate) const LABEL: Option<&'static str> = Some("path");

    /// Adds to `path`.
    pub fn add(&mut self, path: BodyPath, count: u64) {
        self.0[path as usize] += count;
    }

    /// How much took `path`.
    #[must_use]
    pub fn bytes(&self, path: BodyPath) -> u64 {
        self.0[path as usize]
    }

    /// All of it together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn value(&self) -> MetricValue {
        let parts = BodyPath::ALL.map(|path| (path.name(), self.bytes(path)));
        MetricValue::Parts(parts.into())
    }
}

impl AddAssign for PathCounters {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

metrics! {
    /// What one shard counts and holds, or the sum over several.
    ///
    /// Counters are from the start of the engine and only grow, also when sessions end. All numbers
    /// of one shard are of one moment.
    pub struct Statistics {
        /// Turns of the loop.
        counter turns,
        /// Waits in the kernel.
        counter sleeps,
        /// Turns that looked again instead of waiting in the kernel (`Config::wait`).
        counter peeks,
        /// Completions reaped.
        counter completions,
        /// Messages taken from the mailbox.
        counter messages,
        /// Polls of local tasks.
        counter task_polls,
        /// Connections accepted.
        counter connections_accepted,
        /// Connections dialled, failed attempts included.
        counter connections_dialled,
        /// Dials that failed.
        counter dials_failed,
        /// Handshakes that failed or were refused.
        counter handshakes_failed,
        /// Sessions established for the first time.
        counter sessions_opened,
        /// Sessions that ended.
        counter sessions_ended,
        /// Sessions without a connection that made room for new ones.
        counter sessions_evicted,
        /// Connections attached to a session that had one before.
        counter resumes,
        /// Connections lost under a session.
        counter connections_lost,
        /// Bulk connections attached.
        counter bulk_attached,
        /// Bulk connections lost, with the message connection or before it.
        counter bulk_lost,
        /// Body bytes sent, headers excluded.
        counter body_bytes_sent,
        /// Of these, on bulk connections.
        counter bulk_body_bytes_sent,
        /// Body bytes sent again after a resume.
        counter replayed_bytes,
        /// Body bytes received, duplicates excluded.
        counter body_bytes_received,
        /// Duplicate body bytes received and discarded.
        counter duplicate_bytes,
        /// Bytes discarded that came after their session had been closed here.
        counter lingered_bytes,
        /// Body bytes copied from receive buffers.
        counter received_by_copy_bytes,
        /// Body bytes received directly into the place they belong.
        counter received_direct_bytes,
        /// Body bytes received into a file by splice.
        counter received_by_splice_bytes,
        /// Zero-copy sends tried.
        counter zero_copy_attempted,
        /// Zero-copy sends that the kernel reported as copied.
        counter zero_copy_copied,
        /// Body bytes of these.
        counter zero_copy_copied_bytes,
        /// File pieces that were in the page cache and spliced inline.
        counter file_pieces_hot,
        /// File pieces that went through a kernel worker.
        counter file_pieces_cold,
        /// Reads of files past the page cache, ahead of their turn.
        counter direct_reads,
        /// Bytes written to files past the page cache.
        counter direct_written_bytes,
        /// Longest inline splice from a file.
        longest inline_splice_longest_ns,
        /// Times a multishot receive ended for want of buffers.
        counter receive_starved,
        /// Times a send waited for the socket.
        counter socket_blocked,
        /// Times a send was refused at the retention cap.
        counter send_blocked,
        /// Payloads of lossy streams dropped at the retention cap.
        counter payloads_dropped,
        /// Times no pipe was free.
        counter pipes_exhausted,
        /// Times no piece of the arena was free.
        counter leases_exhausted,
        /// Completions that came for something already gone.
        counter completions_orphaned,
        /// Time that sessions had a send waiting at their retention cap, summed over sessions.
        counter cap_wait_ns,
        /// Time that a peer waited because some stream of its session was not read here, summed over sessions.
        counter reader_wait_ns,
        /// Sessions.
        gauge sessions,
        /// Of these, with a connection.
        gauge sessions_connected,
        /// Streams of all sessions.
        gauge streams,
        /// Streams that are over for the protocol and not yet for the application.
        gauge streams_detached,
        /// Streams with something to send for which they have no credit.
        gauge streams_without_credit,
        /// Streams whose peers wait because nobody reads here.
        gauge streams_unread,
        /// Connections, those included whose last ops are awaited.
        gauge connections,
        /// Handshakes in progress.
        gauge handshakes,
        /// Dials in progress or waiting for their next attempt.
        gauge dials,
        /// Listening sockets.
        gauge listeners,
        /// Shards that are kept on a core (`Config::cores`).
        gauge shards_kept,
        /// Tasks on the shard.
        gauge tasks,
        /// Messages in the mailbox.
        gauge messages_waiting,
        /// Ops whose last completion has not come.
        gauge ops_in_flight,
        /// Shared receive buffers that the kernel may fill.
        gauge receive_buffers_free,
        /// Connections that wait for a shared receive buffer.
        gauge connections_starved,
        /// Leases of reset connections that rest.
        gauge leases_resting,
        /// Memory kept for unacked bodies, of all sessions.
        gauge retained_bytes,
        /// Body bytes in flight unacked, of all sessions.
        gauge unacked_bytes,
        ;
        /// Body bytes sent.
        counter path_bytes: PathCounters,
        /// Pieces in which they were sent.
        counter path_pieces: PathCounters,
        /// Connections lost under a session.
        counter losses: LossCounters,
        /// What sessions waited for before they could send, summed over sessions.
        counter send_waits_ns: SendWaits,
        /// From the loss of a connection to the first new body byte, where one came within a heartbeat of the resume.
        times resume_gaps_ns: Histogram,
    }
}

impl Statistics {
    /// Every plain counter (and the longest times) with its name, without gauges and what has
    /// parts.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let counters = self.metrics().filter_map(|(metric, value)| match value {
            MetricValue::Number(number) if metric.kind != MetricKind::Gauge => {
                Some((metric.name, number))
            }
            _ => None,
        });
        counters.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_add_every_number_and_keep_the_longest() {
        let mut one = Statistics {
            turns: 2,
            resumes: 1,
            streams: 5,
            inline_splice_longest_ns: 70,
            ..Statistics::default()
        };
        one.path_bytes.add(BodyPath::SpliceFile, 10);
        one.resume_gaps_ns.record(5);
        let mut sum = one;
        sum += one;
        assert_eq!((sum.turns, sum.resumes, sum.path_bytes.total()), (4, 2, 20));
        assert_eq!((sum.streams, sum.inline_splice_longest_ns), (10, 70));
        assert_eq!(sum.resume_gaps_ns.count(), 2);
        assert!(sum.counters().contains(&("resumes", 2)));
        let gauges = sum.counters().iter().any(|(name, _)| *name == "streams");
        assert!(!gauges, "a gauge is no counter");
    }

    #[test]
    fn each_number_stands_beside_its_own_name() {
        let one = Statistics {
            leases_exhausted: 3,
            unacked_bytes: 4,
            ..Statistics::default()
        };
        let said: Vec<_> = one
            .metrics()
            .filter_map(|(metric, value)| match value {
                MetricValue::Number(number) if number > 0 => Some((metric.name, number)),
                _ => None,
            })
            .collect();
        assert_eq!(said, [("leases_exhausted", 3), ("unacked_bytes", 4)]);
    }
}
