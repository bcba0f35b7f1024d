//! What a shard keeps of a session it owns.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ringway_io::{Descriptor, FileStat};
use ringway_proto::{BodyId, Epoch, Established, Link, SessionId, Side, StreamId};

use crate::config::{ConnectOptions, PathChoice, StreamOptions};
use crate::connection::ConnectionKey;
use crate::dial::DialKey;
use crate::key_limits::RetainedShare;
use crate::payload::Payload;
use crate::read_ahead::ReadAhead;
use crate::reply::Reply;
use crate::session::{SessionShared, WeakSession};
use crate::session_books::SessionBooks;
use crate::stream_entry::StreamEntry;
use crate::target::Target;

/// How the dialing side reaches its peer again.
#[derive(Clone, Debug)]
pub(crate) struct Redial {
    pub(crate) target: Target,
    pub(crate) options: ConnectOptions,
}

/// A payload that is kept until its bytes are acked.
#[derive(Debug)]
pub(crate) struct Retained {
    pub(crate) payload: Payload,
    pub(crate) stream: StreamId,
    /// What the file was when its range was accepted.
    pub(crate) identity: Option<Box<FileStat>>,
    /// The epoch in which the file was last compared with that.
    pub(crate) verified_epoch: u64,
    /// What was read of it past the page cache.
    pub(crate) ahead: Option<Box<ReadAhead>>,
}

/// A connection that has proven itself and waits for the older one's ops to end.
#[derive(Debug)]
pub(crate) struct PendingAttach {
    pub(crate) socket: Descriptor,
    pub(crate) established: Established,
}

/// Answers a wish to reconnect: the epoch of the connection that came of it.
pub(crate) type Reconnected = Reply<Result<Epoch, crate::Error>>;

/// One session.
pub(crate) struct SessionEntry {
    pub(crate) id: SessionId,
    pub(crate) side: Side,
    pub(crate) proto: ringway_proto::Session,
    pub(crate) shared: Arc<SessionShared>,
    pub(crate) handle: WeakSession,
    /// The first handle of an accepted session, until its connection is attached.
    pub(crate) unclaimed: Option<crate::Session>,
    pub(crate) path: PathChoice,
    /// The message connection that is attached now.
    pub(crate) connection: Option<ConnectionKey>,
    /// Bulk connections attached beside it: the first is link 1.
    pub(crate) bulk: Vec<ConnectionKey>,
    /// Older ones whose ops have not all completed: while there is one, none is attached.
    pub(crate) fencing: Vec<ConnectionKey>,
    pub(crate) pending: Option<PendingAttach>,
    pub(crate) redial: Option<Redial>,
    pub(crate) dial: Option<DialKey>,
    /// For another bulk connection.
    pub(crate) bulk_dial: Option<DialKey>,
    /// The epoch in which the peer would have no more of them.
    pub(crate) bulk_given_up: Epoch,
    /// When a body last went over the message connection.
    pub(crate) last_message_ns: u64,
    /// Boxed: a map's nodes are half empty.
    pub(crate) streams: BTreeMap<StreamId, Box<StreamEntry>>,
    pub(crate) books: SessionBooks,
    pub(crate) bodies: BTreeMap<BodyId, Retained>,
    pub(crate) next_body: u64,
    pub(crate) opens: VecDeque<(StreamOptions, Reply<Result<crate::Stream, crate::Error>>)>,
    pub(crate) drains: Vec<Reply<()>>,
    /// Who wait for the next connection.
    pub(crate) reconnects: Vec<Reconnected>,
    /// In the shard's list of sessions to look at before the turn ends.
    pub(crate) is_dirty: bool,
    /// When the protocol wants to be called, as registered with the timers.
    pub(crate) timer_ns: Option<u64>,
    /// Accepted, and without a connection since.
    pub(crate) evictable_since_ns: Option<u64>,
    /// Its part of what its peer's key may make us keep.
    pub(crate) retained: Option<RetainedShare>,
    /// Attached more than once.
    pub(crate) has_attached: bool,
    /// Whoever waited for its streams was told of its end: it may be forgotten.
    pub(crate) are_streams_told: bool,
}

impl SessionEntry {
    pub(crate) fn new_body(&mut self) -> BodyId {
        self.next_body += 1;
        BodyId(self.next_body)
    }

    /// Leases that its unacked bytes lie in, those of aborted streams included.
    pub(crate) fn leases(&self) -> impl Iterator<Item = ringway_io::Lease> + '_ {
        let retained = self.bodies.values().filter_map(|body| match &body.payload {
            Payload::Lease(lease) => Some(lease),
            Payload::Bytes(_) | Payload::File(_) => None,
        });
        let unfenced = self.streams.values().flat_map(|entry| &entry.unfenced);
        retained.chain(unfenced).cloned()
    }

    /// The connection behind a link.
    pub(crate) fn connection_of(&self, link: Link) -> Option<ConnectionKey> {
        match usize::from(link.number()).checked_sub(1) {
            None => self.connection,
            Some(index) => self.bulk.get(index).copied(),
        }
    }

    /// All that are attached, the message connection first.
    pub(crate) fn attached(&self) -> impl Iterator<Item = ConnectionKey> {
        self.connection.iter().chain(&self.bulk).copied()
    }

    /// The same, to be kept.
    pub(crate) fn connections(&self) -> Vec<ConnectionKey> {
        self.attached().collect()
    }

    /// Whether a connection is attached or about to be.
    pub(crate) fn is_reachable(&self) -> bool {
        self.connection.is_some() || self.pending.is_some()
    }
}
