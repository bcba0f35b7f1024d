//! Rings in narrow places: little locked memory, few pipes, a seccomp filter, a sudden death.
//!
//! Each test runs itself again in a child process that confines itself first, because limits,
//! users and filters belong to a process and the latter two cannot be taken back.

mod rig;

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rig::{Rig, config, pattern, wait_for_turn};
use ringway_io::{
    BufferMut, BufferRef, Capability, Descriptor, Errno, Kernel, Op, ShutdownHow, Wait,
};
use ringway_uring::{UnavailableReason, Uring, UringConfig, probe};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Names the test that a child process runs; `rig::wait_for_turn` knows it too.
const CHILD: &str = "RINGWAY_TEST_CHILD";

/// Runs `child` in a process of its own; in that process, this is where it runs.
fn in_child(test: &str, child: impl FnOnce()) {
    if std::env::var(CHILD).as_deref() == Ok(test) {
        child();
        return;
    }
    wait_for_turn();
    let output = spawn(test).wait_with_output().expect("the child ends");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{text}\n{errors}",
        output.status
    );
    assert!(text.contains("1 passed"), "the child ran no test:\n{text}");
}

fn spawn(test: &str) -> std::process::Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the child starts")
}

/// Becomes a user without privileges whose limits nobody else uses up.
fn become_nobody() {
    if !Uid::effective().is_root() {
        return;
    }
    let number = 100_000 + std::process::id();
    let (user, group) = (Uid::from_raw(number), Gid::from_raw(number));
    setgroups(&[]).expect("root may");
    setresgid(group, group, group).expect("root may");
    setresuid(user, user, user).expect("root may");
}

fn limit_memlock(bytes: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).expect("readable");
    let bytes = bytes.min(hard);
    setrlimit(Resource::RLIMIT_MEMLOCK, bytes, bytes).expect("lowering is allowed");
    become_nobody();
}

/// Moves bytes through leases from the arena's beginning to its end.
fn use_whole_arena(rig: &mut Rig) {
    let mut leases: Vec<_> = std::iter::from_fn(|| rig.kernel.lease(1 << 20)).collect();
    let file = rig.adopt(tempfile::tempfile().expect("a file"));
    assert_eq!(leases.len() as u64, rig.kernel.limits().arena_bytes >> 20);
    for (at, mut lease) in leases.drain(..).enumerate() {
        lease[..5000].copy_from_slice(&pattern(5000));
        let write = Op::Write {
            file: file.clone(),
            offset: at as u64 * 5000,
            buffer: BufferRef::Lease(lease.freeze(5000)),
        };
        assert_eq!(rig.run(write).result, Ok(5000));
    }
    while let Some(lease) = rig.kernel.lease(1 << 20) {
        let read = Op::Read {
            file: file.clone(),
            offset: 5000,
            buffer: BufferMut::lease(lease, 5000),
        };
        let completion = rig.run(read);
        assert_eq!(completion.result, Ok(5000));
        let buffer = rig::buffer(completion);
        assert!(buffer.as_slice() == pattern(5000));
        leases.push(match buffer.memory {
            ringway_io::BufferMemory::Lease(lease) => lease,
            ringway_io::BufferMemory::Heap(_) => panic!("a lease went in"),
        });
    }
}

fn send_zero_copy(rig: &mut Rig) {
    let (socket, mut peer) = rig.tcp();
    let mut lease = rig.kernel.lease(16 << 10).expect("free");
    lease.fill(3);
    let op = rig.submit(Op::SendZeroCopy {
        socket,
        lease: lease.freeze(16 << 10),
        more_follows: false,
    });
    let first = rig.next_of(op);
    if first.result.is_ok() {
        let mut got = vec![0; 16 << 10];
        peer.read_exact(&mut got).expect("arrives");
        assert!(got.iter().all(|byte| *byte == 3));
    }
    // Locked memory may be short for one more pinned send; that is an error, never a hang.
    let is_known = [Errno::ENOMEM, Errno::EOPNOTSUPP]
        .map(Err)
        .contains(&first.result);
    assert!(first.result == Ok(16 << 10) || is_known, "{first:?}");
    while first.more && rig.next_of(op).more {}
}

