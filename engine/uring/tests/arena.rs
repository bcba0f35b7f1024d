//! Leases: how many, how large, what travels by reference.

mod rig;

use std::io::{Read, Write};

use rig::{Rig, config, config_without, pattern};
use ringway_io::{Capability, Errno, Kernel, Lease, Op, Readiness, ShutdownHow};
use ringway_uring::UringConfig;

fn filled(rig: &mut Rig, length: usize) -> Lease {
    let mut lease = rig.kernel.lease(length).expect("free");
    lease[..length].copy_from_slice(&pattern(length));
    lease.freeze(length)
}

#[test]
fn sizes_are_what_the_limits_say() {
    let mut rig = Rig::new();
    let limits = rig.kernel.limits().clone();
    assert_eq!(limits.arena_bytes, 4 << 20);
    assert!(limits.lease_sizes.is_sorted());
    for size in &limits.lease_sizes {
        let size = *size as usize;
        assert_eq!(rig.kernel.lease(size).expect("free").len(), size);
        assert!(
            rig.kernel
                .lease(size - 1)
                .is_some_and(|it| it.len() == size)
        );
    }
    let largest = *limits.lease_sizes.last().expect("some") as usize;
    assert!(rig.kernel.lease(largest + 1).is_none());
    let all: Vec<_> = std::iter::from_fn(|| rig.kernel.lease(largest)).collect();
    assert_eq!(all.len() * largest, 4 << 20);
    assert!(rig.kernel.lease(1).is_none());
    drop(all);
    assert!(rig.kernel.lease(1).is_some());
    rig.finish();
}

#[test]
fn no_arena_lends_nothing() {
    let mut rig = Rig::with(UringConfig {
        arena_bytes: 0,
        ..config()
    });
    assert!(rig.kernel.lease(1).is_none());
    assert!(!rig.has(Capability::ArenaSplice) && !rig.has(Capability::RegisteredBuffers));
    assert!(rig.kernel.limits().lease_sizes.is_empty());
    rig.finish();
}

// Bytes spliced from the arena are read from its pages when the receiver reads, not when they were
// spliced. As long as the lease is held they are intact, whatever else is lent and dropped.
#[test]
fn a_held_lease_keeps_what_travels_by_reference_intact() {
    let mut rig = Rig::new();
    if !rig.has(Capability::Splice) || !rig.has(Capability::ArenaSplice) {
        return by_reference_is_refused(rig);
    }
    let (socket, mut peer) = rig.tcp();
    let lease = filled(&mut rig, 64 << 10);
    let pipe = rig.kernel.acquire_pipe().expect("a pipe");
    let length = rig.kernel.splice_from_lease(&lease, &pipe).expect("room");
    assert_eq!(length, 64 << 10);
    let moved = rig.kernel.splice_to_socket(&pipe, &socket, length, false);
    assert_eq!(moved, Ok(length));
    // Others come and go, poisoned.
    for _ in 0..8 {
        drop(filled(&mut rig, 1 << 20));
    }
    let mut got = vec![0; 64 << 10];
    peer.read_exact(&mut got).expect("arrives");
    assert!(got == pattern(64 << 10));
    rig.kernel.release_pipe(pipe, true);
    drop(lease);
    rig.finish();
}

// The reverse, so that the test above means something: drop the lease too early and the receiver
// reads poison. If this ever fails, loopback has begun to copy and the rules may be relaxed.
#[test]
fn a_lease_dropped_too_early_is_seen_as_poison() {
    let mut rig = Rig::new();
    if !rig.has(Capability::Splice) || !rig.has(Capability::ArenaSplice) {
        return by_reference_is_refused(rig);
    }
    let (socket, mut peer) = rig.tcp();
    let lease = filled(&mut rig, 64 << 10);
    let pipe = rig.kernel.acquire_pipe().expect("a pipe");
    let length = rig.kernel.splice_from_lease(&lease, &pipe).expect("room");
    let moved = rig.kernel.splice_to_socket(&pipe, &socket, length, false);
    assert_eq!(moved, Ok(length));
    rig.kernel.release_pipe(pipe, true);
    drop(lease);
    rig.turn(ringway_io::Wait::No);
    let mut got = vec![0; 64 << 10];
    peer.read_exact(&mut got).expect("arrives");
    assert!(got.iter().all(|byte| *byte == 0xdb));
    rig.finish();
}

fn by_reference_is_refused(mut rig: Rig) {
    let lease = filled(&mut rig, 100);
    if let Some(pipe) = rig.kernel.acquire_pipe() {
        let refused = rig.kernel.splice_from_lease(&lease, &pipe);
        assert_eq!(refused, Err(Errno::EOPNOTSUPP));
        rig.kernel.release_pipe(pipe, true);
    }
    rig.finish();
}

#[test]
fn without_the_capability_leases_are_not_spliced() {
    by_reference_is_refused(Rig::with(config_without(Capability::ArenaSplice)));
    by_reference_is_refused(Rig::with(config_without(Capability::Splice)));
}

