//! When something must be looked at again.

use std::collections::BTreeSet;

use crate::connection::ConnectionKey;
use crate::dial::DialKey;
use crate::handshake::HandshakeKey;
use crate::session::SessionKey;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A sleeping task.
    Sleep(u64),
    /// The session's protocol.
    Session(SessionKey),
    /// A dial: its delay, its attempt or all of it.
    Dial(DialKey),
    /// A handshake that must be over.
    Handshake(HandshakeKey),
    /// A connection that says its last words.
    Linger(ConnectionKey),
    /// A listener that could not accept tries again.
    Accept(u64),
}

/// All timers of one shard, ordered by time; a stale one finds its thing gone or not yet due.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(u64, Timer)>);

impl Timers {
    pub(crate) fn add(&mut self, at_ns: u64, timer: Timer) {
        self.0.insert((at_ns, timer));
    }

    pub(crate) fn remove(&mut self, at_ns: u64, timer: Timer) {
        self.0.remove(&(at_ns, timer));
    }

    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.0.first().map(|&(at_ns, _)| at_ns)
    }

    pub(crate) fn pop_due(&mut self, now_ns: u64) -> Option<Timer> {
        let &(at_ns, timer) = self.0.first()?;
        if at_ns > now_ns {
            return None;
        }
        self.0.pop_first();
        Some(timer)
    }
}
