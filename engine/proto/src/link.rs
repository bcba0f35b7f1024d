//! The connections of a session, as the protocol sees them, and which of them a stream takes.
//!
//! ```text
//!   link 0   the message connection: everything; whether it is there is whether the session
//!            is attached
//!   link 1…  bulk connections: bodies only (W-2.8)
//! ```
//!
//! A link is named locally: what is link 2 here may be link 1 at the peer. All links of an epoch
//! live and die together.
//!
//! A stream sends on the message connection until its next payload is large, then on the bulk
//! link that has fewest streams. There it stays while anything that it sent is unacked (W-6.8).
//! So at the receiver
//!
//! - a body on link 0 never waits: before it, its stream has sent on link 0 only, or everything
//!   that it sent elsewhere has arrived;
//! - a body on a bulk link waits at most for link 0: for the frame that opens its stream, and for
//!   what the stream sent there before it moved. It never waits for another bulk link, because a
//!   stream leaves one only with nothing unacked.
//!
//! Waiting links and what they wait for are a graph of depth one: no cycle, no deadlock.

use std::collections::{BTreeSet, VecDeque};

use crate::arriving::Arriving;
use crate::id::StreamId;
use crate::ready::Ready;
use crate::session::{Offer, Session};
use crate::stream::Stream;
use crate::time::Time;

/// Names one of the connections that are attached to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link(u8);

impl Link {
    /// The message connection.
    pub const MESSAGE: Self = Self(0);

    /// By its number, counted from 0.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether it carries bodies only.
    #[must_use]
    pub const fn is_bulk(self) -> bool {
        self.0 > 0
    }

    pub(crate) fn at(index: usize) -> Self {
        Self(u8::try_from(index).unwrap_or(u8::MAX))
    }

    pub(crate) fn index(self) -> usize {
        self.0.into()
    }
}

/// What is under way on one connection.
#[derive(Debug)]
pub(crate) struct LinkState {
    /// Streams whose next body goes here.
    pub(crate) ready: Ready,
    /// How many streams send here, where it is a bulk link.
    pub(crate) streams: usize,
    pub(crate) offer: Option<Offer>,
    pub(crate) arriving: Option<Arriving>,
    /// A body that is ahead of its stream: it is not read yet.
    pub(crate) waiting: Option<Arriving>,
    pub(crate) pongs: VecDeque<u64>,
    pub(crate) owes_ping: bool,
    pub(crate) fence: Fence,
    pub(crate) last_heard: Time,
    pub(crate) last_sent: Time,
    /// How often silence was told since.
    pub(crate) silence_told: u32,
}

/// Aborted streams that have unacked bytes on a bulk link. Their RESET travels on another
/// connection and may overtake those bytes, so that the ack of the end does not prove that the
/// peer has read past them. The answer to a PING that was sent behind them does.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    /// They wait for the next ping.
    pub(crate) asked: BTreeSet<StreamId>,
    /// The ping on its way, and for whom.
    pub(crate) sent: Option<(u64, BTreeSet<StreamId>)>,
}

impl Fence {
    /// All that wait, for the next ping or for the answer to the last.
    pub(crate) fn into_streams(self) -> impl Iterator<Item = StreamId> {
        let sent = self.sent.map(|(_, streams)| streams).unwrap_or_default();
        self.asked.into_iter().chain(sent)
    }
}

impl LinkState {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            ready: Ready::default(),
            streams: 0,
            offer: None,
            arriving: None,
            waiting: None,
            pongs: VecDeque::new(),
            owes_ping: false,
            fence: Fence::default(),
            last_heard: now,
            last_sent: now,
            silence_told: 0,
        }
    }

    pub(crate) fn hear(&mut self, now: Time) {
        self.last_heard = now;
        self.silence_told = 0;
    }

    /// A body of the stream is arriving here, and is of use.
    pub(crate) fn is_taking(&self, stream: StreamId) -> bool {
        self.arriving
            .is_some_and(|arriving| arriving.stream == stream && !arriving.is_stale)
    }
}

impl Session {
    pub(crate) fn link(&self, link: Link) -> Option<&LinkState> {
        self.links.get(link.index())
    }

    pub(crate) fn link_mut(&mut self, link: Link) -> Option<&mut LinkState> {
        self.links.get_mut(link.index())
    }

    /// How many bulk connections are attached.
    #[must_use]
    pub fn bulk_links(&self) -> usize {
        self.links.len() - 1
    }

    /// Decides which link the next piece of a stream takes, and notes it.
    pub(crate) fn assign(&mut self, stream: StreamId) -> Link {
        let Some(state) = self.streams.get(&stream) else {
            return Link::MESSAGE;
        };
        let (from, to) = (state.link, self.choose(state));
        if from != to {
            self.move_stream(stream, to);
        }
        to
    }

    fn choose(&self, state: &Stream) -> Link {
        let is_settled = state.send.is_all_acked();
        if state.link.is_bulk() && !is_settled {
            return state.link;
        }
        // A gap must not overtake bytes that are on another connection.
        let is_lossy = state.send.gaps.is_some();
        if is_lossy || !state.send.is_next_large(self.config.bulk_body_bytes_min) {
            return Link::MESSAGE;
        }
        if state.link.is_bulk() {
            return state.link;
        }
        let bulk = self.links.iter().enumerate().skip(1);
        bulk.min_by_key(|(_, link)| link.streams)
            .map_or(Link::MESSAGE, |(index, _)| Link::at(index))
    }

    fn move_stream(&mut self, id: StreamId, to: Link) {
        let is_ours = id.opener() == self.side;
        let Some(state) = self.streams.get_mut(&id) else {
            return;
        };
        let from = std::mem::replace(&mut state.link, to);
        if to.is_bulk() && is_ours && !state.is_known && !state.is_opening_sent {
            // Only the message connection opens streams.
            state.owes.open = true;
            self.owing.insert(id);
        }
        for (link, is_added) in [(from, false), (to, true)] {
            if link.is_bulk()
                && let Some(state) = self.link_mut(link)
            {
                match is_added {
                    true => state.streams += 1,
                    false => state.streams -= 1,
                }
            }
        }
    }

    /// A stream that has nothing on its way and nothing to send burdens no bulk link.
    pub(crate) fn settle(&mut self, id: StreamId) {
        let is_settled =
            |state: &Stream| state.link.is_bulk() && !state.is_queued && state.send.is_all_acked();
        if self
            .streams
            .get(&id)
            .map(Box::as_ref)
            .is_some_and(is_settled)
        {
            self.move_stream(id, Link::MESSAGE);
        }
    }

    /// The stream is about to be forgotten.
    pub(crate) fn settle_for_good(&mut self, id: StreamId) {
        self.move_stream(id, Link::MESSAGE);
    }
}
