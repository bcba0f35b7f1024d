//! Zero-copy sends: two completions, the memory free only after the second.

mod rig;

use std::io::Read;
use std::os::unix::net::UnixStream;

use rig::{Rig, config_without, expect_error, pattern};
use ringway_io::{
    Capability, Completion, Descriptor, Errno, Kernel, LeaseMut, Op, OpId, Payload, Wait,
};

fn filled(rig: &mut Rig, length: usize) -> LeaseMut {
    let mut lease = rig.kernel.lease(length).expect("free");
    lease[..length].copy_from_slice(&pattern(length));
    lease
}

fn send(rig: &mut Rig, socket: &Descriptor, lease: LeaseMut, length: usize) -> OpId {
    rig.submit(Op::SendZeroCopy {
        socket: socket.clone(),
        lease: lease.freeze(length),
        more_follows: false,
    })
}

/// All completions of one send.
fn all_of(rig: &mut Rig, op: OpId) -> Vec<Completion> {
    let mut all = vec![rig.next_of(op)];
    while all.last().is_some_and(|last| last.more) {
        all.push(rig.next_of(op));
    }
    assert!(all.len() <= 2);
    all
}

/// Sends once and checks everything that must hold; gives back what the notification said, or
/// nothing where locked memory is too short for any zero-copy send.
fn accounted(mut rig: Rig) -> Option<Option<bool>> {
    let (socket, mut peer) = rig.tcp();
    let lease = filled(&mut rig, 100_000);
    let op = send(&mut rig, &socket, lease, 100_000);
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).expect("reads");
        got
    });
    let mut all = all_of(&mut rig, op);
    drop(socket);
    let got = reader.join().expect("reads");
    if all[0].result == Err(Errno::ENOMEM) && rig.is_short_of_locked_memory() {
        assert!(got.is_empty());
        rig.finish();
        return None;
    }
    assert_eq!(all[0].result, Ok(100_000));
    assert!(got == pattern(100_000));
    assert!(all[0].more && all.len() == 2);
    let Payload::Notification { copied } = all.remove(1).payload else {
        panic!("the second is the notification");
    };
    rig.finish();
    Some(copied)
}

#[test]
fn the_first_completion_frees_the_stream_and_the_second_the_memory() {
    let rig = Rig::new();
    if !rig.has(Capability::SendZeroCopy) {
        return refused(rig);
    }
    let reports = rig.has(Capability::ZeroCopyReport);
    // Loopback always copies late.
    if let Some(copied) = accounted(rig) {
        assert_eq!(copied, reports.then_some(true));
    }
}

fn refused(mut rig: Rig) {
    let (socket, _peer) = rig.tcp();
    let lease = filled(&mut rig, 4096);
    let op = send(&mut rig, &socket, lease, 4096);
    let completion = rig.next_of(op);
    expect_error(&completion, Errno::EOPNOTSUPP);
    assert!(!completion.more);
    rig.finish();
}

#[test]
fn without_the_capability_it_is_refused_at_once() {
    refused(Rig::with(config_without(Capability::SendZeroCopy)));
}

#[test]
fn without_registered_buffers_plain_memory_is_sent() {
    let rig = Rig::with(config_without(Capability::RegisteredBuffers));
    assert!(!rig.has(Capability::RegisteredBuffers));
    if rig.has(Capability::SendZeroCopy) {
        accounted(rig);
    }
}

#[test]
fn without_the_report_the_notification_does_not_say() {
    let rig = Rig::with(config_without(Capability::ZeroCopyReport));
    if rig.has(Capability::SendZeroCopy)
        && let Some(copied) = accounted(rig)
    {
        assert_eq!(copied, None);
    }
}

// On 6.18 a failing zero-copy send still posts a notification, older kernels sometimes do not:
// only `more` tells. Whoever counts otherwise reuses memory too early or waits for ever.
#[test]
fn a_failing_send_is_accounted_by_more_alone() {
    let mut rig = Rig::new();
    let (unix, _peer) = UnixStream::pair().expect("a pair");
    let unix = rig.adopt(unix);
    let file = rig.adopt(std::fs::File::open("/proc/self/exe").expect("a file"));
    let (shut, _peer) = rig.tcp();
    rig.kernel.shutdown(&shut, ringway_io::ShutdownHow::Send);
    for target in [unix, file, shut] {
        for _ in 0..20 {
            let lease = filled(&mut rig, 4096);
            let op = send(&mut rig, &target, lease, 4096);
            let all = all_of(&mut rig, op);
            assert!(all[0].result.is_err(), "{:?}", all[0]);
        }
    }
    assert_eq!(rig.kernel.in_flight(), 0);
    whole_arena_is_free(&mut rig);
    rig.finish();
}

fn whole_arena_is_free(rig: &mut Rig) {
    let all: Vec<_> = (0..4).map(|_| rig.kernel.lease(1 << 20)).collect();
    assert!(all.iter().all(Option::is_some), "a piece is still held");
}

#[test]
fn the_memory_stays_lent_until_the_notification() {
    let mut rig = Rig::new();
    if !rig.has(Capability::SendZeroCopy) {
        return refused(rig);
    }
    let is_short = rig.is_short_of_locked_memory();
    let (socket, mut peer) = rig.tcp();
    let mut outstanding = Vec::new();
    // The peer reads nothing: some of these can neither be sent nor notified.
    for _ in 0..4 {
        let lease = filled(&mut rig, 1 << 20);
        outstanding.push(send(&mut rig, &socket, lease, 1 << 20));
        rig.turn(Wait::No);
    }
    assert!(is_short || rig.kernel.lease(1 << 20).is_none());
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).expect("reads");
        got
    });
    let mut sent = 0;
    for op in outstanding {
        let all = all_of(&mut rig, op);
        match all[0].result {
            Ok(count) => sent += count as usize,
            Err(errno) => assert!(is_short && errno == Errno::ENOMEM, "{errno}"),
        }
    }
    drop(socket);
    let got = reader.join().expect("reads");
    assert!(got.len() == sent && (is_short || sent == 4 << 20));
    assert!(got.chunks(1 << 20).all(|each| each == pattern(1 << 20)));
    whole_arena_is_free(&mut rig);
    rig.finish();
}

#[test]
fn orphaned_and_cancelled_sends_still_free_their_memory() {
    let mut rig = Rig::new();
    let (socket, peer) = rig.tcp();
    for at in 0..4 {
        let lease = filled(&mut rig, 1 << 20);
        let op = send(&mut rig, &socket, lease, 1 << 20);
        rig.turn(Wait::No);
        if at % 2 == 0 {
            rig.kernel.orphan(op);
        } else {
            rig.kernel.cancel(op);
        }
    }
    rig.kernel.reset(&socket);
    drop((socket, peer));
    rig.turn_until("the last notification", |rig| rig.kernel.in_flight() == 0);
    whole_arena_is_free(&mut rig);
    rig.finish();
}
