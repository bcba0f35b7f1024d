//! Waking a foreign event loop, and not waking it for what it knows.

mod rig;

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno as Nix;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use rig::Rig;
use ringway_io::{BufferMut, Descriptor, Errno, Kernel, Op, Wait};

const MESSAGES: usize = 20_000;

fn foreign_loop(rig: &mut Rig) -> (OwnedFd, Epoll) {
    let fd = rig.kernel.notification_fd().expect("an eventfd");
    let fd = fd.try_clone_to_owned().expect("copied");
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll");
    let interest = EpollEvent::new(EpollFlags::EPOLLIN, 1);
    epoll.add(&fd, interest).expect("added");
    (fd, epoll)
}

fn receive_byte(socket: &Descriptor) -> Op {
    Op::Receive {
        socket: socket.clone(),
        buffer: BufferMut::heap(vec![0; 1]),
        exact: false,
    }
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
    let (fd, epoll) = foreign_loop(&mut rig);
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

/// What a loop that works and then waits does, until something is reaped.
fn work(rig: &mut Rig, mut wait: impl FnMut()) {
    loop {
        rig.kernel.begin_work();
        rig.turn(Wait::No);
        let is_idle = rig.waiting().is_empty();
        rig.kernel.end_work();
        if !is_idle {
            return;
        }
        if rig.kernel.prepare_wait() {
            wait();
        }
    }
}

#[test]
fn a_foreign_loop_is_not_woken_for_what_its_own_work_completed() {
    if !cfg!(target_arch = "x86_64") {
        return rig::skip("foreign loops", "signals are muted on x86-64 only");
    }
    let mut rig = Rig::new();
    let (fd, _epoll) = foreign_loop(&mut rig);
    let (socket, mut peer) = rig.tcp();
    for byte in 0..100 {
        peer.write_all(&[byte]).expect("sent");
        rig.submit(receive_byte(&socket));
        work(&mut rig, || {});
        assert!(rig.kernel.prepare_wait(), "nothing is left");
        assert!(!is_readable(&fd), "it was woken for what it has reaped");
    }
    rig.finish();
}

// A lost wake ends this test: the peer sends the next byte only when the last was answered.
#[test]
fn no_arrival_is_lost_between_work_and_wait_of_a_foreign_loop() {
    let mut rig = Rig::new();
    let (_fd, epoll) = foreign_loop(&mut rig);
    let (socket, mut peer) = rig.tcp();
    let other = std::thread::spawn(move || {
        let mut byte = [7];
        for _ in 0..MESSAGES {
            peer.write_all(&byte).expect("sent");
            peer.read_exact(&mut byte).expect("answered");
        }
    });
    for _ in 0..MESSAGES {
        rig.submit(receive_byte(&socket));
        work(&mut rig, || wait_in_epoll(&epoll));
        rig.submit(Op::Send {
            socket: socket.clone(),
            buffer: ringway_io::BufferRef::Bytes(bytes::Bytes::from_static(b"7")),
            more_follows: false,
        });
        work(&mut rig, || wait_in_epoll(&epoll));
    }
    other.join().expect("all were answered");
    rig.finish();
}

#[test]
fn a_foreign_loop_that_ends_its_work_early_is_told_of_what_is_left() {
    let mut rig = Rig::new();
    let (fd, _epoll) = foreign_loop(&mut rig);
    let (socket, mut peer) = rig.tcp();
    rig.submit(receive_byte(&socket));
    work_once_without_reaping(&mut rig);
    peer.write_all(&[1]).expect("sent");
    while !is_readable(&fd) {
        std::thread::yield_now();
    }
    rig.kernel.begin_work();
    assert!(!is_readable(&fd), "the work has begun");
    rig.kernel.enter(Wait::No).expect("the ring works");
    rig.kernel.end_work_early();
    assert!(is_readable(&fd), "a completion was not reaped");
    work(&mut rig, || {});
    rig.finish();
}

fn work_once_without_reaping(rig: &mut Rig) {
    rig.kernel.begin_work();
    rig.kernel.enter(Wait::No).expect("the ring works");
    rig.kernel.end_work();
    assert!(rig.kernel.prepare_wait(), "nothing has come yet");
}
