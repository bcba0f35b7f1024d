//! One connection: two ends and a direction from each.
//!
//! ```text
//!   taken ──▶ send_queue ──pump──▶ flight ──arrive──▶ received ──▶ read
//!   (offset `taken`)            (`transmitted`)      (`arrived`)    (`read`)
//! ```
//!
//! Direction 0 leads from the dialer (end 0) to the acceptor (end 1). This file holds the state
//! and its arithmetic; `network` moves it through time.

use std::collections::VecDeque;

use ringway_io::{Address, Errno, OpId, Readiness};

use crate::config::{LinkConfig, SocketConfig};
use crate::queue::ByteQueue;
use crate::{CutKind, HostId, KernelId};

/// A pair of connected sockets.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) ends: [End; 2],
    /// `directions[n]` leads away from `ends[n]`.
    pub(crate) directions: [Direction; 2],
    /// A Unix socket.
    pub(crate) is_unix: bool,
    /// Nothing passes any more, and nobody is told.
    pub(crate) is_black_hole: bool,
}

/// One end.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) host: HostId,
    pub(crate) address: Address,
    /// Its descriptor; `None` before it is accepted and after it is closed.
    pub(crate) object: Option<u64>,
    /// The last descriptor is closed, or the process or machine is gone.
    pub(crate) is_closed: bool,
    /// Reset, by either side.
    pub(crate) is_dead: bool,
    /// Told once, by the next call.
    pub(crate) error: Option<Errno>,
    /// Reads end after what has arrived.
    pub(crate) read_shut: bool,
    /// Writes fail.
    pub(crate) write_shut: bool,
    pub(crate) user_timeout_ms: u32,
    pub(crate) user_timer_armed: bool,
    pub(crate) receive_low: usize,
    /// Kernel process and user at this end, for credentials.
    pub(crate) pid: i32,
    pub(crate) uid: u32,
}

impl End {
    pub(crate) fn new(host: HostId, address: Address, object: Option<u64>) -> Self {
        Self {
            host,
            address,
            object,
            is_closed: false,
            is_dead: false,
            error: None,
            read_shut: false,
            write_shut: false,
            user_timeout_ms: 0,
            user_timer_armed: false,
            receive_low: 1,
            pid: 0,
            uid: 0,
        }
    }

    /// Ends it with an error that its next call is told.
    pub(crate) fn kill(&mut self, error: Errno) {
        self.is_dead = true;
        self.write_shut = true;
        self.error = Some(error);
    }
}

/// How far the end of a direction's bytes has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Open,
    Queued,
    Sent,
    Arrived,
}

/// What travels in one piece.
#[derive(Debug)]
pub(crate) enum Segment {
    Bytes(ByteQueue),
    Finish,
    Reset,
}

/// A zero-copy send whose notification is due once `end_offset` is acknowledged.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) end_offset: u64,
    pub(crate) kernel: KernelId,
    pub(crate) op: OpId,
    /// Only when the connection ends.
    pub(crate) held: bool,
}

/// A full segment of an Ethernet frame, bytes: below, a window is not worth sending into.
const SILLY_BYTES: usize = 1448;

/// The way from one end to the other.
#[derive(Debug)]
pub(crate) struct Direction {
    pub(crate) send_queue: ByteQueue,
    pub(crate) flight: VecDeque<Segment>,
    pub(crate) flight_bytes: usize,
    pub(crate) received: ByteQueue,
    /// Read by the receiver, not yet known to the sender.
    pub(crate) unannounced: usize,
    /// Left the send queue, not acknowledged.
    pub(crate) unacked: usize,
    /// Offsets: taken from the sender, transmitted, arrived, acknowledged, read.
    pub(crate) taken: u64,
    pub(crate) transmitted: u64,
    pub(crate) arrived: u64,
    pub(crate) acked: u64,
    pub(crate) read: u64,
    pub(crate) finish: Finish,
    pub(crate) last_arrival_ns: u64,
    pub(crate) send_bound: usize,
    pub(crate) receive_bound: usize,
    pub(crate) cut: Option<(u64, CutKind)>,
    pub(crate) pinned: VecDeque<Pinned>,
}

impl Direction {
    pub(crate) fn new(socket: SocketConfig) -> Self {
        Self {
            send_queue: ByteQueue::default(),
            flight: VecDeque::new(),
            flight_bytes: 0,
            received: ByteQueue::default(),
            unannounced: 0,
            unacked: 0,
            taken: 0,
            transmitted: 0,
            arrived: 0,
            acked: 0,
            read: 0,
            finish: Finish::Open,
            last_arrival_ns: 0,
            send_bound: socket.send_buffer_bytes,
            receive_bound: socket.receive_buffer_bytes,
            cut: None,
            pinned: VecDeque::new(),
        }
    }

