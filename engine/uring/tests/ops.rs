//! The socket ops once each, where they work and where they fail.

mod rig;

use std::io::{Read, Write};
use std::path::PathBuf;

use rig::{Rig, buffer, config, descriptor, expect_error, pattern};
use ringway_io::{
    Address, BufferMemory, BufferMut, BufferRef, Errno, Kernel, ListenOptions, Op, Payload,
    Readiness, ShutdownHow, Wait,
};
use ringway_uring::UringConfig;

const LISTEN: ListenOptions = ListenOptions {
    backlog: 16,
    reuse_port: false,
    unix_mode: 0o600,
};

#[test]
fn a_ring_can_be_handed_to_another_thread() {
    fn is_send<T: Send>(_: &T) {}
    let rig = Rig::new();
    is_send(&rig.kernel);
    let run = move || {
        let mut rig = rig;
        let at_ns = rig.kernel.now_ns();
        expect_error(&rig.run(Op::Timeout { at_ns }), Errno::ETIMEDOUT);
        rig.finish();
    };
    std::thread::spawn(run).join().expect("works there");
}

#[test]
fn another_thread_than_the_owner_is_told_so_and_leaks_rather_than_frees() {
    let mut rig = Rig::new();
    rig.turn(Wait::No);
    let (socket, _peer) = rig.tcp();
    let pending = Op::Receive {
        socket,
        buffer: BufferMut::heap(vec![0; 64]),
        exact: false,
    };
    rig.submit(pending);
    rig.turn(Wait::No);
    let elsewhere = move || {
        let mut rig = rig;
        assert_eq!(rig.kernel.enter(Wait::No), Ok(()), "nothing to enter for");
        let at_ns = rig.kernel.now_ns();
        rig.submit(Op::Timeout { at_ns });
        assert_eq!(rig.kernel.enter(Wait::No), Err(Errno::EEXIST));
        let late = rig.submit(Op::Timeout { at_ns });
        let mut out = Vec::new();
        rig.kernel.reap(&mut out, 8);
        assert_eq!((out[0].op, out[0].result), (late, Err(Errno::EEXIST)));
        let report = rig.kernel.teardown(rig.kernel.now_ns() + 10_000_000);
        assert_eq!(report.leaked, 2);
    };
    std::thread::spawn(elsewhere).join().expect("no panic");
}

#[test]
fn a_receive_fills_its_own_buffer_and_gives_it_back() {
    let mut rig = Rig::new();
    let (socket, mut peer) = rig.tcp();
    peer.write_all(b"hello").expect("sent");
    let completion = rig.run(Op::Receive {
        socket: socket.clone(),
        buffer: BufferMut::heap(vec![9; 64]).with_range(10..40),
        exact: false,
    });
    assert_eq!(completion.result, Ok(5));
    let filled = buffer(completion);
    assert_eq!(&filled.memory.as_slice()[8..17], b"\x09\x09hello\x09\x09");

    peer.write_all(&pattern(6000)[..3000]).expect("sent");
    let lease = rig.kernel.lease(8192).expect("free");
    let exact = rig.submit(Op::Receive {
        socket: socket.clone(),
        buffer: BufferMut::lease(lease, 6000),
        exact: true,
    });
    rig.turn(Wait::No);
    peer.write_all(&pattern(6000)[3000..]).expect("sent");
    let completion = rig.next_of(exact);
    assert_eq!(completion.result, Ok(6000));
    assert_eq!(buffer(completion).as_slice(), pattern(6000));

    drop(peer);
    let end = Op::Receive {
        socket,
        buffer: BufferMut::heap(vec![0; 8]),
        exact: false,
    };
    assert_eq!(rig.run(end).result, Ok(0));
    rig.finish();
}

#[test]
fn a_buffer_comes_back_from_a_failed_receive_too() {
    let mut rig = Rig::new();
    let unconnected = rig.kernel.socket(&"127.0.0.1:1".parse().expect("valid"));
    let completion = rig.run(Op::Receive {
        socket: unconnected.expect("a socket"),
        buffer: BufferMut::heap(vec![5; 16]),
        exact: false,
    });
    expect_error(&completion, Errno::ENOTCONN);
    assert_eq!(buffer(completion).as_slice(), [5; 16]);

    let (socket, _peer) = rig.tcp();
    let mut outside = BufferMut::heap(vec![0; 8]);
    outside.range = 4..9;
    let completion = rig.run(Op::Receive {
        socket,
        buffer: outside,
        exact: false,
    });
    expect_error(&completion, Errno::EINVAL);
    assert!(matches!(completion.payload, Payload::Buffer(_)));
    rig.finish();
}

