//! What a session tells its application.

use std::time::Duration;

use crate::close_reason::CloseReason;
use crate::id::{BodyId, StreamId};
use crate::link::Link;
use crate::status::Status;

/// Something the application should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer opened a stream.
    Opened(StreamId),
    /// The peer finished its direction; every byte before has been reported.
    Finished {
        /// Which stream.
        stream: StreamId,
        /// How.
        status: Status,
        /// Its length, bytes.
        offset: u64,
    },
    /// The peer aborted its direction.
    Reset {
        /// Which stream.
        stream: StreamId,
        /// Why.
        status: Status,
        /// What it had sent at most, bytes.
        final_offset: u64,
    },
    /// The stream is lossy: its sender may drop what it retains (from now on ours may, too).
    Lossy(StreamId),
    /// Records of a lossy stream never come. Everything before has been reported; what follows
    /// begins at `offset + bytes`.
    Gap {
        /// Which stream.
        stream: StreamId,
        /// Received before it, bytes.
        offset: u64,
        /// How far the position jumps; counts as received, and is to be consumed in its turn.
        bytes: u64,
        /// How many records are missing, one that was begun included.
        records: u64,
        /// The last record had begun to arrive: its bytes are to be given up.
        is_record_cut: bool,
    },
    /// The peer does not want more; our direction has been reset.
    StopRequested {
        /// Which stream.
        stream: StreamId,
        /// Why.
        status: Status,
    },
    /// The peer's engine has copied everything before `offset`.
    Acked {
        /// Which stream.
        stream: StreamId,
        /// Bytes.
        offset: u64,
    },
    /// The peer's application has taken everything before `offset`.
    Consumed {
        /// Which stream.
        stream: StreamId,
        /// Bytes.
        offset: u64,
    },
    /// The peer knows that our direction has ended.
    FinishAcked {
        /// Which stream.
        stream: StreamId,
    },
    /// Our direction was aborted, and the peer has read past everything that was sent of it:
    /// memory that it lay in may be used again.
    Fenced {
        /// Which stream.
        stream: StreamId,
    },
    /// A payload is not needed any more; of an aborted direction its memory may still be on the
    /// way until [`Fenced`](Self::Fenced).
    Released(BodyId),
    /// A payload of a lossy stream was dropped to make room: it will not be sent (again).
    Dropped(BodyId),
    /// There is room below the retention cap again.
    SendUnblocked,
    /// There is credit for streams again.
    OpenUnblocked,
    /// Both directions have ended; the id is forgotten.
    StreamEnded(StreamId),
    /// A lost connection is overcome: so long after the loss the first new body byte was sent or
    /// received. Not told if none comes within a heartbeat of the attach.
    Resumed {
        /// From the loss to that byte.
        gap: Duration,
    },
    /// Nothing was heard for two heartbeat intervals: drop the connection and detach, unless it
    /// turns out that bytes did arrive ([`heard`](crate::Session::heard)), or that the peer is
    /// alive beside it ([`is_heard_beside`](crate::Session::is_heard_beside)). Told again after
    /// four.
    PeerSilent {
        /// The connection.
        link: Link,
    },
    /// The peer wants no new streams.
    PeerDraining,
    /// The drain is over; a close follows.
    Drained,
    /// The session is over.
    Closed(CloseReason),
}
