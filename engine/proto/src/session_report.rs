//! What a session counts, and what is left of it.

use crate::id::{BodyId, StreamId};
use crate::status::Status;
use crate::stream::StreamProgress;

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionStatistics {
    /// Body bytes sent for the first time.
    pub new_bytes: u64,
    /// Body bytes sent again.
    pub replayed_bytes: u64,
    /// Body bytes received for the first time.
    pub received_bytes: u64,
    /// Body bytes received and not needed.
    pub duplicate_bytes: u64,
    /// Frames sent.
    pub frames_sent: u64,
    /// Frames received.
    pub frames_received: u64,
    /// Attaches of message connections.
    pub attaches: u64,
    /// Attaches of bulk connections.
    pub bulk_attaches: u64,
    /// Body bytes sent on bulk connections, new and again.
    pub bulk_bytes: u64,
    /// Memory kept for unacked bodies, bytes.
    pub retained_bytes: u64,
    /// Body bytes in flight unacked.
    pub unacked_bytes: u64,
}

/// Counters of one stream; offsets count bytes from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStatistics {
    /// Accepted from the application for sending.
    pub accepted_bytes: u64,
    /// Given to a connection at least once.
    pub sent_bytes: u64,
    /// Copied by the peer's engine.
    pub acked_bytes: u64,
    /// Taken by the peer's application.
    pub consumed_by_peer_bytes: u64,
    /// Records accepted from the application.
    pub records_accepted: u64,
    /// Given to a connection again.
    pub replayed_bytes: u64,
    /// Counted against the retention cap now.
    pub retained_bytes: u64,
    /// What the stream's own credit still allows to send.
    pub send_credit_bytes: u64,
    /// Waits for that credit, ns in all.
    pub credit_wait_ns: u64,
    /// Received in order.
    pub received_bytes: u64,
    /// Taken by our application.
    pub consumed_bytes: u64,
    /// Records received.
    pub records_received: u64,
    /// What the peer may still send.
    pub receive_credit_bytes: u64,
    /// Waits of the peer for our application, ns in all.
    pub reader_wait_ns: u64,
}

/// What is left of a stream when its session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamReport {
    /// Which stream.
    pub stream: StreamId,
    /// How far it had got.
    pub progress: StreamProgress,
    /// How our direction was finished, if it was, and the peer may not know.
    pub finish: Option<Status>,
    /// Payloads that are not wholly acked, oldest first.
    pub retained: Vec<RetainedBody>,
}

/// A payload that was kept to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetainedBody {
    /// Which.
    pub body: BodyId,
    /// Stream offset of its first byte.
    pub start: u64,
    /// Bytes of it that belong to the stream.
    pub length: u64,
    /// Its last byte ends a record.
    pub end_of_record: bool,
}