#[test]
fn a_send_takes_everything_even_through_a_small_window() {
    let mut rig = Rig::new();
    let (socket, mut peer) = rig.tcp();
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).expect("reads");
        got
    });
    let bytes = pattern(8 << 20);
    let completion = rig.run(Op::Send {
        socket: socket.clone(),
        buffer: BufferRef::Bytes(bytes.clone().into()),
        more_follows: true,
    });
    assert_eq!(completion.result, Ok(8 << 20));
    rig.send(&socket, b"the end");
    rig.kernel.shutdown(&socket, ShutdownHow::Send);
    let got = reader.join().expect("reads");
    assert!(got[..8 << 20] == bytes && &got[8 << 20..] == b"the end");
    rig.finish();
}

#[test]
fn a_vectored_send_keeps_the_order_of_its_buffers() {
    let mut rig = Rig::new();
    let (socket, mut peer) = rig.tcp();
    let mut piece = rig.kernel.lease(64).expect("free");
    piece[..4].copy_from_slice(b"body");
    let buffers = vec![
        BufferRef::Bytes("head ".into()),
        BufferRef::Lease(piece.freeze(4)),
        BufferRef::Bytes(" tail".into()),
    ];
    let completion = rig.run(Op::SendVectored {
        socket: socket.clone(),
        buffers: buffers.clone(),
        more_follows: false,
    });
    assert_eq!(completion.result, Ok(14));
    let mut got = [0; 14];
    peer.read_exact(&mut got).expect("arrives");
    assert_eq!(&got, b"head body tail");

    let too_many = Op::SendVectored {
        socket,
        buffers: vec![buffers[0].clone(); 17],
        more_follows: false,
    };
    expect_error(&rig.run(too_many), Errno::EINVAL);
    rig.finish();
}

#[test]
fn sending_to_a_closed_peer_is_an_error_and_never_a_signal() {
    let mut rig = Rig::new();
    let (socket, peer) = rig.tcp();
    rig.kernel.shutdown(&socket, ShutdownHow::Send);
    let completion = rig.run(Op::Send {
        socket: socket.clone(),
        buffer: BufferRef::Bytes("x".into()),
        more_follows: false,
    });
    expect_error(&completion, Errno::EPIPE);
    assert_eq!(rig.kernel.send_now(&socket, b"x", false), Err(Errno::EPIPE));
    drop(peer);
    rig.finish();
}

#[test]
fn a_connect_stands_or_says_why_not() {
    let mut rig = Rig::new();
    let any: Address = "127.0.0.1:0".parse().expect("valid");
    let listener = rig.kernel.listen(&any, LISTEN).expect("listens");
    let address = rig.kernel.local_address(&listener).expect("bound");
    let socket = rig.kernel.socket(&address).expect("a socket");
    let completion = rig.run(Op::Connect {
        socket: socket.clone(),
        address: address.clone(),
    });
    assert_eq!(completion.result, Ok(0));
    assert_eq!(rig.kernel.peer_address(&socket), Ok(address.clone()));

    drop(listener);
    let socket = rig.kernel.socket(&address).expect("a socket");
    let completion = rig.run(Op::Connect { socket, address });
    expect_error(&completion, Errno::ECONNREFUSED);

    let nowhere = Address::Unix(PathBuf::from("/nonexistent/socket"));
    let socket = rig.kernel.socket(&nowhere).expect("a socket");
    let completion = rig.run(Op::Connect {
        socket: socket.clone(),
        address: nowhere,
    });
    expect_error(&completion, Errno::ENOENT);
    let too_long = Address::Unix(PathBuf::from("x".repeat(200)));
    let completion = rig.run(Op::Connect {
        socket,
        address: too_long,
    });
    assert!(completion.result.is_err());
    rig.finish();
}

#[test]
fn a_poll_completes_once_when_there_is_something() {
    let mut rig = Rig::new();
    let (socket, mut peer) = rig.tcp();
    let poll = |readiness| Op::Poll {
        descriptor: socket.clone(),
        readiness,
    };
    assert!(rig.run(poll(Readiness::Writable)).result.is_ok());
    let readable = rig.submit(poll(Readiness::Readable));
    rig.turn(Wait::No);
    assert!(rig.waiting().is_empty());
    peer.write_all(b"x").expect("sent");
    let completion = rig.next_of(readable);
    assert!(completion.result.is_ok() && !completion.more);
    rig.finish();
}