    /// What the sender may still put in.
    pub(crate) fn space(&self) -> usize {
        let used = self.send_queue.len() + self.unacked;
        self.send_bound.saturating_sub(used)
    }

    /// What may be transmitted now: bounded by the window and by a cut that waits.
    pub(crate) fn transmittable(&self, segment_bytes_max: usize) -> usize {
        let used = self.flight_bytes + self.received.len() + self.unannounced;
        let window = self.receive_bound.saturating_sub(used);
        let before_cut = self.cut.as_ref().map_or(u64::MAX, |&(offset, _)| {
            offset.saturating_sub(self.transmitted)
        });
        // As TCP does it (RFC 9293, 3.8.6.2.1): a window that opened by a few bytes is not used, or
        // a receiver that reads in small pieces would get small pieces for ever.
        if window < self.send_queue.len() && window < SILLY_BYTES.min(self.receive_bound / 2) {
            return 0;
        }
        let bytes = window.min(self.send_queue.len()).min(segment_bytes_max);
        bytes.min(usize::try_from(before_cut).unwrap_or(usize::MAX))
    }

    /// Whether the end of the bytes may be transmitted now.
    pub(crate) fn may_finish(&self) -> bool {
        self.finish == Finish::Queued && self.send_queue.is_empty() && self.cut.is_none()
    }

    /// Forgets what the sender had not transmitted.
    pub(crate) fn purge_unsent(&mut self) {
        self.send_queue.clear();
        self.unacked = 0;
        if self.finish == Finish::Queued {
            self.finish = Finish::Open;
        }
    }

    /// Forgets everything that travels.
    pub(crate) fn purge_flight(&mut self) {
        // Emptied in place: the arrival events find nothing and do nothing.
        self.flight.clear();
        self.flight_bytes = 0;
    }
}

impl Connection {
    pub(crate) fn new(ends: [End; 2], socket: SocketConfig, is_unix: bool) -> Self {
        Self {
            ends,
            directions: [Direction::new(socket), Direction::new(socket)],
            is_unix,
            is_black_hole: false,
        }
    }

    /// What the end receives from.
    pub(crate) fn incoming(&mut self, end: usize) -> &mut Direction {
        &mut self.directions[1 - end]
    }

    /// Whether a read of `end` would say that nothing more comes.
    pub(crate) fn is_at_end(&self, end: usize) -> bool {
        let incoming = &self.directions[1 - end];
        let over = incoming.finish == Finish::Arrived
            || self.ends[end].read_shut
            || self.ends[end].is_dead;
        over && incoming.received.is_empty()
    }

    /// The poll(2) bits of `end` for `readiness`; 0 when it is not ready.
    pub(crate) fn readiness(&self, end: usize, readiness: Readiness) -> u32 {
        const POLLIN: u32 = 1;
        const POLLOUT: u32 = 4;
        const POLLERR: u32 = 8;
        let this = &self.ends[end];
        let errors = if this.error.is_some() { POLLERR } else { 0 };
        let ready = match readiness {
            Readiness::Readable => {
                let waiting = self.directions[1 - end].received.len();
                let enough = waiting > 0 && waiting >= this.receive_low;
                let over = self.directions[1 - end].finish == Finish::Arrived || this.is_dead;
                if enough || over || this.read_shut {
                    POLLIN
                } else {
                    0
                }
            }
            Readiness::Writable => {
                let direction = &self.directions[end];
                // tcp(7): writable means a third of the buffer, not one byte.
                let roomy = direction.space() * 3 >= direction.send_bound;
                if roomy || this.write_shut { POLLOUT } else { 0 }
            }
        };
        ready | errors
    }
}

/// State of the way between two hosts, for one direction.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) config: LinkConfig,
    /// Until when it is busy with what it was given.
    pub(crate) busy_until_ns: u64,
    /// Nothing passes for now; senders keep and repeat.
    pub(crate) is_down: bool,
}

impl Link {
    pub(crate) fn new(config: LinkConfig) -> Self {
        Self {
            config,
            busy_until_ns: 0,
            is_down: false,
        }
    }

    /// Occupies the link with `bytes` from `now_ns` on; returns when the last of them left.
    pub(crate) fn occupy(&mut self, now_ns: u64, bytes: usize) -> u64 {
        let start = now_ns.max(self.busy_until_ns);
        self.busy_until_ns =
            start + transfer_ns(bytes as u64, self.config.bandwidth_bytes_per_second);
        self.busy_until_ns
    }
}

/// How long `bytes` take at `bytes_per_second`; 0 means without limit.
pub(crate) fn transfer_ns(bytes: u64, bytes_per_second: u64) -> u64 {
    (u128::from(bytes) * 1_000_000_000)
        .checked_div(u128::from(bytes_per_second))
        .map_or(0, |ns| u64::try_from(ns).unwrap_or(u64::MAX))
}
