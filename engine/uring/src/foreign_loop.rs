//! The eventfd that a foreign event loop waits for, and when the ring signals it.
//!
//! ```text
//!   begin_work()     muted: completions that our own enters post would wake the loop for nothing
//!   enter, reap, …
//!   end_work()       not muted any more
//!   prepare_wait()?  true: the loop may wait; false: something came while it was muted, go on
//! ```
//!
//! A signal is read away, at the price of a system call, only when a wait was prepared since the
//! last time. One that comes between two pieces of work without a wait stays, and makes the next wait
//! end at once: it costs a look, and loses nothing.
//!
//! Whoever uses the ring without these calls is signalled for everything, and
//! [`enter`](ringway_io::Kernel::enter) clears it.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::eventfd::{EfdFlags, EventFd};
use ringway_io::Errno;

use crate::uring::Uring;

/// Whether signals may be muted. The kernel marks the ring (`IORING_SQ_TASKRUN`) and then looks at the
/// mute flag; we clear the flag and then look at the mark. One of both sees the other only if
/// neither look comes first, which the kernel's `atomic_or` promises on this architecture, not on all.
const MUTES: bool = cfg!(target_arch = "x86_64");

/// What the ring does about its eventfd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Signals {
    /// Signals everything.
    #[default]
    Open,
    /// Signals nothing: the loop works.
    Muted,
    /// Signals everything, and the loop has not announced that it will wait.
    Unread,
}

impl Uring {
    /// A descriptor that becomes readable when the ring has work, for a foreign event loop:
    /// poll it, then [`enter`](ringway_io::Kernel::enter) with [`ringway_io::Wait::No`] and reap.
    ///
    /// Made on demand; `enter` clears it. Before the loop sleeps again, what was submitted must
    /// have been entered, and `reap` must have come back empty-handed after it. Polling the ring's own
    /// descriptor instead misses wake-ups of deferred work.
    ///
    /// # Errors
    /// What eventfd(2) and io_uring_register(2) say; `EEXIST` on another thread than the issuer's.
    pub fn notification_fd(&mut self) -> Result<BorrowedFd<'_>, Errno> {
        let eventfd = self.bell.notification_or(|| {
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
            let eventfd = EventFd::from_flags(flags).map_err(|error| Errno(error as i32))?;
            self.ring.notify_through(eventfd.as_fd())?;
            Ok(eventfd)
        });
        eventfd.map(AsFd::as_fd)
    }

    /// The loop works from now on: it need not be told of anything.
    pub fn begin_work(&mut self) {
        if !MUTES {
            return self.clear_notification();
        }
        let before = std::mem::replace(&mut self.signals, Signals::Muted);
        if before != Signals::Muted {
            self.ring.mute_eventfd();
        }
        if before == Signals::Open {
            self.read_notification();
        }
    }

    /// The loop has done its work: the descriptor tells what comes from now on. What is left is for
    /// the next work, which need not wait for the descriptor.
    pub fn end_work(&mut self) {
        if self.signals == Signals::Muted {
            self.ring.unmute_eventfd();
            self.signals = Signals::Unread;
        }
    }

    /// As [`end_work`](Self::end_work); the descriptor tells of what came meanwhile, too.
    pub fn end_work_early(&mut self) {
        self.end_work();
        if self.has_unreaped() {
            self.remind();
        }
    }

    /// The loop is about to wait; false: something came before the descriptor could tell.
    pub fn prepare_wait(&mut self) -> bool {
        self.end_work();
        self.signals = Signals::Open;
        !self.has_unreaped()
    }

    fn has_unreaped(&mut self) -> bool {
        self.has_results() || self.ring.needs_enter()
    }

    /// Makes the descriptor readable until the next work.
    pub fn remind(&mut self) {
        self.end_work();
        self.signals = Signals::Open;
        if let Some(eventfd) = self.bell.notification() {
            // It fails only when the counter is full: readable then.
            let _ = eventfd.write(1);
        }
    }

    /// For whoever uses `enter` alone.
    pub(crate) fn clear_notification(&mut self) {
        if self.signals == Signals::Open {
            self.read_notification();
        }
    }

    fn read_notification(&self) {
        if let Some(eventfd) = self.bell.notification() {
            // There may be nothing to read.
            let _ = eventfd.read();
        }
    }
}