#[test]
fn a_timeout_ends_with_etimedout_and_never_early() {
    let mut rig = Rig::new();
    for after_ns in [0, 1, 300_000, 2_000_000] {
        let at_ns = rig.kernel.now_ns() + after_ns;
        expect_error(&rig.run(Op::Timeout { at_ns }), Errno::ETIMEDOUT);
        assert!(rig.kernel.now_ns() >= at_ns);
    }
    expect_error(&rig.run(Op::Timeout { at_ns: 0 }), Errno::ETIMEDOUT);
    rig.finish();
}

#[test]
fn a_wait_ends_at_its_time_with_nothing_to_reap() {
    let mut rig = Rig::new();
    let until = rig.kernel.now_ns() + 3_000_000;
    rig.kernel.enter(Wait::Until(until)).expect("works");
    assert!(rig.kernel.now_ns() >= until);
    rig.kernel.enter(Wait::Until(0)).expect("works");
    assert!(rig.waiting().is_empty());
    rig.finish();
}

#[test]
fn an_op_too_many_is_refused_at_once_with_its_buffer() {
    let mut rig = Rig::with(UringConfig {
        ops_max: 3,
        ..config()
    });
    let (socket, _peer) = rig.tcp();
    let poll = || Op::Poll {
        descriptor: socket.clone(),
        readiness: Readiness::Readable,
    };
    let held: Vec<_> = (0..3).map(|_| rig.submit(poll())).collect();
    let completion = rig.run(Op::Receive {
        socket: socket.clone(),
        buffer: BufferMut::heap(vec![1, 2, 3]),
        exact: false,
    });
    expect_error(&completion, Errno::ENOBUFS);
    let BufferMemory::Heap(memory) = buffer(completion).memory else {
        panic!("heap went in");
    };
    assert_eq!(memory, [1, 2, 3]);
    rig.kernel.cancel(held[0]);
    expect_error(&rig.next_of(held[0]), Errno::ECANCELED);
    let again = rig.submit(poll());
    rig.turn(Wait::No);
    assert!(rig.waiting().is_empty(), "there is room again");
    assert_ne!(again, held[0]);
    assert_eq!(rig.kernel.in_flight(), 3);
    rig.finish();
}

#[test]
fn more_ops_than_the_submission_queue_holds_flush_it() {
    let mut rig = Rig::with(UringConfig {
        submission_entries: 4,
        ..config()
    });
    let (socket, _peer) = rig.tcp();
    let count = rig.kernel.limits().ops_max.min(100);
    let ops: Vec<_> = (0..count)
        .map(|_| {
            rig.submit(Op::Poll {
                descriptor: socket.clone(),
                readiness: Readiness::Writable,
            })
        })
        .collect();
    for op in ops {
        assert!(rig.next_of(op).result.is_ok());
    }
    rig.finish();
}

#[test]
fn reaping_is_bounded_and_loses_nothing() {
    let mut rig = Rig::new();
    for _ in 0..20 {
        rig.submit(Op::Timeout { at_ns: 0 });
    }
    let mut out = Vec::new();
    while out.len() < 20 {
        rig.kernel.enter(Wait::Forever).expect("works");
        let before = out.len();
        let count = rig.kernel.reap(&mut out, 3);
        assert!(count <= 3 && out.len() == before + count);
    }
    assert_eq!(rig.kernel.in_flight(), 0);
    rig.finish();
}

#[test]
fn an_accepted_socket_never_makes_a_splice_wait() {
    let mut rig = Rig::new();
    let any: Address = "[::1]:0".parse().expect("valid");
    let Ok(listener) = rig.kernel.listen(&any, LISTEN) else {
        return rig::skip("an_accepted_socket", "no IPv6 loopback");
    };
    let address = rig.kernel.local_address(&listener).expect("bound");
    let Address::Tcp(address) = address else {
        panic!("TCP was asked for");
    };
    let accept = rig.submit(Op::Accept { listener });
    rig.turn(Wait::No);
    let _peer = std::net::TcpStream::connect(address).expect("connects");
    let socket = descriptor(rig.next_of(accept));
    let pipe = rig.kernel.acquire_pipe();
    if let Some(pipe) = pipe {
        let result = rig.kernel.splice_from_socket(&socket, &pipe, 4096);
        assert_eq!(result, Err(Errno::EAGAIN));
        rig.kernel.release_pipe(pipe, true);
    }
    rig.finish();
}
