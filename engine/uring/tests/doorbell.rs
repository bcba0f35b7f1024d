//! Waking a shard from other threads.

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rig::Rig;
use ringway_io::{Kernel, Wait};

const RINGS: u64 = 10_000;

// A lost wake hangs this test: each sleep is without a time limit.
#[test]
fn ten_thousand_rings_wake_ten_thousand_sleeps() {
    let mut rig = Rig::new();
    let bell = rig.kernel.doorbell();
    let (sent, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (mailbox, answers) = (Arc::clone(&sent), Arc::clone(&seen));
    let ringer = std::thread::spawn(move || {
        for message in 1..=RINGS {
            mailbox.store(message, Ordering::SeqCst);
            bell.ring();
            if message % 3 == 0 {
                bell.ring();
            }
            while answers.load(Ordering::SeqCst) < message {
                std::hint::spin_loop();
            }
        }
    });
    while seen.load(Ordering::SeqCst) < RINGS {
        rig.turn(Wait::Forever);
        seen.store(sent.load(Ordering::SeqCst), Ordering::SeqCst);
    }
    ringer.join().expect("rang");
    assert!(rig.waiting().is_empty(), "a ring is no completion");
    assert_eq!(rig.kernel.in_flight(), 0);
    rig.finish();
}

#[test]
fn many_threads_ring_at_once_and_none_is_missed() {
    let mut rig = Rig::new();
    let sent = Arc::new(AtomicU64::new(0));
    let ringers: Vec<_> = (0..4)
        .map(|_| {
            let (bell, sent) = (rig.kernel.doorbell(), Arc::clone(&sent));
            std::thread::spawn(move || {
                for _ in 0..RINGS {
                    sent.fetch_add(1, Ordering::SeqCst);
                    bell.ring();
                }
            })
        })
        .collect();
    while sent.load(Ordering::SeqCst) < 4 * RINGS {
        rig.turn(Wait::Forever);
    }
    for ringer in ringers {
        ringer.join().expect("rang");
    }
    rig.finish();
}

#[test]
fn a_ring_before_the_sleep_is_not_lost() {
    let mut rig = Rig::new();
    rig.kernel.doorbell().ring();
    rig.kernel.enter(Wait::Forever).expect("works");
    rig.turn(Wait::No);
    rig.kernel.doorbell().ring();
    rig.kernel.enter(Wait::Forever).expect("works");
    rig.finish();
}

#[test]
fn ringing_after_the_shard_is_gone_does_nothing() {
    let mut rig = Rig::new();
    let bell = rig.kernel.doorbell();
    rig.turn(Wait::No);
    rig.finish();
    bell.ring();
    let unused = Rig::new().kernel.doorbell();
    unused.ring();
}
