//! Multishot receive: pieces, running dry, silent ends, and what stands in for it.

mod rig;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use rig::{Rig, config, config_without, pattern};
use ringway_io::{Capability, Completion, Descriptor, Errno, Kernel, Op, OpId, Payload, Wait};
use ringway_uring::UringConfig;

/// Reads a stream to its end through multishot receives, arming again whenever one ends.
struct Reader {
    socket: Descriptor,
    op: OpId,
    got: Vec<u8>,
    arms: usize,
    dry: usize,
    has_ended: bool,
}

impl Reader {
    fn new(rig: &mut Rig, socket: Descriptor) -> Self {
        let op = arm(rig, &socket);
        Self {
            socket,
            op,
            got: Vec::new(),
            arms: 1,
            dry: 0,
            has_ended: false,
        }
    }

    /// Takes one completion; false at the end of the stream.
    fn step(&mut self, rig: &mut Rig) -> bool {
        let completion = rig.next_of(self.op);
        let (result, more) = (completion.result, completion.more);
        self.take(rig, completion);
        match result {
            Ok(0) => {
                assert!(!more, "the end is the last completion");
                self.has_ended = true;
                return false;
            }
            Ok(_) => {}
            Err(Errno::ENOBUFS) => {
                assert!(!more);
                self.dry += 1;
            }
            Err(other) => panic!("{other}"),
        }
        if !more {
            self.op = arm(rig, &self.socket);
            self.arms += 1;
        }
        true
    }

    /// Takes what has come.
    fn step_while_ready(&mut self, rig: &mut Rig) {
        while !self.has_ended && rig.has_waiting(self.op) {
            self.step(rig);
        }
    }

    fn take(&mut self, rig: &mut Rig, completion: Completion) {
        if let Payload::Provided(buffer) = completion.payload {
            assert_eq!(completion.result, Ok(buffer.length));
            self.got.extend_from_slice(rig.kernel.provided(&buffer));
            rig.kernel.recycle(buffer);
        }
    }
}

fn arm(rig: &mut Rig, socket: &Descriptor) -> OpId {
    rig.submit(Op::ReceiveMultishot {
        socket: socket.clone(),
    })
}

fn sends(mut peer: TcpStream, bytes: Vec<u8>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || peer.write_all(&bytes).expect("sent"))
}

#[test]
fn a_stream_arrives_in_order_with_one_receive_armed() {
    let mut rig = Rig::new();
    let has_multishot = rig.has(Capability::ReceiveMultishot);
    let (socket, peer) = rig.tcp();
    let bytes = pattern(1 << 20);
    let sender = sends(peer, bytes.clone());
    let mut reader = Reader::new(&mut rig, socket);
    while reader.step(&mut rig) {}
    sender.join().expect("sent");
    assert!(reader.got == bytes);
    if has_multishot {
        assert!(reader.arms < 256, "armed {} times for 1 MiB", reader.arms);
    }
    assert_eq!(rig.kernel.provided_available(), (16, 16));
    rig.finish();
}

#[test]
fn without_the_capability_single_receives_bring_the_same_bytes() {
    let mut rig = Rig::with(config_without(Capability::ReceiveMultishot));
    let (socket, peer) = rig.tcp();
    let bytes = pattern(100_000);
    let sender = sends(peer, bytes.clone());
    let mut reader = Reader::new(&mut rig, socket);
    while reader.step(&mut rig) {}
    sender.join().expect("sent");
    assert!(reader.got == bytes);
    assert!(reader.arms > 100_000 / 4096, "each brings one buffer");
    assert_eq!(rig.kernel.provided_available(), (16, 16));
    rig.finish();
}

#[test]
fn a_unix_stream_never_misses_its_end() {
    let mut rig = Rig::new();
    for round in 0..200 {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let socket = rig.adopt(ours);
        let mut reader = Reader::new(&mut rig, socket);
        let sender = std::thread::spawn(move || {
            theirs.write_all(&[7; 123]).expect("sent");
            theirs
                .shutdown(std::net::Shutdown::Write)
                .expect("shut down");
            theirs
        });
        while reader.step(&mut rig) {}
        assert_eq!(reader.got, [7; 123], "round {round}");
        drop(sender.join());
    }
    rig.finish();
}

