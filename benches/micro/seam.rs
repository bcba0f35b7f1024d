//! The seam on the real kernel: an op to its completion, and bytes through a loopback socket.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use criterion::{Criterion, Throughput};
use ringway_io::{BufferMut, Descriptor, Kernel, Op, Payload, Readiness, Token, Wait};
use ringway_uring::{Uring, UringConfig};

/// Ops of one submission in the batched case.
const BATCH: usize = 32;

/// Bytes of a small message.
const MESSAGE_BYTES: usize = 64;

pub fn measure(criterion: &mut Criterion) {
    let mut kernel = Uring::start(UringConfig::default()).expect("a ring");
    let [near, far] = connected(&mut kernel);
    let mut out = Vec::with_capacity(BATCH);
    let mut group = criterion.benchmark_group("seam");
    for count in [1, BATCH] {
        group.throughput(Throughput::Elements(count as u64));
        // A poll of what is writable already is the least that a kernel can do for an op.
        group.bench_function(format!("{count} polls, one enter"), |bencher| {
            bencher.iter(|| {
                for _ in 0..count {
                    let op = Op::Poll {
                        descriptor: near.clone(),
                        readiness: Readiness::Writable,
                    };
                    kernel.submit(Token(1), op);
                }
                reap(&mut kernel, &mut out, count);
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    let mut buffer = Some(BufferMut::heap(vec![0; MESSAGE_BYTES]));
    group.bench_function("64 bytes: send_now, receive op", |bencher| {
        bencher.iter(|| {
            let sent = kernel.send_now(&near, &[7; MESSAGE_BYTES], false);
            assert_eq!(sent, Ok(MESSAGE_BYTES), "an empty socket takes a message");
            let op = Op::Receive {
                socket: far.clone(),
                buffer: buffer.take().expect("given back each time"),
                exact: true,
            };
            kernel.submit(Token(2), op);
            reap(&mut kernel, &mut out, 1);
            if let Some(Payload::Buffer(returned)) = out.pop().map(|each| each.payload) {
                buffer = Some(returned);
            }
        });
    });
    group.finish();
}

/// Waits for `count` completions.
fn reap(kernel: &mut Uring, out: &mut Vec<ringway_io::Completion>, count: usize) {
    out.clear();
    while out.len() < count {
        kernel.enter(Wait::Forever).expect("the ring works");
        kernel.reap(out, BATCH);
    }
}

fn connected(kernel: &mut Uring) -> [Descriptor; 2] {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let near = TcpStream::connect(address).expect("connects");
    let (far, _) = listener.accept().expect("accepts");
    [near, far].map(|socket| {
        socket.set_nodelay(true).expect("a TCP socket");
        kernel.adopt(socket.into()).expect("a socket")
    })
}
