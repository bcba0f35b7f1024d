//! How other threads, and tasks on the shard itself, reach a shard.
//!
//! A queue, and the [`Wakefulness`] that says when its doorbell is to be rung. The queue has no
//! bound of its own: each handle and each waiting future has at most a few messages in it, and
//! those are bounded elsewhere.

use std::sync::Arc;

use crossbeam::queue::SegQueue;
use ringway_io::Doorbell;

use crate::message::Message;
use crate::wakefulness::{Delivery, Wakefulness};

struct Shared {
    index: usize,
    queue: SegQueue<Message>,
    wakefulness: Wakefulness,
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
            wakefulness: Wakefulness::new(),
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
        if self.wake() == Delivery::Closed {
            self.drop_all();
        }
    }

    /// Ends the shard's sleep, if it sleeps: there is a message, or a task became ready.
    pub(crate) fn wake(&self) -> Delivery {
        let delivery = self.0.wakefulness.deliver();
        if delivery == Delivery::Ring {
            self.0.doorbell.ring();
        }
        delivery
    }

    /// The shard takes a message.
    pub(crate) fn take(&self) -> Option<Message> {
        self.0.queue.pop()
    }

    /// Messages that wait, about.
    pub(crate) fn len(&self) -> usize {
        self.0.queue.len()
    }

    /// Whether messages wait.
    pub(crate) fn has_messages(&self) -> bool {
        !self.0.queue.is_empty()
    }

    /// The shard announces that it will sleep; false: something came, do not.
    pub(crate) fn prepare_sleep(&self, has_work: impl FnOnce() -> bool) -> bool {
        let is_idle = || self.0.queue.is_empty() && !has_work();
        self.0.wakefulness.prepare_sleep(is_idle)
    }

    /// The shard is awake: senders need not ring.
    pub(crate) fn awake(&self) {
        self.0.wakefulness.awake();
    }

    /// The shard is gone: what is queued and what still comes is dropped.
    pub(crate) fn close(&self) {
        self.0.wakefulness.close();
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