#[test]
fn eight_mib_of_locked_memory_register_a_part_of_the_arena() {
    in_child(
        "eight_mib_of_locked_memory_register_a_part_of_the_arena",
        || {
            limit_memlock(8 << 20);
            let mut rig = Rig::with(UringConfig {
                arena_bytes: 16 << 20,
                ..config()
            });
            let limits = rig.kernel.limits().clone();
            assert_eq!(limits.arena_bytes, 16 << 20);
            if rig.has(Capability::RegisteredBuffers) {
                let cut = limits
                    .reductions
                    .iter()
                    .find(|it| it.what == "registered arena");
                let cut = cut.expect("a reduction is told");
                assert!(
                    cut.wanted == 16 << 20 && (2 << 20..8 << 20).contains(&cut.got),
                    "{cut:?}"
                );
                assert!(
                    cut.reason.contains("ulimit -l")
                        && cut.reason.contains("bytes for all processes")
                );
            }
            use_whole_arena(&mut rig);
            send_zero_copy(&mut rig);
            rig.finish();
        },
    );
}

#[test]
fn sixty_four_kib_of_locked_memory_leave_the_arena_unregistered_and_working() {
    let name = "sixty_four_kib_of_locked_memory_leave_the_arena_unregistered_and_working";
    in_child(name, || {
        limit_memlock(64 << 10);
        let mut rig = Rig::new();
        assert!(!rig.has(Capability::RegisteredBuffers));
        assert_eq!(rig.kernel.limits().arena_bytes, 4 << 20);
        use_whole_arena(&mut rig);
        send_zero_copy(&mut rig);
        let (socket, mut peer) = rig.tcp();
        std::io::Write::write_all(&mut peer, b"still works").expect("sent");
        let op = rig.submit(Op::ReceiveMultishot { socket });
        let completion = rig.next_of(op);
        assert_eq!(completion.result, Ok(11));
        if let ringway_io::Payload::Provided(buffer) = completion.payload {
            assert_eq!(rig.kernel.provided(&buffer), b"still works");
            rig.kernel.recycle(buffer);
        }
        rig.finish();
    });
}

#[test]
fn a_user_without_privileges_gets_smaller_pipes_and_is_told() {
    in_child(
        "a_user_without_privileges_gets_smaller_pipes_and_is_told",
        || {
            become_nobody();
            let mut rig = Rig::with(UringConfig {
                pipes_max: 200,
                pipe_bytes: 1 << 20,
                ..config()
            });
            let mut pipes: Vec<_> = std::iter::from_fn(|| rig.kernel.acquire_pipe()).collect();
            if !rig.has(Capability::Splice) {
                return assert!(pipes.is_empty());
            }
            assert_eq!(pipes.len(), 200, "small pipes are better than none");
            let sizes: Vec<_> = pipes.iter().map(|pipe| pipe.capacity).collect();
            assert_eq!(sizes[0], 1 << 20);
            assert!(
                sizes
                    .iter()
                    .all(|size| *size >= 4096 && size.is_power_of_two())
            );
            let limits = rig.kernel.limits().clone();
            let smallest = sizes.iter().copied().min().expect("some");
            assert!(smallest < 1 << 20, "64 MiB of pipes do not hold 200");
            assert_eq!(limits.pipe_bytes, smallest);
            let told: Vec<_> = limits
                .reductions
                .iter()
                .filter(|it| it.what == "pipes")
                .collect();
            assert_eq!(told.len(), 1);
            assert!(
                told[0].got == u64::from(smallest)
                    && told[0].reason.contains("pipe-user-pages-soft")
            );
            // The smallest still carries bytes.
            let pipe = pipes.pop().expect("some");
            let file = rig.adopt(
                nix::sys::memfd::memfd_create(c"x", nix::sys::memfd::MFdFlags::empty())
                    .expect("a memfd"),
            );
            nix::unistd::write(file.os().expect("real"), &pattern(10_000)).expect("written");
            let moved = rig
                .kernel
                .splice_from_file(&file, 0, &pipe, 10_000)
                .expect("room");
            assert!(moved >= 4096);
            rig.finish();
        },
    );
}

