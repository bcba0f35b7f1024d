//! A look inside a shard, for whoever steps it: what the checkers of the simulator compare.
//!
//! Not part of what applications use: fields come and go with the protocol.

use ringway_io::Kernel;
use ringway_proto::{SessionId, StreamId};

use crate::payload::Payload;
use crate::session_entry::SessionEntry;
use crate::shard::Shard;

/// One session of a shard.
#[derive(Clone, Debug)]
pub struct SessionInspection {
    /// Its id, the same at both ends.
    pub id: SessionId,
    /// Counts its sets of connections; the newest one wins.
    pub epoch: u64,
    /// The epochs that its attached connections were made for.
    pub attached: Vec<u64>,
    /// Older connections with ops under way: while there is one, none is attached.
    pub fencing: usize,
    /// Memory kept for unacked bytes, and its cap, bytes.
    pub retained_bytes: u64,
    /// The cap of these.
    pub retained_bytes_max: u64,
    /// The largest single payload kept, bytes: one above the cap passes alone.
    pub retained_largest_bytes: u64,
    /// What a stream may have unread, bytes.
    pub stream_window_bytes: u64,
    /// What all streams may have unread beyond what is free for each, bytes.
    pub session_window_bytes: u64,
    /// Session credit: sent, allowed, received, consumed, granted (docs/WIRE.md, W-4.2).
    pub credit: [u64; 5],
    /// A stream of it is lossy: gaps wait for no credit.
    pub is_lossy: bool,
    /// Streams that have not ended.
    pub streams: Vec<StreamInspection>,
}

/// One stream of a session; offsets count bytes from 0.
#[derive(Clone, Copy, Debug)]
pub struct StreamInspection {
    /// Which.
    pub id: StreamId,
    /// Accepted from our application.
    pub accepted: u64,
    /// Given to a connection at least once.
    pub sent: u64,
    /// Copied by the peer's engine.
    pub acked: u64,
    /// Taken by the peer's application.
    pub consumed: u64,
    /// We may send up to here.
    pub allowed: u64,
    /// Received in order.
    pub received: u64,
    /// Taken by our application.
    pub taken: u64,
    /// The peer may send up to here.
    pub granted: u64,
}

impl<K: Kernel> Shard<K> {
    /// Every session that it owns, as it is now.
    #[doc(hidden)]
    #[must_use]
    pub fn inspect(&self) -> Vec<SessionInspection> {
        let keys = self.sessions.keys().into_iter();
        let entries = keys.filter_map(|key| self.sessions.get(key));
        entries.map(|entry| self.inspect_session(entry)).collect()
    }

    fn inspect_session(&self, entry: &SessionEntry) -> SessionInspection {
        let proto = &entry.proto;
        let config = &self.config.session;
        let in_memory =
            |body: &&crate::session_entry::Retained| !matches!(body.payload, Payload::File(_));
        let kept = entry.bodies.values().filter(in_memory);
        let streams = ringway_proto::testing::stream_ledgers(proto).into_iter();
        let attached = entry.connections().into_iter();
        let attached = attached.filter_map(|key| Some(self.connections.get(key.0)?.epoch.0));
        SessionInspection {
            id: entry.id,
            epoch: proto.epoch().0,
            attached: attached.collect(),
            fencing: entry.fencing.len(),
            retained_bytes: match proto.is_closed() {
                // Handed back at the end.
                true => 0,
                false => proto.statistics().retained_bytes,
            },
            retained_bytes_max: config.retained_bytes_max,
            retained_largest_bytes: kept.map(|body| body.payload.len()).max().unwrap_or(0),
            stream_window_bytes: config.stream_window_bytes,
            session_window_bytes: config.session_window_bytes,
            credit: ringway_proto::testing::session_ledger(proto),
            is_lossy: entry.streams.keys().any(|&stream| proto.is_lossy(stream)),
            streams: streams.map(StreamInspection::new).collect(),
        }
    }
}

impl StreamInspection {
    fn new((id, ledger): (StreamId, [u64; 8])) -> Self {
        let [
            accepted,
            sent,
            acked,
            consumed,
            allowed,
            received,
            taken,
            granted,
        ] = ledger;
        Self {
            id,
            accepted,
            sent,
            acked,
            consumed,
            allowed,
            received,
            taken,
            granted,
        }
    }
}
