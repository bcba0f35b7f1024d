//! A completion queue that is far too small: nothing is lost, nothing hangs.

mod rig;

use std::net::TcpStream;

use rig::{Rig, config, pattern};
use ringway_io::{Address, BufferMut, Errno, Kernel, ListenOptions, Op, Payload, Wait};
use ringway_uring::UringConfig;

fn tiny() -> Rig {
    let rig = Rig::with(UringConfig {
        submission_entries: 4,
        completion_entries: Some(8),
        ..config()
    });
    assert_eq!(rig.kernel.limits().completion_entries, 8);
    rig
}

#[test]
fn completions_that_found_no_room_come_later() {
    let mut rig = tiny();
    let count = rig.kernel.limits().ops_max.min(200);
    let ops: Vec<_> = (0..count)
        .map(|_| rig.submit(Op::Timeout { at_ns: 0 }))
        .collect();
    for _ in 0..10 {
        rig.kernel.enter(Wait::No).expect("works");
    }
    for op in ops {
        rig::expect_error(&rig.next_of(op), Errno::ETIMEDOUT);
    }
    rig.finish();
}

#[test]
fn an_accept_ended_by_overflow_still_hands_over_what_it_accepted() {
    let mut rig = tiny();
    let any: Address = "127.0.0.1:0".parse().expect("valid");
    let options = ListenOptions {
        backlog: 64,
        reuse_port: false,
        unix_mode: 0,
    };
    let listener = rig.kernel.listen(&any, options).expect("listens");
    let Ok(Address::Tcp(address)) = rig.kernel.local_address(&listener) else {
        panic!("TCP was asked for");
    };
    let peers: Vec<_> = (0..40)
        .map(|_| TcpStream::connect(address).expect("connects"))
        .collect();
    let mut accepted = Vec::new();
    while accepted.len() < peers.len() {
        let op = rig.submit(Op::Accept {
            listener: listener.clone(),
        });
        for _ in 0..3 {
            rig.kernel.enter(Wait::No).expect("works");
        }
        loop {
            let completion = rig.next_of(op);
            let more = completion.more;
            match completion.payload {
                Payload::Descriptor(socket) => accepted.push(socket),
                other => panic!("{:?} {other:?}", completion.result),
            }
            if !more || accepted.len() == peers.len() {
                rig.kernel.orphan(op);
                break;
            }
        }
    }
    rig.turn_until("the orphans' ends", |rig| rig.kernel.in_flight() == 0);
    rig.finish();
}

#[test]
fn cancelling_more_than_fits_ends_every_op() {
    let mut rig = tiny();
    let (socket, _peer) = rig.tcp();
    let count = rig.kernel.limits().ops_max.min(100);
    let ops: Vec<_> = (0..count)
        .map(|_| {
            rig.submit(Op::Receive {
                socket: socket.clone(),
                buffer: BufferMut::heap(pattern(16)),
                exact: false,
            })
        })
        .collect();
    rig.turn(Wait::No);
    rig.kernel.cancel_all_on(&socket);
    for op in ops {
        rig::expect_error(&rig.next_of(op), Errno::ECANCELED);
    }
    rig.finish();
}

#[test]
fn teardown_reaps_through_a_full_queue() {
    let mut rig = tiny();
    let (socket, _peer) = rig.tcp();
    for _ in 0..100 {
        rig.submit(Op::Timeout { at_ns: 0 });
        rig.submit(Op::ReceiveMultishot {
            socket: socket.clone(),
        });
    }
    let report = rig.kernel.teardown(rig.kernel.now_ns() + rig::PATIENCE_NS);
    assert_eq!((report.reaped, report.leaked), (200, 0));
}
