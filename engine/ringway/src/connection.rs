//! One socket attached to a session: expendable.

use std::collections::VecDeque;

use bytes::Bytes;
use ringway_io::{BufferRef, Descriptor, Lease, OpId, Pipe, Route};
use ringway_proto::{Epoch, Incoming, Link, Offer};

use crate::session::SessionKey;
use crate::statistics::BodyPath;

/// Names a connection inside its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionKey(pub(crate) u64);

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) session: SessionKey,
    /// Which of its session's connections it is.
    pub(crate) link: Link,
    /// What its handshake agreed on.
    pub(crate) epoch: Epoch,
    pub(crate) socket: Descriptor,
    pub(crate) route: Route,
    /// Ops in flight that name its socket, its pipes or its files. A dead connection is gone,
    /// and its session may be attached again, only when there is none.
    pub(crate) ops: u32,
    pub(crate) is_dead: bool,
    /// Its session is over: what was said last leaves, what still comes is discarded, until the
    /// peer closes too. A reset now would destroy our last words in the peer's receive queue.
    pub(crate) is_lingering: bool,
    /// What came since and was discarded, bytes.
    pub(crate) lingered_bytes: u64,
    /// Leases that what it has sent lies in, kept for their session, which is over.
    pub(crate) unfenced: Vec<Lease>,
    /// The op that may have to be cancelled by id, because it does not name the socket.
    pub(crate) worker: Option<OpId>,
    pub(crate) loader: Option<OpId>,
    pub(crate) ingress: Ingress,
    pub(crate) egress: Egress,
}

impl Connection {
    pub(crate) fn new(
        session: SessionKey,
        (link, epoch): (Link, Epoch),
        socket: Descriptor,
        route: Route,
    ) -> Self {
        Self {
            session,
            link,
            epoch,
            socket,
            route,
            ops: 0,
            is_dead: false,
            is_lingering: false,
            lingered_bytes: 0,
            unfenced: Vec::new(),
            worker: None,
            loader: None,
            ingress: Ingress::default(),
            egress: Egress::default(),
        }
    }
}

/// The receiving half.
///
/// ```text
///            ┌────────── small frames ──────────┐
///            ▼                                  │
///   Frames (multishot, provided buffers)     8 small frames in a row
///            │ a large body was announced       │
///            ▼                                  │
///   multishot cancelled and drained ──▶ Direct: body, header, body, header …
/// ```
#[derive(Debug, Default)]
pub(crate) struct Ingress {
    /// The multishot receive, while its last completion has not come.
    pub(crate) multishot: Option<OpId>,
    /// It was asked to end, because a large body comes.
    pub(crate) is_stopping: bool,
    /// Headers are received exactly, bodies directly.
    pub(crate) is_direct: bool,
    /// Frames without a large body since the last large one.
    pub(crate) small_frames: u32,
    /// The exact receive of a header or body, while it is under way.
    pub(crate) exact: Option<Exact>,
    /// A direct receive or write is under way: nothing else may be parsed.
    pub(crate) is_busy: bool,
    /// A body is ahead of its stream: nothing more is read before the protocol says so.
    pub(crate) is_waiting: bool,
    /// Bytes of a header that is not complete.
    pub(crate) partial: Vec<u8>,
    /// How many bytes are missing for the next header or control frame, at least.
    pub(crate) header_missing: usize,
    /// The body that is arriving.
    pub(crate) body: Option<Body>,
    /// The body and its checksum, as far as they are here, if one stands behind it.
    pub(crate) gathered: Option<Vec<u8>>,
    pub(crate) sink: Sink,
    /// Bytes of a body that are in memory and must be written to its file before more is parsed.
    pub(crate) writes: VecDeque<FileWrite>,
    /// Rest of a receive buffer that could not be parsed because a write must come first.
    pub(crate) backlog: VecDeque<Bytes>,
}

/// Bytes on their way into a file.
#[derive(Clone, Debug)]
pub(crate) struct FileWrite {
    /// Of the first byte, in the file.
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
    /// Where in the file the piece of the arena would begin in which they lie, if they do.
    pub(crate) lease_offset: Option<u64>,
}

/// An exact receive, which says nothing until it has everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exact {
    pub(crate) op: OpId,
    /// Nothing was heard for long: it was cancelled, to say how far it got.
    pub(crate) is_asked: bool,
}

/// A body on its way in.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) incoming: Incoming,
    /// Bytes on the wire that were not taken from the socket, trailer excluded.
    pub(crate) remaining: u64,
    /// Of these, leading ones that were received before.
    pub(crate) skip: u64,
    /// Stream offset of the next byte behind `skip`.
    pub(crate) at: u64,
}

impl Body {
    pub(crate) fn new(incoming: Incoming) -> Self {
        Self {
            remaining: incoming.length,
            skip: incoming.skip,
            at: incoming.offset,
            incoming,
        }
    }
}

/// The pipes between the socket and a file.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    /// Being filled from the socket, with what it holds.
    pub(crate) filling: Option<(Pipe, u32)>,
    /// Being emptied into the file by a worker, with what it holds.
    pub(crate) draining: Option<(Pipe, u32)>,
    pub(crate) is_polling: bool,
}

/// The sending half: what is on its way to the socket, in wire order.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    pub(crate) queue: VecDeque<Piece>,
    /// An op works for the front of `queue`: room is awaited, or a send is under way.
    pub(crate) is_busy: bool,
    /// A send has failed. What the peer said before is still read to its end: it may be why.
    pub(crate) is_broken: bool,
    /// A body that is being brought into a pipe or into memory.
    pub(crate) loading: Option<Loading>,
    /// A body was to be sent that is not read yet.
    pub(crate) is_awaiting: bool,
    pub(crate) zero_copy: ZeroCopy,
}

/// What is known of zero-copy sends on one connection.
#[derive(Debug, Default)]
pub(crate) struct ZeroCopy {
    /// Reported as copied in a row.
    pub(crate) copied_in_a_row: u32,
    /// Lease bodies since then.
    pub(crate) avoided: u32,
}

/// A piece of the wire.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Headers, control frames and small bodies.
    Inline { bytes: Vec<u8>, sent: usize },
    /// A body, or part of one, referred to by a pipe.
    Pipe {
        pipe: Pipe,
        held: u32,
        /// Kept until the pipe is empty.
        lease: Option<Lease>,
    },
    /// A body in memory.
    Memory {
        buffer: BufferRef,
        sent: usize,
        path: BodyPath,
    },
}

/// An offered body that is not ready to be sent.
#[derive(Debug)]
pub(crate) struct Loading {
    pub(crate) offer: Offer,
    /// The pipe it is spliced into, on that path.
    pub(crate) pipe: Option<Pipe>,
}