#[test]
fn running_out_of_buffers_ends_the_receive_and_loses_no_byte() {
    let mut rig = Rig::with(UringConfig {
        provided_count: 4,
        ..config()
    });
    let (socket, mut peer) = rig.tcp();
    let bytes = pattern(64 << 10);
    peer.write_all(&bytes)
        .expect("fits into the socket buffers");
    let mut op = arm(&mut rig, &socket);
    // Keep every buffer until the kernel has none.
    let mut kept = Vec::new();
    loop {
        let completion = rig.next_of(op);
        let more = completion.more;
        match completion.payload {
            Payload::Provided(buffer) => kept.push(buffer),
            _ => assert_eq!(completion.result, Err(Errno::ENOBUFS)),
        }
        if more {
            continue;
        }
        if completion.result == Err(Errno::ENOBUFS) || kept.len() == 4 {
            break;
        }
        op = arm(&mut rig, &socket);
    }
    assert_eq!(kept.len(), 4);
    assert_eq!(rig.kernel.provided_available(), (0, 4));

    // A receive armed now fails, at once or with the first byte.
    let starved = rig.submit(Op::ReceiveMultishot {
        socket: socket.clone(),
    });
    let completion = rig.next_of(starved);
    rig::expect_error(&completion, Errno::ENOBUFS);
    assert!(!completion.more);

    let mut got = Vec::new();
    for buffer in kept {
        got.extend_from_slice(rig.kernel.provided(&buffer));
        rig.kernel.recycle(buffer);
    }
    assert_eq!(rig.kernel.provided_available(), (4, 4));
    let mut reader = Reader::new(&mut rig, socket);
    reader.got = got;
    while reader.got.len() < bytes.len() {
        assert!(reader.step(&mut rig));
    }
    assert!(reader.got == bytes);
    rig.finish();
}

#[test]
fn many_connections_share_the_buffers_without_mixing_their_bytes() {
    let mut rig = Rig::new();
    let mut readers = Vec::new();
    let mut senders = Vec::new();
    for number in 0..24_u8 {
        let (socket, peer) = rig.tcp();
        readers.push(Reader::new(&mut rig, socket));
        senders.push(sends(peer, vec![number; 40_000]));
    }
    // Whoever has something is served: one that waited for its own turn would keep the buffers
    // that another needs.
    rig.turn_until("the end of every stream", |rig| {
        readers
            .iter_mut()
            .for_each(|reader| reader.step_while_ready(rig));
        readers.iter().all(|reader| reader.has_ended)
    });
    for (number, reader) in readers.iter().enumerate() {
        assert!(reader.got == vec![number as u8; 40_000]);
    }
    for sender in senders {
        sender.join().expect("sent");
    }
    assert_eq!(rig.kernel.provided_available(), (16, 16));
    rig.finish();
}

#[test]
fn an_orphaned_receive_gives_its_buffers_back() {
    let mut rig = Rig::new();
    for _ in 0..50 {
        let (socket, mut peer) = rig.tcp();
        let op = arm(&mut rig, &socket);
        rig.turn(Wait::No);
        peer.write_all(&[1; 20_000]).expect("sent");
        rig.kernel.orphan(op);
        rig.turn_until("the orphan's end", |rig| rig.kernel.in_flight() == 0);
        assert!(
            rig.waiting().is_empty(),
            "an orphan's results are swallowed"
        );
        assert_eq!(rig.kernel.provided_available(), (16, 16));
    }
    rig.finish();
}

#[test]
fn a_reset_by_the_peer_is_told() {
    let mut rig = Rig::new();
    let (socket, peer) = rig.tcp();
    let op = arm(&mut rig, &socket);
    rig.turn(Wait::No);
    let far = rig.adopt(peer);
    rig.kernel.reset(&far);
    let completion = rig.next_of(op);
    rig::expect_error(&completion, Errno::ECONNRESET);
    assert!(!completion.more);
    rig.finish();
}

#[test]
fn resetting_ends_our_own_ops_too_and_the_peer_sees_it() {
    let mut rig = Rig::new();
    let (socket, mut peer) = rig.tcp();
    let op = arm(&mut rig, &socket);
    rig.turn(Wait::No);
    rig.kernel.reset(&socket);
    rig.kernel.cancel_all_on(&socket);
    let completion = rig.next_of(op);
    assert!(!completion.more);
    let error = peer.read(&mut [0; 8]).expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    rig.finish();
}

#[test]
fn without_provided_buffers_a_multishot_receive_is_refused() {
    let mut rig = Rig::with(UringConfig {
        provided_count: 0,
        ..config()
    });
    assert!(!rig.has(Capability::ReceiveMultishot));
    let (socket, _peer) = rig.tcp();
    let completion = rig.run(Op::ReceiveMultishot { socket });
    rig::expect_error(&completion, Errno::EOPNOTSUPP);
    rig.finish();
}