/// Refuses io_uring_setup(2) with `errno`, as container runtimes do.
fn refuse_io_uring(errno: i32) {
    let rules = [(libc::SYS_io_uring_setup, Vec::new())]
        .into_iter()
        .collect();
    let refused = SeccompAction::Errno(errno.cast_unsigned());
    let here = std::env::consts::ARCH.try_into().expect("known");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, here);
    let program: BpfProgram = filter.expect("valid").try_into().expect("compiles");
    seccompiler::apply_filter(&program).expect("always allowed");
}

#[test]
fn a_seccomp_filter_is_named_with_its_remedy() {
    in_child("a_seccomp_filter_is_named_with_its_remedy", || {
        refuse_io_uring(libc::EPERM);
        let error = Uring::start(config()).err().expect("refused");
        assert_eq!(error.reason, UnavailableReason::BlockedBySeccomp);
        assert_eq!(error.errno, Errno::EPERM);
        assert!(error.to_string().contains("seccomp profile"), "{error}");
        let report = probe(config());
        assert_eq!(report.ring, Err(error));
        assert!(!report.kernel_release.is_empty());
    });
}

#[test]
fn a_filter_that_hides_the_call_is_named_too() {
    in_child("a_filter_that_hides_the_call_is_named_too", || {
        refuse_io_uring(libc::ENOSYS);
        let error = Uring::start(config()).err().expect("refused");
        assert_eq!(error.reason, UnavailableReason::BlockedBySeccomp);
    });
}

/// In a process of its own, in which `SIGPIPE` must not be raised: a C program leaves it at its
/// default, which ends it.
fn in_child_without_sigpipe(test: &str, child: impl FnOnce()) {
    in_child(test, || {
        // A handler that takes note stands for the default that would have killed.
        let raised = Arc::new(AtomicBool::new(false));
        let sigpipe = signal_hook::consts::SIGPIPE;
        signal_hook::flag::register(sigpipe, Arc::clone(&raised)).expect("allowed");
        child();
        assert!(!raised.load(Ordering::SeqCst), "SIGPIPE was raised");
    });
}

#[test]
fn a_broken_connection_does_not_kill_a_program_that_never_heard_of_sigpipe() {
    let name = "a_broken_connection_does_not_kill_a_program_that_never_heard_of_sigpipe";
    in_child_without_sigpipe(name, || {
        let mut rig = Rig::new();
        let (socket, _peer) = rig.tcp();
        rig.kernel.shutdown(&socket, ShutdownHow::Send);
        assert_eq!(rig.kernel.send_now(&socket, b"x", true), Err(Errno::EPIPE));
        let send = Op::Send {
            socket: socket.clone(),
            buffer: BufferRef::Bytes("x".into()),
            more_follows: false,
        };
        rig::expect_error(&rig.run(send), Errno::EPIPE);
        send_zero_copy(&mut rig);
        if let Some(pipe) = rig.kernel.acquire_pipe() {
            let write = pipe.write.os().expect("real");
            nix::unistd::write(write, b"bytes").expect("room");
            let result = rig.kernel.splice_to_socket(&pipe, &socket, 5, false);
            assert_eq!(result, Err(Errno::EPIPE));
            rig.kernel.release_pipe(pipe, false);
        }
        rig.finish();
    });
}

