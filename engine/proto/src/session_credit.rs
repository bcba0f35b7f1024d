//! The credit that all streams of a session share, in both directions.
//!
//! All numbers are sums over every stream there ever was, of what lies behind the first
//! [`STREAM_FREE_BYTES`] of each (W-4.2): a small stream never waits for readers of others that
//! are stuck. Each is absolute, so a lost grant is mended by saying it again.

use crate::limit::{OFFSET_MAX, STREAM_FREE_BYTES};

/// What of a stream's first `offset` bytes is charged to the session.
fn charge(offset: u64) -> u64 {
    offset.saturating_sub(STREAM_FREE_BYTES)
}

/// What is sent and may be sent; what is received, taken and granted.
#[derive(Debug)]
pub(crate) struct SessionCredit {
    sent: u64,
    allowed: u64,
    received: u64,
    consumed: u64,
    granted: u64,
    window: u64,
    is_owed: bool,
}

impl SessionCredit {
    pub(crate) fn new(window: u64) -> Self {
        let window = window.min(OFFSET_MAX);
        Self {
            sent: 0,
            allowed: 0,
            received: 0,
            consumed: 0,
            granted: window,
            window,
            is_owed: false,
        }
    }

    /// The peer grants so much in all; it only ever grows.
    pub(crate) fn allow(&mut self, credit: u64) {
        self.allowed = self.allowed.max(credit);
    }

    /// How many bytes may be sent beyond what is free.
    pub(crate) fn room(&self) -> u64 {
        self.allowed.saturating_sub(self.sent)
    }

    /// A stream was sent up to `to`, after `from`, for the first time.
    pub(crate) fn send(&mut self, from: u64, to: u64) {
        self.sent += charge(to) - charge(from);
    }

    /// What was sent between the two never arrived and never will.
    pub(crate) fn unsend(&mut self, from: u64, to: u64) {
        self.sent -= charge(to) - charge(from);
    }

    /// Whether a stream may go from `from` to `to`; else the sum and the bound.
    pub(crate) fn check(&self, from: u64, to: u64) -> Result<(), (u64, u64)> {
        let total = self.received + (charge(to) - charge(from.min(to)));
        match total <= self.granted {
            true => Ok(()),
            false => Err((total, self.granted)),
        }
    }

    /// Whether a gap may take a stream from `from` to `to`; else the sum and the bound.
    pub(crate) fn check_jump(&self, from: u64, to: u64) -> Result<(), (u64, u64)> {
        let total = self.received + (charge(to) - charge(from));
        match total <= OFFSET_MAX {
            true => Ok(()),
            false => Err((total, OFFSET_MAX)),
        }
    }

    /// A stream was received up to `to`, after `from`.
    pub(crate) fn receive(&mut self, from: u64, to: u64) {
        self.received += charge(to) - charge(from);
    }

    /// A stream was taken up to `to`, after `from`. Grants in steps, so that not every byte taken
    /// causes a frame.
    pub(crate) fn consume(&mut self, from: u64, to: u64) {
        self.consumed += charge(to) - charge(from);
        let credit = self.consumed.saturating_add(self.window).min(OFFSET_MAX);
        if credit >= self.granted.saturating_add((self.window / 4).max(1)) {
            self.granted = credit;
            self.is_owed = true;
        }
    }

    /// The grant has to be said (again).
    pub(crate) fn owe(&mut self) {
        self.is_owed = true;
    }

    /// The grant, if it has to be said.
    pub(crate) fn take_owed(&mut self) -> Option<u64> {
        std::mem::take(&mut self.is_owed).then_some(self.granted)
    }

    /// Sent, allowed, received, consumed, granted.
    pub(crate) fn ledger(&self) -> [u64; 5] {
        [
            self.sent,
            self.allowed,
            self.received,
            self.consumed,
            self.granted,
        ]
    }
}
