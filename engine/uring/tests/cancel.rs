//! Cancelling: races with results, orphans, everything on one object.

mod rig;

use std::io::{Read, Write};

use rig::{Rig, buffer, expect_error};
use ringway_io::{
    BlockingCall, BufferMut, BufferRef, Descriptor, Errno, Kernel, Op, OpId, Payload, Readiness,
    Wait,
};

fn receive(socket: &Descriptor) -> Op {
    Op::Receive {
        socket: socket.clone(),
        buffer: BufferMut::heap(vec![0; 64]),
        exact: false,
    }
}

#[test]
fn a_cancelled_op_completes_and_gives_its_buffer_back() {
    let mut rig = Rig::new();
    let (socket, _peer) = rig.tcp();
    // Cancelled while it waits, and cancelled before the kernel has seen it.
    for is_entered in [true, false] {
        let op = rig.submit(receive(&socket));
        if is_entered {
            rig.turn(Wait::No);
        }
        rig.kernel.cancel(op);
        rig.kernel.cancel(op);
        let completion = rig.next_of(op);
        expect_error(&completion, Errno::ECANCELED);
        assert_eq!(buffer(completion).len(), 64);
        rig.kernel.cancel(op);
    }
    let op = rig.submit(Op::Timeout { at_ns: u64::MAX });
    rig.turn(Wait::No);
    rig.kernel.cancel(op);
    expect_error(&rig.next_of(op), Errno::ECANCELED);
    rig.kernel.cancel(OpId(0));
    rig.kernel.cancel(OpId(u64::MAX));
    rig.kernel.orphan(OpId(u64::MAX));
    rig.finish();
}

// Bytes that arrive together with the cancel are either in the buffer and counted, or still in the
// socket: none may be lost between.
#[test]
fn a_cancel_that_races_with_data_loses_no_byte() {
    let mut rig = Rig::new();
    let (socket, mut peer) = rig.tcp();
    let (mut got, mut sent, mut cancelled) = (0_u64, 0_u64, 0);
    for round in 0..2000 {
        let op = rig.submit(receive(&socket));
        rig.turn(Wait::No);
        if round % 2 == 0 {
            peer.write_all(&[1; 16]).expect("sent");
            sent += 16;
        }
        rig.kernel.cancel(op);
        let completion = rig.next_of(op);
        match completion.result {
            Ok(count) => got += u64::from(count),
            Err(errno) => {
                assert_eq!(errno, Errno::ECANCELED);
                cancelled += 1;
            }
        }
        drop(completion);
    }
    drop(peer);
    loop {
        match rig.run(receive(&socket)).result {
            Ok(0) => break,
            Ok(count) => got += u64::from(count),
            Err(errno) => panic!("{errno}"),
        }
    }
    assert_eq!(got, sent);
    assert!(cancelled >= 500, "{cancelled} of 2000 were cancelled");
    rig.finish();
}

#[test]
fn cancelling_all_on_one_object_leaves_the_others_alone() {
    let mut rig = Rig::new();
    let (one, _peer_of_one) = rig.tcp();
    let (two, mut peer_of_two) = rig.tcp();
    let poll = |socket: &Descriptor| Op::Poll {
        descriptor: socket.clone(),
        readiness: Readiness::Readable,
    };
    let doomed: Vec<_> = vec![
        rig.submit(receive(&one)),
        rig.submit(poll(&one)),
        rig.submit(Op::ReceiveMultishot {
            socket: one.clone(),
        }),
    ];
    let spared = rig.submit(receive(&two));
    let timer = rig.submit(Op::Timeout { at_ns: u64::MAX });
    rig.turn(Wait::No);
    rig.kernel.cancel_all_on(&one);
    for op in doomed {
        expect_error(&rig.next_of(op), Errno::ECANCELED);
    }
    rig.turn(Wait::No);
    assert!(rig.waiting().is_empty());
    peer_of_two.write_all(b"x").expect("sent");
    assert_eq!(rig.next_of(spared).result, Ok(1));
    rig.kernel.orphan(timer);
    rig.finish();
}

#[test]
fn a_number_that_was_closed_and_reused_is_another_object() {
    let mut rig = Rig::new();
    for _ in 0..100 {
        let (socket, peer) = rig.tcp();
        let op = rig.submit(receive(&socket));
        rig.turn(Wait::No);
        rig.kernel.orphan(op);
        drop(socket);
        drop(peer);
        let (next, mut peer) = rig.tcp();
        let op = rig.submit(receive(&next));
        peer.write_all(b"mine").expect("sent");
        let completion = rig.next_of(op);
        assert_eq!(completion.result, Ok(4));
        assert_eq!(&buffer(completion).as_slice()[..4], b"mine");
    }
    rig.turn_until("the orphans' ends", |rig| rig.kernel.in_flight() == 0);
    rig.finish();
}

#[test]
fn thousands_of_orphans_end_and_close_what_they_held() {
    let mut rig = Rig::new();
    let (socket, mut peer) = rig.tcp();
    for _ in 0..3000 {
        let op = rig.submit(Op::Poll {
            descriptor: socket.clone(),
            readiness: Readiness::Readable,
        });
        rig.kernel.orphan(op);
    }
    drop(socket);
    rig.turn_until("the orphans' ends", |rig| rig.kernel.in_flight() == 0);
    assert!(rig.waiting().is_empty());
    assert_eq!(peer.read(&mut [0; 1]).expect("closed"), 0);
    rig.finish();
}

#[test]
fn an_orphan_that_was_refused_or_is_done_is_swallowed() {
    let mut rig = Rig::new();
    let (socket, _peer) = rig.tcp();
    let refused = rig.submit(Op::SendVectored {
        socket,
        buffers: vec![BufferRef::Bytes("x".into()); 17],
        more_follows: false,
    });
    let done = rig.submit(Op::Timeout { at_ns: 0 });
    rig.kernel.enter(Wait::Forever).expect("works");
    rig.kernel.orphan(refused);
    rig.kernel.orphan(done);
    rig.turn_until("both ends", |rig| rig.kernel.in_flight() == 0);
    assert!(rig.waiting().is_empty());
    rig.finish();
}

#[test]
fn a_blocking_call_that_only_waits_is_cancelled() {
    let mut rig = Rig::with(ringway_uring::UringConfig {
        helper_threads: 1,
        ..rig::config()
    });
    // The first keeps the only helper busy: opening the write end of a FIFO nobody reads would be
    // cleaner, but no blocking call opens; reading a large directory many times does.
    let busy: Vec<_> = (0..50).map(|_| rig.submit(list("/proc/self/fd"))).collect();
    let last = rig.submit(list("/proc/self/fd"));
    rig.kernel.cancel(last);
    let completion = rig.next_of(last);
    match completion.result {
        Err(errno) => assert_eq!(errno, Errno::ECANCELED),
        Ok(_) => assert!(matches!(completion.payload, Payload::Entries(_))),
    }
    for op in busy {
        assert!(rig.next_of(op).result.is_ok());
    }
    rig.finish();
}

fn list(path: &str) -> Op {
    let directory = std::fs::File::open(path).expect("a directory");
    Op::Blocking(BlockingCall::ReadDirectory {
        directory: Descriptor::from_os(directory.into()),
        entries_max: 10_000,
    })
}