/// A splice that has sent a part of the pipe when the connection breaks says how much, and nothing
/// of the signal.
#[test]
fn a_connection_that_breaks_within_a_splice_raises_no_signal() {
    let name = "a_connection_that_breaks_within_a_splice_raises_no_signal";
    in_child_without_sigpipe(name, || {
        let mut rig = Rig::new();
        if !rig.has(Capability::Splice) {
            return rig.finish();
        }
        for round in 0..300 {
            let (socket, peer) = rig.tcp();
            let breaking = std::thread::spawn(move || break_after(peer, round));
            splice_until_it_fails(&mut rig, &socket);
            breaking.join().expect("no panic");
            drop(socket);
        }
        rig.finish();
    });
}

fn break_after(mut peer: std::net::TcpStream, round: u64) {
    let mut bytes = vec![0; 16 << 10];
    for _ in 0..round % 7 {
        std::io::Read::read(&mut peer, &mut bytes).expect("they come");
    }
    std::thread::sleep(Duration::from_micros(round % 50));
    // A reset behind an end is told as a broken pipe, else as a reset.
    peer.shutdown(std::net::Shutdown::Write).expect("open");
}

fn splice_until_it_fails(rig: &mut Rig, socket: &Descriptor) {
    let pipe = rig.kernel.acquire_pipe().expect("a pipe");
    let bytes = vec![7; pipe.capacity as usize];
    loop {
        let write = pipe.write.os().expect("real");
        let mut held = match nix::unistd::write(write, &bytes) {
            Ok(count) => u32::try_from(count).expect("a pipe's size"),
            Err(error) => panic!("the pipe is empty: {error}"),
        };
        while held > 0 {
            match rig.kernel.splice_to_socket(&pipe, socket, held, true) {
                Ok(count) => held -= count,
                Err(Errno::EAGAIN) => std::thread::yield_now(),
                Err(_) => return rig.kernel.release_pipe(pipe, false),
            }
        }
    }
}

/// Everything that may hold a process up when it dies: stalled receives, workers inside of the
/// kernel, zero-copy sends to a peer that reads nothing.
fn entangle() -> (Rig, Vec<std::net::TcpStream>) {
    let mut rig = Rig::new();
    let mut peers = Vec::new();
    for _ in 0..8 {
        let (socket, peer) = rig.tcp();
        rig.submit(Op::ReceiveMultishot {
            socket: socket.clone(),
        });
        if let Some(lease) = rig.kernel.lease(256 << 10) {
            rig.submit(Op::SendZeroCopy {
                socket,
                lease: lease.freeze(256 << 10),
                more_follows: false,
            });
        }
        peers.push(peer);
    }
    if rig.has(Capability::Splice) {
        let (read, write) = nix::unistd::pipe().expect("a pipe");
        std::mem::forget(write);
        let file = rig.adopt(tempfile::tempfile().expect("a file"));
        rig.submit(Op::SpliceToFile {
            pipe: Descriptor::from_os(read),
            file,
            offset: 0,
            length: 4096,
        });
    }
    for _ in 0..5 {
        let soon = rig.kernel.now_ns() + 1_000_000;
        rig.turn(Wait::Until(soon));
    }
    (rig, peers)
}

#[test]
fn a_process_that_exits_without_teardown_is_gone() {
    in_child("a_process_that_exits_without_teardown_is_gone", || {
        let held = entangle();
        let elsewhere = std::thread::spawn(|| {
            let _held = entangle();
            std::thread::park();
        });
        std::mem::forget((held, elsewhere));
    });
}

#[test]
fn a_process_that_is_killed_is_gone() {
    let name = "a_process_that_is_killed_is_gone";
    if std::env::var(CHILD).as_deref() == Ok(name) {
        let _held = entangle();
        println!("entangled");
        std::thread::park();
    }
    wait_for_turn();
    let mut child = spawn(name);
    let mut output = child.stdout.take().expect("piped");
    let mut seen = String::new();
    while !seen.contains("entangled") {
        let mut byte = [0; 64];
        let count = output.read(&mut byte).expect("reads");
        assert!(count > 0, "the child died by itself: {seen}");
        seen.push_str(&String::from_utf8_lossy(&byte[..count]));
    }
    child.kill().expect("killed");
    let status = child.wait().expect("gone");
    assert!(!status.success());
}
