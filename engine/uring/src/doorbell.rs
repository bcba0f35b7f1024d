//! How other threads end a wait: an eventfd that the ring reads.
//!
//! ```text
//!   any thread: rung? no ─▶ set, write eventfd        owner: read op completes ─▶ clear rung,
//!               yes ─▶ nothing                               arm the read again, drain mailboxes
//! ```
//!
//! The flag is cleared before the owner looks at its mailboxes and set after a sender has filled
//! one, so a sender that finds it set is seen by a look that is still to come.
//!
//! Why an eventfd and not a message to the ring (`IORING_REGISTER_SEND_MSG_RING`, 6.13): measured
//! on 6.18, two cores, 100,000 rings, median from ring to seen:
//!
//! | | owner asleep | owner awake | cost to the ringing thread |
//! |---|---|---|---|
//! | eventfd, ring read | 25 µs | 0.8 µs | 8.7 µs / 0.4 µs |
//! | eventfd, poll and read(2) | 25 µs | 1.2–6.5 µs | 8.6 µs / 0.4–6.6 µs |
//! | message | 7–19 µs | 5–7 µs | 9–11 µs / 5–6 µs |
//!
//! A message wakes a sleeper somewhat sooner, but interrupts an owner that runs; it needs 6.13, and
//! to a ring whose thread has exited it reports success. An eventfd is a harmless file when the
//! shard is gone. A read clears the counter by itself, where a poll needs a call more. Multishot
//! polls on an eventfd lose their end on kernels before April 2026.
//!
//! A foreign event loop's eventfd is rung directly as well: the ring signals it from inside of the
//! bell's own wake-up, and of such nested signals only the first arrives (tried on 6.18, five of
//! five runs: one came, all later ones were lost).

use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::eventfd::{EfdFlags, EventFd};
use ringway_io::{BufferMut, Descriptor, Doorbell, Errno};

use crate::request::{Memory, Request};

/// The shared side.
pub(crate) struct Bell {
    eventfd: EventFd,
    rung: AtomicBool,
    /// The eventfd that a foreign event loop waits for.
    notification: OnceLock<EventFd>,
}

impl Bell {
    /// A bell nobody has rung.
    pub(crate) fn new() -> Result<Self, Errno> {
        // Not EFD_NONBLOCK: a ring read of such a file answers EAGAIN instead of waiting.
        let eventfd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC);
        Ok(Self {
            eventfd: eventfd.map_err(|error| Errno(error as i32))?,
            rung: AtomicBool::new(false),
            notification: OnceLock::new(),
        })
    }

    /// The eventfd for the ring's own use.
    pub(crate) fn descriptor(&self) -> Result<Descriptor, Errno> {
        let copy = self.eventfd.as_fd().try_clone_to_owned();
        copy.map(Descriptor::from_os)
            .map_err(|error| Errno::of(&error))
    }

    /// The eventfd of a foreign event loop, made with `make` the first time.
    pub(crate) fn notification_or(
        &self,
        make: impl FnOnce() -> Result<EventFd, Errno>,
    ) -> Result<&EventFd, Errno> {
        if let Some(made) = self.notification.get() {
            return Ok(made);
        }
        let made = make()?;
        Ok(self.notification.get_or_init(|| made))
    }

    /// That eventfd, if there is a foreign event loop.
    pub(crate) fn notification(&self) -> Option<&EventFd> {
        self.notification.get()
    }

    /// The owner woke up and is about to look at its mailboxes.
    pub(crate) fn clear(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }

    /// Nobody listens from now on.
    pub(crate) fn silence(&self) {
        self.rung.store(true, Ordering::SeqCst);
    }
}

impl Doorbell for Bell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            // Fails only when the counter is full, and then the owner is awake anyway.
            let _ = self.eventfd.write(1);
            if let Some(notification) = self.notification.get() {
                let _ = notification.write(1);
            }
        }
    }
}

/// The read that a ring of the bell completes.
pub(crate) fn wait_for_ring(eventfd: &Descriptor) -> Request {
    Request::Read {
        file: eventfd.clone(),
        offset: u64::MAX,
        buffer: BufferMut::heap(vec![0; 8]),
        memory: Memory::Plain,
    }
}