#[test]
fn a_lease_of_another_kernel_is_sent_but_never_spliced_from_the_wrong_file() {
    let mut one = Rig::new();
    let mut two = Rig::new();
    let lease = filled(&mut one, 5000);
    if let Some(pipe) = two.kernel.acquire_pipe() {
        let refused = two.kernel.splice_from_lease(&lease, &pipe);
        assert_eq!(refused, Err(Errno::EOPNOTSUPP));
        two.kernel.release_pipe(pipe, true);
    }
    let (socket, mut peer) = two.tcp();
    let op = two.submit(Op::Send {
        socket: socket.clone(),
        buffer: ringway_io::BufferRef::Lease(lease.clone()),
        more_follows: false,
    });
    assert_eq!(two.next_of(op).result, Ok(5000));
    let mut got = vec![0; 5000];
    peer.read_exact(&mut got).expect("arrives");
    assert!(got == pattern(5000));
    if two.has(Capability::SendZeroCopy) {
        let op = two.submit(Op::SendZeroCopy {
            socket,
            lease: lease.clone(),
            more_follows: false,
        });
        let first = two.next_of(op);
        // Not of this ring's registered memory: its pages are locked for this send.
        if first.result != Err(Errno::ENOMEM) {
            assert_eq!(first.result, Ok(5000));
            peer.read_exact(&mut got).expect("arrives");
            assert!(got == pattern(5000));
        }
        assert!(!first.more || !two.next_of(op).more);
    }
    two.finish();
    drop(lease);
    one.finish();
}

#[test]
fn registered_pieces_are_read_into_and_written_from() {
    for rig in [
        Rig::new(),
        Rig::with(config_without(Capability::RegisteredBuffers)),
    ] {
        reads_and_writes(rig);
    }
}

fn reads_and_writes(mut rig: Rig) {
    let file = tempfile::tempfile().expect("a file");
    let file = rig.adopt(file);
    let lease = filled(&mut rig, 300_000);
    let write = Op::Write {
        file: file.clone(),
        offset: 100,
        buffer: ringway_io::BufferRef::Lease(lease.slice(0..200_000)),
    };
    assert_eq!(rig.run(write).result, Ok(200_000));
    let target = rig.kernel.lease(250_000).expect("free");
    let read = Op::Read {
        file: file.clone(),
        offset: 1100,
        buffer: ringway_io::BufferMut::lease(target, 250_000).with_range(7..250_000),
    };
    let completion = rig.run(read);
    assert_eq!(completion.result, Ok(199_000));
    let got = rig::buffer(completion);
    assert!(got.as_slice()[..199_000] == pattern(200_000)[1000..]);
    // A read beyond the end reads nothing.
    let read = Op::Read {
        file,
        offset: 1 << 30,
        buffer: got,
    };
    assert_eq!(rig.run(read).result, Ok(0));
    rig.finish();
}

// While a transfer by reference waits in a pipe, its lease is held by the caller; a healthy
// sequence of lend, splice, read, drop never shows another's bytes.
#[test]
fn pieces_by_reference_arrive_without_a_foreign_byte() {
    let mut rig = Rig::new();
    if !rig.has(Capability::Splice) || !rig.has(Capability::ArenaSplice) {
        return by_reference_is_refused(rig);
    }
    let (socket, peer) = rig.tcp();
    let reader = std::thread::spawn(move || {
        let mut peer = peer;
        let mut got = Vec::new();
        peer.read_to_end(&mut got).expect("reads");
        peer.flush().expect("nothing to flush");
        got
    });
    let mut held = std::collections::VecDeque::new();
    let mut expected = Vec::new();
    for round in 0..400_usize {
        let length = 1 + round * 37 % 9000;
        let mut piece = rig.kernel.lease(length).expect("free");
        piece[..length].fill(round as u8);
        expected.extend(std::iter::repeat_n(round as u8, length));
        let lease = piece.freeze(length);
        let pipe = rig.kernel.acquire_pipe().expect("a pipe");
        let mut left = rig.kernel.splice_from_lease(&lease, &pipe).expect("room");
        assert_eq!(left as usize, length);
        while left > 0 {
            match rig.kernel.splice_to_socket(&pipe, &socket, left, false) {
                Ok(moved) => left -= moved,
                Err(Errno::EAGAIN) => {
                    let poll = Op::Poll {
                        descriptor: socket.clone(),
                        readiness: Readiness::Writable,
                    };
                    assert!(rig.run(poll).result.is_ok());
                }
                Err(errno) => panic!("{errno}"),
            }
        }
        rig.kernel.release_pipe(pipe, true);
        // Stands for retention until the peer has copied: nothing at the sender can prove it.
        held.push_back(lease);
    }
    rig.kernel.shutdown(&socket, ShutdownHow::Send);
    drop(socket);
    let got = reader.join().expect("reads");
    assert!(got == expected);
    drop(held);
    rig.finish();
}
