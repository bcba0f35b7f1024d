//! Waking a shard from other threads and from a foreign event loop.

mod rig;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno as Nix;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use rig::Rig;
use ringway_io::{Errno, Kernel, Op, Wait};

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

fn is_readable(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).expect("polls") > 0
}

fn wait_in_epoll(epoll: &Epoll) {
    let mut events = [EpollEvent::empty()];
    loop {
        match epoll.wait(&mut events, 20_000_u16) {
            Err(Nix::EINTR) => {}
            Ok(count) => return assert_eq!(count, 1, "the loop was never woken"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_foreign_event_loop_is_woken_for_every_kind_of_work() {
    let mut rig = Rig::new();
    let fd = rig.kernel.notification_fd().expect("an eventfd");
    let fd = fd.try_clone_to_owned().expect("copied");
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll");
    let interest = EpollEvent::new(EpollFlags::EPOLLIN, 1);
    epoll.add(&fd, interest).expect("added");
    rig.turn(Wait::No);
    assert!(!is_readable(&fd), "nothing has happened yet");

    // A timer.
    let at_ns = rig.kernel.now_ns() + 1_000_000;
    let timer = rig.submit(Op::Timeout { at_ns });
    rig.turn(Wait::No);
    wait_in_epoll(&epoll);
    rig::expect_error(&rig.next_of(timer), Errno::ETIMEDOUT);

    // A doorbell, many times.
    let bell = rig.kernel.doorbell();
    let (sent, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (mailbox, answers) = (Arc::clone(&sent), Arc::clone(&seen));
    let ringer = std::thread::spawn(move || {
        for message in 1..=1000 {
            mailbox.store(message, Ordering::SeqCst);
            bell.ring();
            while answers.load(Ordering::SeqCst) < message {
                std::hint::spin_loop();
            }
        }
    });
    while seen.load(Ordering::SeqCst) < 1000 {
        rig.turn(Wait::No);
        let now = sent.load(Ordering::SeqCst);
        if now == seen.swap(now, Ordering::SeqCst) && now < 1000 {
            wait_in_epoll(&epoll);
        }
    }
    ringer.join().expect("rang");
    rig.finish();
}
