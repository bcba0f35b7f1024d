//! The connections of a session, as the protocol sees them.
//!
//! ```text
//!   link 0   the message connection: everything; whether it is there is whether the session
//!            is attached
//!   link 1…  bulk connections: bodies only
//! ```
//!
//! A link is named locally: what is link 2 here may be link 1 at the peer. All links of an epoch
//! live and die together.

use std::collections::VecDeque;

use crate::arriving::Arriving;
use crate::ready::Ready;
use crate::session::{Offer, Session};
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

    pub(crate) fn index(self) -> usize {
        self.0.into()
    }
}

/// What is under way on one connection.
#[derive(Debug)]
pub(crate) struct LinkState {
    /// Streams whose next body goes here.
    pub(crate) ready: Ready,
    pub(crate) offer: Option<Offer>,
    pub(crate) arriving: Option<Arriving>,
    pub(crate) pongs: VecDeque<u64>,
    pub(crate) owes_ping: bool,
    pub(crate) last_heard: Time,
    pub(crate) last_sent: Time,
    pub(crate) is_silence_told: bool,
}

impl LinkState {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            ready: Ready::default(),
            offer: None,
            arriving: None,
            pongs: VecDeque::new(),
            owes_ping: false,
            last_heard: now,
            last_sent: now,
            is_silence_told: false,
        }
    }

    pub(crate) fn hear(&mut self, now: Time) {
        self.last_heard = now;
        self.is_silence_told = false;
    }
}

impl Session {
    pub(crate) fn link(&self, link: Link) -> Option<&LinkState> {
        self.links.get(link.index())
    }

    pub(crate) fn link_mut(&mut self, link: Link) -> Option<&mut LinkState> {
        self.links.get_mut(link.index())
    }
}
