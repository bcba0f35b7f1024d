//! How other threads, and tasks on the shard itself, reach a shard.
//!
//! ```text
//!   sender:  push ─▶ fence ─▶ sleeping? ──yes──▶ clear it, ring the doorbell once
//!   shard:   sleeping = true ─▶ fence ─▶ queue empty? ──no──▶ sleeping = false, take it
//!                                              └──yes──▶ wait in the kernel
//! ```
//!
//! Either the sender sees `sleeping`, or the shard sees the message: both fences are sequentially
//! consistent, so a message cannot fall between. The queue has no bound of its own: each handle
//! and each waiting future has at most a few messages in it, and those are bounded elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam::queue::SegQueue;
use ringway_io::Doorbell;

use crate::message::Message;

struct Shared {
    index: usize,
    queue: SegQueue<Message>,
    sleeping: AtomicBool,
    closed: AtomicBool,
    doorbell: Arc<dyn Doorbell>,
}

/// The senders' side; cheap to clone.
#[derive(Clone)]
pub(crate) struct Mailbox(Arc<Shared>);

impl Mailbox {
    pub(crate) fn new(index: usize, doorbell: Arc<dyn Doorbell>) -> Self {
        Self(Arc::new(Shared {
            index,
            queue: SegQueue::new(),
            sleeping: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            doorbell,
        }))
    }

    /// Which shard of its engine this is.
    pub(crate) fn index(&self) -> usize {
        self.0.index
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Delivers a message, or drops it when the shard has gone (replies in it say so).
    pub(crate) fn send(&self, message: Message) {
        self.0.queue.push(message);
        fence(Ordering::SeqCst);
        if self.0.closed.load(Ordering::SeqCst) {
            self.drop_all();
            return;
        }
        self.wake();
    }

    /// Ends the shard's sleep without a message: a task became ready.
    pub(crate) fn wake(&self) {
        if self.0.sleeping.swap(false, Ordering::SeqCst) {
            self.0.doorbell.ring();
        }
    }

    /// The shard takes a message.
    pub(crate) fn take(&self) -> Option<Message> {
        self.0.queue.pop()
    }

    /// Messages that wait, about.
    pub(crate) fn len(&self) -> usize {
        self.0.queue.len()
    }

    /// The shard announces that it will sleep; false: something came, do not.
    pub(crate) fn prepare_sleep(&self, has_work: impl FnOnce() -> bool) -> bool {
        self.0.sleeping.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if self.0.queue.is_empty() && !has_work() {
            return true;
        }
        self.awake();
        false
    }

    /// The shard is awake: senders need not ring.
    pub(crate) fn awake(&self) {
        self.0.sleeping.store(false, Ordering::SeqCst);
    }

    /// The shard is gone: what is queued and what still comes is dropped.
    pub(crate) fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.drop_all();
    }

    fn drop_all(&self) {
        while let Some(message) = self.0.queue.pop() {
            drop(message);
        }
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mailbox({})", self.0.index)
    }
}
