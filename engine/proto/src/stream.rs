//! One stream: two directions.

use crate::link::Link;
use crate::priority::Priority;
use crate::receive_stream::ReceiveStream;
use crate::resume::ConnectionSet;
use crate::send_stream::SendStream;

/// How far a stream has got; offsets count bytes from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamProgress {
    /// Accepted from the application.
    pub accepted: u64,
    /// Given to a connection at least once.
    pub sent: u64,
    /// Copied by the peer's engine.
    pub acked: u64,
    /// Taken by the peer's application.
    pub consumed: u64,
    /// The peer allows sending up to here.
    pub credit: u64,
    /// Received in order.
    pub received: u64,
    /// Dropped to make room (lossy streams), bytes.
    pub dropped_bytes: u64,
    /// Dropped to make room (lossy streams), records.
    pub dropped_records: u64,
}

/// Both directions of a stream, and what control it owes the peer.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) send: SendStream,
    pub(crate) receive: ReceiveStream,
    /// The peer has shown that it knows the stream: frames need not open it.
    pub(crate) is_known: bool,
    /// How urgent its bodies are.
    pub(crate) priority: Priority,
    /// In the queue of streams with body bytes to send.
    pub(crate) is_queued: bool,
    /// What opens it was sent on the present connection.
    pub(crate) is_opening_sent: bool,
    /// Where its next body goes.
    pub(crate) link: Link,
    /// Which set of connections what is said here of sending is about (`resume`).
    pub(crate) set: ConnectionSet,
    /// What the peer has of it was settled on that set.
    pub(crate) is_settled: bool,
    /// Aborted, and the bulk connection it used was not read past its last byte yet.
    pub(crate) is_fencing: bool,
    pub(crate) owes: Owed,
}

/// Control frames to be sent for a stream: a set, not a queue, because each is absolute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) ack: bool,
    pub(crate) stop: bool,
    pub(crate) reset: bool,
    pub(crate) finish: bool,
    /// A frame that only opens it, because its first body goes elsewhere.
    pub(crate) open: bool,
    /// To say that it is lossy.
    pub(crate) lossy: bool,
}

impl Owed {
    pub(crate) fn is_any(self) -> bool {
        self.ack || self.stop || self.reset || self.finish || self.open || self.lossy
    }
}

impl Stream {
    pub(crate) fn new(set: ConnectionSet, send_credit: u64, receive_credit: u64) -> Self {
        Self {
            send: SendStream::new(send_credit),
            receive: ReceiveStream::new(receive_credit),
            is_known: false,
            priority: Priority::NORMAL,
            is_queued: false,
            is_opening_sent: false,
            link: Link::MESSAGE,
            set,
            is_settled: true,
            is_fencing: false,
            owes: Owed::default(),
        }
    }

    /// Both directions have ended, both sides know, and nothing unread is left: an application
    /// that does not read must not gather more streams than its peer was granted.
    pub(crate) fn is_over(&self) -> bool {
        self.send.is_over()
            && self.receive.has_ended()
            && self.receive.is_read()
            && !self.is_fencing
            && !self.owes.is_any()
    }

    pub(crate) fn progress(&self) -> StreamProgress {
        let dropped = self.send.gaps.as_ref().map(|gaps| gaps.dropped());
        let (dropped_bytes, dropped_records) = dropped.unwrap_or_default();
        StreamProgress {
            accepted: self.send.accepted,
            sent: self.send.sent_max,
            acked: self.send.acked,
            consumed: self.send.consumed,
            credit: self.send.credit,
            received: self.receive.received,
            dropped_bytes,
            dropped_records,
        }
    }
}
