//! Whether a shard sleeps, and who is to wake it. No wake-up is ever lost.
//!
//! ```text
//!   sender:  push ─▶ clear SLEEPING ──was it set?──yes──▶ ring the doorbell once
//!   shard:   set SLEEPING ─▶ anything there? ──yes──▶ clear it, take it
//!                                   └──no──▶ wait in the kernel
//! ```
//!
//! Both sides change the same word, and both read what it was: one change comes after the other.
//! If it is the sender's, it sees that the shard sleeps, and rings. If it is the shard's, it
//! acquires what the sender released, and sees what was pushed. The same holds for the end: either
//! the sender finds the word closed and drops what it pushed, or whoever closes finds it there.
//! So no fence is needed, only that each change is a read as well (a mere store would not be).
//!
//! The atomics come from `super::atomics`, so that the model in `tests/wakefulness` can take this
//! file as it is and try every order of events.

use super::atomics::{AtomicU8, Ordering};

/// The shard will wait in the kernel unless it finds something first.
const SLEEPING: u8 = 1;
/// The shard is gone.
const CLOSED: u8 = 2;

/// See the module.
#[derive(Debug)]
pub(crate) struct Wakefulness(AtomicU8);

/// What is left to do for whoever has pushed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Nothing: the shard is awake and will look.
    Seen,
    /// Ring the doorbell; nobody else will.
    Ring,
    /// Drop it: the shard is gone.
    Closed,
}

impl Wakefulness {
    /// Awake.
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    /// Something was pushed where the shard looks before it sleeps.
    pub(crate) fn deliver(&self) -> Delivery {
        match self.0.fetch_and(!SLEEPING, Ordering::AcqRel) {
            before if before & CLOSED != 0 => Delivery::Closed,
            before if before & SLEEPING != 0 => Delivery::Ring,
            _ => Delivery::Seen,
        }
    }

    /// The shard announces that it will sleep; false: something came, do not.
    pub(crate) fn prepare_sleep(&self, is_idle: impl FnOnce() -> bool) -> bool {
        self.0.fetch_or(SLEEPING, Ordering::AcqRel);
        if is_idle() {
            return true;
        }
        self.awake();
        false
    }

    /// The shard is awake: senders need not ring.
    pub(crate) fn awake(&self) {
        self.0.fetch_and(!SLEEPING, Ordering::AcqRel);
    }

    /// The shard is gone. What is there now is for the caller to drop; what still comes is for
    /// whoever brings it.
    pub(crate) fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::AcqRel);
    }
}
