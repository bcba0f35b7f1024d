//! Every op once, where it works and where it fails.

mod rig;

use std::io::{Read, Write};

use rig::{Rig, buffer, expect_error};
use ringway_io::{BufferMut, BufferRef, Errno, Kernel, Op, Payload};

#[test]
fn a_receive_fills_its_own_buffer_and_gives_it_back() {
    let mut rig = Rig::new();
    let (socket, mut peer) = rig.tcp();
    peer.write_all(b"hello").expect("sent");
    let completion = rig.run(Op::Receive {
        socket,
        buffer: BufferMut::heap(vec![0; 64]).with_range(10..40),
        exact: false,
    });
    assert_eq!(completion.result, Ok(5));
    let buffer = buffer(completion);
    assert_eq!(&buffer.as_slice()[..5], b"hello");
    rig.finish();
}

#[test]
fn a_timeout_ends_with_etimedout_and_never_early() {
    let mut rig = Rig::new();
    let at_ns = rig.kernel.now_ns() + 2_000_000;
    let completion = rig.run(Op::Timeout { at_ns });
    expect_error(&completion, Errno::ETIMEDOUT);
    assert!(rig.kernel.now_ns() >= at_ns);
    rig.finish();
}

#[test]
fn a_send_arrives_and_says_how_much() {
    let mut rig = Rig::new();
    let (socket, mut peer) = rig.tcp();
    let completion = rig.run(Op::Send {
        socket,
        buffer: BufferRef::Bytes("abcdef".into()),
        more_follows: false,
    });
    assert_eq!(completion.result, Ok(6));
    assert!(matches!(completion.payload, Payload::None));
    let mut got = [0; 6];
    peer.read_exact(&mut got).expect("arrives");
    assert_eq!(&got, b"abcdef");
    rig.finish();
}
