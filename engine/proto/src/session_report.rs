//! What a session counts, and what is left of it.

use crate::id::{BodyId, StreamId};
use crate::stream::StreamProgress;

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionStatistics {
    /// Body bytes sent for the first time.
    pub new_bytes: u64,
    /// Body bytes sent again.
    pub replayed_bytes: u64,
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

/// What is left of a stream when its session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamReport {
    /// Which stream.
    pub stream: StreamId,
    /// How far it had got.
    pub progress: StreamProgress,
    /// Payloads that are not wholly acked, with the stream offset of their first byte.
    pub retained: Vec<(BodyId, u64, u64)>,
}
