//! What one session counts and holds.

use crate::histogram::Histogram;
use crate::loss::LossCounters;
use crate::metric::metrics;
use crate::send_waits::SendWaits;
use crate::statistics::PathCounters;

metrics! {
    /// What one session counts and holds, at one moment.
    pub struct SessionStatistics {
        /// Connections attached after the first.
        counter resumes,
        /// Body bytes sent, headers excluded.
        counter body_bytes_sent,
        /// Body bytes sent again after a resume.
        counter replayed_bytes,
        /// Body bytes received, duplicates excluded.
        counter body_bytes_received,
        /// Duplicate body bytes received and discarded.
        counter duplicate_bytes,
        /// Frames sent.
        counter frames_sent,
        /// Frames received.
        counter frames_received,
        /// Zero-copy sends tried.
        counter zero_copy_attempted,
        /// Zero-copy sends that the kernel reported as copied.
        counter zero_copy_copied,
        /// Time with a send waiting at the retention cap.
        counter cap_wait_ns,
        /// Time that the peer waited because some stream was not read here.
        counter reader_wait_ns,
        /// Connections attached now.
        gauge connected,
        /// Streams that have not ended.
        gauge streams,
        /// Streams with something to send for which they have no credit.
        gauge streams_without_credit,
        /// Streams whose peers wait because nobody reads here.
        gauge streams_unread,
        /// Opens that wait for credit on the number of streams.
        gauge opens_waiting,
        /// Payloads that are not wholly acked.
        gauge bodies_retained,
        /// Memory kept for them.
        gauge retained_bytes,
        /// Body bytes in flight unacked.
        gauge unacked_bytes,
        /// What the session's credit still allows to send.
        gauge send_credit_bytes,
        /// What the peer may still send by the session's credit.
        gauge receive_credit_bytes,
        /// Pieces on their way to the socket.
        gauge pieces_queued,
        ;
        /// Body bytes sent.
        counter path_bytes: PathCounters,
        /// Pieces in which they were sent.
        counter path_pieces: PathCounters,
        /// Connections lost.
        counter losses: LossCounters,
        /// What it waited for before it could send.
        counter send_waits_ns: SendWaits,
        /// From the loss of a connection to the first new body byte, where one came within a heartbeat of the resume.
        times resume_gaps_ns: Histogram,
    }
}
