//! A model of the sleep of a shard: every order of events that the memory model allows, with
//! the very code of `src/wakefulness.rs` on loom's atomics.
//!
//! The queue and the doorbell are stand-ins: a count that promises no more order than a queue does
//! (release, acquire), and a notification that is kept until somebody waits for it, as an eventfd
//! keeps it. A lost wake-up is a deadlock, which loom reports; where one is to be found, the shard
//! goes to bed once and says so instead, because after a deadlock loom cannot clean up.
#![allow(clippy::duplicate_mod, reason = "once with other atomics")]

mod relaxed;

mod atomics {
    pub(crate) use loom::sync::atomic::{AtomicU8, Ordering};
}

#[path = "../../src/wakefulness.rs"]
#[allow(dead_code, reason = "each model uses a part of it")]
mod wakefulness;

use std::panic::catch_unwind;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;
use wakefulness::{Delivery, Wakefulness};

/// What a shard and its senders share.
struct Mailbox<W> {
    /// How many messages are in the queue.
    queue: AtomicUsize,
    wakefulness: W,
    doorbell: Notify,
}

/// The protocol, or one with a mistake in it.
trait Protocol: Send + Sync + 'static {
    fn new() -> Self;
    /// Whether to ring.
    fn deliver(&self) -> bool;
    fn prepare_sleep(&self, is_idle: impl FnOnce() -> bool) -> bool;
    fn awake(&self);
}

impl Protocol for Wakefulness {
    fn new() -> Self {
        Self::new()
    }

    fn deliver(&self) -> bool {
        self.deliver() == Delivery::Ring
    }

    fn prepare_sleep(&self, is_idle: impl FnOnce() -> bool) -> bool {
        self.prepare_sleep(is_idle)
    }

    fn awake(&self) {
        self.awake();
    }
}

/// A shard that does not look once more after it has said that it sleeps.
struct Careless(Wakefulness);

impl Protocol for Careless {
    fn new() -> Self {
        Self(Wakefulness::new())
    }

    fn deliver(&self) -> bool {
        Protocol::deliver(&self.0)
    }

    fn prepare_sleep(&self, is_idle: impl FnOnce() -> bool) -> bool {
        // It looks before, and thinks that this will do.
        is_idle() && self.0.prepare_sleep(|| true)
    }

    fn awake(&self) {
        self.0.awake();
    }
}

impl<W: Protocol> Mailbox<W> {
    fn new() -> Self {
        Self {
            queue: AtomicUsize::new(0),
            wakefulness: W::new(),
            doorbell: Notify::new(),
        }
    }

    fn send(&self) {
        self.queue.fetch_add(1, Ordering::Release);
        if self.wakefulness.deliver() {
            self.doorbell.notify();
        }
    }

    fn take(&self) -> bool {
        let is_empty = self.queue.load(Ordering::Acquire) == 0;
        if !is_empty {
            self.queue.fetch_sub(1, Ordering::AcqRel);
        }
        !is_empty
    }

    /// Turns until so many messages have come.
    fn turn(&self, messages: usize) {
        let mut taken = 0;
        while taken < messages {
            while self.take() {
                taken += 1;
            }
            let is_idle = || self.queue.load(Ordering::Acquire) == 0;
            if taken < messages && self.wakefulness.prepare_sleep(is_idle) {
                self.doorbell.wait();
            }
            self.wakefulness.awake();
        }
    }
}

/// Each of `senders` threads sends so many messages to a shard, which takes them all.
fn exchange<W: Protocol>(senders: usize, messages: usize) {
    let mut model = loom::model::Builder::new();
    // With more switches where none is needed, two senders take long.
    model.preemption_bound = Some(3);
    model.check(move || {
        let mailbox = Arc::new(Mailbox::<W>::new());
        let sending: Vec<_> = (0..senders)
            .map(|_| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || (0..messages).for_each(|_| mailbox.send()))
            })
            .collect();
        mailbox.turn(senders * messages);
        for thread in sending {
            thread.join().expect("it ends");
        }
    });
}

#[test]
fn a_message_from_another_thread_always_wakes_the_shard() {
    exchange::<Wakefulness>(1, 2);
}

#[test]
fn messages_from_two_threads_always_wake_the_shard() {
    exchange::<Wakefulness>(2, 1);
}

/// One sender, and a shard that looks once and then goes to bed. Whoever sleeps while a message
/// is there and nobody has rung sleeps for ever.
fn go_to_bed<W: Protocol>() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::<W>::new());
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                mailbox.queue.fetch_add(1, Ordering::Release);
                mailbox.wakefulness.deliver()
            })
        };
        let has_taken = mailbox.take();
        let is_idle = || mailbox.queue.load(Ordering::Acquire) == 0;
        let is_asleep = !has_taken && mailbox.wakefulness.prepare_sleep(is_idle);
        let has_rung = sender.join().expect("it ends");
        assert!(!is_asleep || has_rung, "asleep for ever");
    });
}

#[test]
fn a_shard_that_goes_to_bed_is_rung_for() {
    go_to_bed::<Wakefulness>();
}

// The model can find what it is for.
#[test]
fn a_shard_that_does_not_look_again_is_found_asleep() {
    assert!(catch_unwind(go_to_bed::<Careless>).is_err());
}

// Nor would the changes of the word do without their order.
#[test]
fn without_acquire_and_release_the_shard_is_found_asleep() {
    assert!(catch_unwind(go_to_bed::<relaxed::Wakefulness>).is_err());
}

#[test]
fn what_is_sent_around_the_end_is_dropped_by_one_of_the_two() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::<Wakefulness>::new());
        let drop_all = |mailbox: &Mailbox<Wakefulness>| while mailbox.take_shared() {};
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                mailbox.queue.fetch_add(1, Ordering::Release);
                if mailbox.wakefulness.deliver() == Delivery::Closed {
                    drop_all(&mailbox);
                }
            })
        };
        mailbox.wakefulness.close();
        drop_all(&mailbox);
        sender.join().expect("it ends");
        assert_eq!(
            mailbox.queue.load(Ordering::Acquire),
            0,
            "nobody dropped it"
        );
    });
}

impl Mailbox<Wakefulness> {
    /// As [`take`](Self::take), while others may take as well.
    fn take_shared(&self) -> bool {
        let less = |count: usize| count.checked_sub(1);
        let order = (Ordering::AcqRel, Ordering::Acquire);
        self.queue.fetch_update(order.0, order.1, less).is_ok()
    }
}
