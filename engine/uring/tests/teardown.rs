//! The end with work in flight: no hang, nothing freed that the kernel still uses.

mod rig;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use rig::{PATIENCE_NS, Rig, expect_error, pattern};
use ringway_io::{
    BlockingCall, BufferMut, Capability, Descriptor, Directory, Errno, Kernel, Op, OpenHow, Wait,
};

fn stall(rig: &mut Rig) -> Vec<Box<dyn std::any::Any>> {
    let mut keep: Vec<Box<dyn std::any::Any>> = Vec::new();
    for _ in 0..20 {
        let (socket, peer) = rig.tcp();
        let lease = rig.kernel.lease(4096).expect("free");
        rig.submit(Op::Receive {
            socket: socket.clone(),
            buffer: BufferMut::lease(lease, 4096),
            exact: true,
        });
        rig.submit(Op::ReceiveMultishot { socket });
        keep.push(Box::new(peer));
    }
    rig.submit(Op::Timeout { at_ns: u64::MAX });
    keep
}

#[test]
fn stalled_receives_are_reaped_to_zero() {
    let mut rig = Rig::new();
    let _peers = stall(&mut rig);
    rig.turn(Wait::No);
    let held = rig.kernel.in_flight();
    assert_eq!(held, 41.min(rig.kernel.limits().ops_max as usize));
    let report = rig.kernel.teardown(rig.kernel.now_ns() + PATIENCE_NS);
    assert_eq!((report.reaped, report.leaked), (held, 0));
    assert_eq!(rig.kernel.in_flight(), 0);
    let again = rig.kernel.teardown(u64::MAX);
    assert_eq!((again.reaped, again.leaked), (0, 0));
}

#[test]
fn ops_that_the_kernel_never_saw_are_reaped_too() {
    let mut rig = Rig::new();
    let _peers = stall(&mut rig);
    let report = rig.kernel.teardown(rig.kernel.now_ns() + PATIENCE_NS);
    assert_eq!((report.reaped, report.leaked), (41, 0));
}

#[test]
fn after_the_end_every_op_is_answered_at_once() {
    let mut rig = Rig::new();
    rig.kernel.teardown(u64::MAX);
    let (socket, _peer) = rig.tcp();
    let completion = rig.run(Op::Receive {
        socket,
        buffer: BufferMut::heap(vec![0; 8]),
        exact: false,
    });
    expect_error(&completion, Errno::ECANCELED);
    assert_eq!(rig::buffer(completion).len(), 8);
    rig.kernel.enter(Wait::Forever).expect("does not wait");
}

#[test]
fn dropping_closes_what_the_ops_held() {
    let mut rig = Rig::new();
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let socket = rig.adopt(ours);
    rig.submit(Op::ReceiveMultishot { socket });
    rig.turn(Wait::No);
    drop(rig);
    assert_eq!(theirs.read(&mut [0; 1]).expect("closed"), 0);
}

// A worker that splices from a blocking pipe nobody fills, and one that opens a FIFO nobody reads:
// both sit in the kernel until a cancel interrupts them.
#[test]
fn workers_in_the_kernel_do_not_hold_the_end_up() {
    let mut rig = Rig::new();
    if rig.has(Capability::Splice) {
        let (read, _write) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");
        let file = tempfile::tempfile().expect("a file");
        rig.submit(Op::SpliceToFile {
            pipe: Descriptor::from_os(read),
            file: Descriptor::from_os(file.into()),
            offset: 0,
            length: 4096,
        });
        std::mem::forget(_write);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("made");
    rig.submit(Op::Open {
        directory: Directory::Ambient,
        path: fifo,
        how: OpenHow {
            non_blocking: false,
            ..OpenHow::READ
        },
    });
    for _ in 0..20 {
        let soon = rig.kernel.now_ns() + 1_000_000;
        rig.turn(Wait::Until(soon));
    }
    let report = rig.kernel.teardown(rig.kernel.now_ns() + PATIENCE_NS);
    assert_eq!(report.leaked, 0, "{report:?}");
}

#[test]
fn a_deadline_in_the_past_leaks_and_returns() {
    let mut rig = Rig::new();
    let _peers = stall(&mut rig);
    rig.turn(Wait::No);
    let held = rig.kernel.in_flight();
    let report = rig.kernel.teardown(0);
    assert_eq!(report.reaped + report.leaked, held);
    drop(rig);
}

#[test]
fn a_running_blocking_call_does_not_hold_the_end_up_for_ever() {
    let mut rig = Rig::new();
    for _ in 0..100 {
        let directory = std::fs::File::open("/proc/self/task").expect("a directory");
        rig.submit(Op::Blocking(BlockingCall::ReadDirectory {
            directory: Descriptor::from_os(directory.into()),
            entries_max: 1000,
        }));
    }
    let report = rig.kernel.teardown(rig.kernel.now_ns() + PATIENCE_NS);
    assert_eq!((report.reaped, report.leaked), (100, 0));
}

// What is lent out of a kernel that is gone must stay readable: an application still holds it.
#[test]
fn a_lease_outlives_its_kernel() {
    let mut rig = Rig::new();
    let mut lease = rig.kernel.lease(100_000).expect("free");
    lease[..100_000].copy_from_slice(&pattern(100_000));
    let lease = lease.freeze(100_000);
    rig.finish();
    let bytes = lease.into_bytes();
    std::thread::spawn(move || assert!(bytes == pattern(100_000)))
        .join()
        .expect("still there");
}

#[test]
fn rings_come_and_go_without_leaving_descriptors_or_threads() {
    let count = |what: &str| std::fs::read_dir(what).expect("reads").count();
    let before = (count("/proc/self/fd"), count("/proc/self/task"));
    for _ in 0..20 {
        let mut rig = Rig::new();
        let (socket, mut peer) = rig.tcp();
        rig.submit(Op::ReceiveMultishot { socket });
        peer.write_all(b"x").expect("sent");
        rig.turn(Wait::No);
    }
    let patience = Instant::now();
    loop {
        // Other tests of this binary run beside: only growth per ring would be a leak.
        let now = (count("/proc/self/fd"), count("/proc/self/task"));
        if now.0 < before.0 + 100 && now.1 < before.1 + 30 {
            break;
        }
        assert!(patience.elapsed().as_secs() < 20, "{before:?} {now:?}");
        std::thread::yield_now();
    }
}
