//! Splicing: file to pipe to socket, stalled peers, pipes and their bounds, residency.

mod rig;

use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;

use rig::{Rig, config, config_without, expect_error, pattern};
use ringway_io::{
    Capability, Descriptor, Errno, Kernel, Op, Pipe, Readiness, Residency, ShutdownHow, Wait,
};
use ringway_uring::UringConfig;

fn file_of(rig: &mut Rig, bytes: &[u8]) -> Descriptor {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("written");
    rig.adopt(file)
}

/// Moves `left` bytes of a pipe into a socket, waiting by poll.
fn drain(rig: &mut Rig, pipe: &Pipe, socket: &Descriptor, mut left: u32) {
    while left > 0 {
        match rig.kernel.splice_to_socket(pipe, socket, left, false) {
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
}

fn splice_op(file: &Descriptor, offset: u64, pipe: &Pipe, length: u32) -> Op {
    Op::SpliceFromFile {
        file: file.clone(),
        offset,
        pipe: pipe.write.clone(),
        length,
    }
}

#[test]
fn a_file_reaches_a_socket_and_a_socket_a_file_without_user_space() {
    let mut rig = Rig::new();
    if !rig.has(Capability::Splice) {
        return everything_is_refused(rig);
    }
    let bytes = pattern(3 << 20);
    let source = file_of(&mut rig, &bytes);
    let (socket, mut peer) = rig.tcp();
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).expect("reads");
        got
    });
    let pipe = rig.kernel.acquire_pipe().expect("a pipe");
    let mut offset = 0;
    loop {
        // By turns through a worker and inline.
        let inline = offset % 2 == 1;
        let moved = match inline {
            true => rig.kernel.splice_from_file(&source, offset, &pipe, 65_537),
            false => rig.run(splice_op(&source, offset, &pipe, 65_537)).result,
        };
        let moved = moved.expect("room in the pipe");
        if moved == 0 {
            break;
        }
        drain(&mut rig, &pipe, &socket, moved);
        offset += u64::from(moved);
    }
    rig.kernel.release_pipe(pipe, true);
    rig.kernel.shutdown(&socket, ShutdownHow::Send);
    let got = reader.join().expect("reads");
    assert!(got == bytes);
    rig.finish();
}

#[test]
fn a_socket_reaches_a_file_at_its_offset() {
    let mut rig = Rig::new();
    if !rig.has(Capability::Splice) {
        return everything_is_refused(rig);
    }
    let (socket, mut peer) = rig.tcp();
    let bytes = pattern(100_000);
    let sent = bytes.clone();
    let sender = std::thread::spawn(move || peer.write_all(&sent).expect("sent"));
    let file = tempfile::tempfile().expect("a file");
    let mut check = file.try_clone().expect("copied");
    let file = rig.adopt(file);
    let pipe = rig.kernel.acquire_pipe().expect("a pipe");
    let mut offset = 0;
    loop {
        match rig.kernel.splice_from_socket(&socket, &pipe, 1 << 20) {
            Ok(0) => break,
            Ok(mut inside) => {
                while inside > 0 {
                    let op = Op::SpliceToFile {
                        pipe: pipe.read.clone(),
                        file: file.clone(),
                        offset: 10 + offset,
                        length: inside,
                    };
                    let moved = rig.run(op).result.expect("written");
                    inside -= moved;
                    offset += u64::from(moved);
                }
            }
            Err(Errno::EAGAIN) => {
                let poll = Op::Poll {
                    descriptor: socket.clone(),
                    readiness: Readiness::Readable,
                };
                assert!(rig.run(poll).result.is_ok());
            }
            Err(errno) => panic!("{errno}"),
        }
    }
    sender.join().expect("sent");
    rig.kernel.release_pipe(pipe, true);
    let mut got = Vec::new();
    check.seek(SeekFrom::Start(10)).expect("seeks");
    check.read_to_end(&mut got).expect("reads");
    assert!(got == bytes);
    rig.finish();
}

// A worker that waited inside of a full or empty pipe could not be had by anybody else.
#[test]
fn a_full_or_empty_pipe_is_told_and_never_waited_for() {
    let mut rig = Rig::new();
    if !rig.has(Capability::Splice) {
        return everything_is_refused(rig);
    }
    let source = file_of(&mut rig, &pattern(4 << 20));
    let pipe = rig.kernel.acquire_pipe().expect("a pipe");
    let empty = Op::SpliceToFile {
        pipe: pipe.read.clone(),
        file: source.clone(),
        offset: 0,
        length: 4096,
    };
    expect_error(&rig.run(empty), Errno::EAGAIN);
    let filled = rig.run(splice_op(&source, 0, &pipe, 4 << 20)).result;
    assert_eq!(filled, Ok(pipe.capacity));
    expect_error(&rig.run(splice_op(&source, 0, &pipe, 1)), Errno::EAGAIN);
    let inline = rig.kernel.splice_from_file(&source, 0, &pipe, 1);
    assert_eq!(inline, Err(Errno::EAGAIN));
    rig.kernel.release_pipe(pipe, false);
    rig.finish();
}

#[test]
fn splicing_what_cannot_be_spliced_fails() {
    let mut rig = Rig::new();
    if !rig.has(Capability::Splice) {
        return everything_is_refused(rig);
    }
    let pipe = rig.kernel.acquire_pipe().expect("a pipe");
    let folder = rig.adopt(std::fs::File::open("/").expect("a directory"));
    assert!(rig.run(splice_op(&folder, 0, &pipe, 1)).result.is_err());
    assert!(rig.kernel.splice_from_file(&folder, 0, &pipe, 1).is_err());
    let file = file_of(&mut rig, b"short");
    expect_error(
        &rig.run(splice_op(&file, u64::MAX, &pipe, 1)),
        Errno::EINVAL,
    );
    assert_eq!(rig.run(splice_op(&file, 5, &pipe, 10)).result, Ok(0));
    rig.kernel.release_pipe(pipe, true);
    rig.finish();
}

fn everything_is_refused(mut rig: Rig) {
    assert!(rig.kernel.acquire_pipe().is_none());
    assert_eq!(rig.kernel.limits().pipes_max, 0);
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_NONBLOCK).expect("a pipe");
    let pipe = Pipe {
        read: Descriptor::from_os(read),
        write: Descriptor::from_os(write),
        capacity: 4096,
    };
    let file = file_of(&mut rig, b"bytes");
    let (socket, _peer) = rig.tcp();
    expect_error(&rig.run(splice_op(&file, 0, &pipe, 5)), Errno::EOPNOTSUPP);
    let refused = Err(Errno::EOPNOTSUPP);
    assert_eq!(rig.kernel.splice_from_file(&file, 0, &pipe, 5), refused);
    assert_eq!(
        rig.kernel.splice_to_socket(&pipe, &socket, 5, false),
        refused
    );
    assert_eq!(rig.kernel.splice_from_socket(&socket, &pipe, 5), refused);
    rig.finish();
}

#[test]
fn without_the_capability_nothing_is_spliced() {
    everything_is_refused(Rig::with(config_without(Capability::Splice)));
}

// Socket legs that ran on workers would, with as many stalled peers as workers, stop every healthy
// transfer. Here the socket leg is immediate: the stalled ones cost nothing.
#[test]
fn as_many_stalled_peers_as_workers_do_not_stop_a_healthy_transfer() {
    let mut rig = Rig::with(UringConfig {
        io_workers_max: (1, 2),
        pipes_max: 8,
        pipe_bytes: 256 << 10,
        ..config()
    });
    if !rig.has(Capability::Splice) {
        return everything_is_refused(rig);
    }
    let source = file_of(&mut rig, &pattern(1 << 20));
    let stalled: Vec<_> = (0..6).map(|_| stall(&mut rig, &source)).collect();
    let bytes = pattern(1 << 20);
    let (socket, mut peer) = rig.tcp();
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; 1 << 20];
        peer.read_exact(&mut got).expect("arrives");
        got
    });
    let pipe = rig.kernel.acquire_pipe().expect("a pipe");
    let mut offset = 0;
    while offset < 1 << 20 {
        let moved = rig.run(splice_op(&source, offset, &pipe, 256 << 10)).result;
        let moved = moved.expect("a worker was free");
        drain(&mut rig, &pipe, &socket, moved);
        offset += u64::from(moved);
    }
    assert!(reader.join().expect("reads") == bytes);
    drop(stalled);
    rig.finish();
}

/// Fills a connection whose peer reads nothing, leaves bytes in its pipe, and waits by poll.
fn stall(rig: &mut Rig, source: &Descriptor) -> (Descriptor, TcpStream, Pipe) {
    let (socket, peer) = rig.tcp();
    let pipe = rig.kernel.acquire_pipe().expect("a pipe");
    loop {
        let filled = rig.kernel.splice_from_file(source, 0, &pipe, 256 << 10);
        assert!(filled.is_ok() || filled == Err(Errno::EAGAIN));
        match rig
            .kernel
            .splice_to_socket(&pipe, &socket, 256 << 10, false)
        {
            Ok(_) => {}
            Err(errno) => {
                assert_eq!(errno, Errno::EAGAIN);
                break;
            }
        }
    }
    rig.submit(Op::Poll {
        descriptor: socket.clone(),
        readiness: Readiness::Writable,
    });
    (socket, peer, pipe)
}

#[test]
fn splicing_to_a_closed_peer_is_an_error_and_never_a_signal() {
    let mut rig = Rig::new();
    if !rig.has(Capability::Splice) {
        return everything_is_refused(rig);
    }
    // Blocked, raised and discarded: whatever the program has made of SIGPIPE, it sees none.
    let pending = || {
        let text = std::fs::read_to_string("/proc/thread-self/status").expect("reads");
        let line = text.lines().find(|line| line.starts_with("SigPnd:"));
        line.expect("it is there").to_string()
    };
    let before = pending();
    let file = file_of(&mut rig, b"bytes");
    let (socket, _peer) = rig.tcp();
    rig.kernel.shutdown(&socket, ShutdownHow::Send);
    let pipe = rig.kernel.acquire_pipe().expect("a pipe");
    for _ in 0..3 {
        assert!(rig.kernel.splice_from_file(&file, 0, &pipe, 5).is_ok());
        let result = rig.kernel.splice_to_socket(&pipe, &socket, 5, false);
        assert_eq!(result, Err(Errno::EPIPE));
        assert_eq!(pending(), before, "no signal is left behind");
    }
    rig.kernel.release_pipe(pipe, false);
    rig.finish();
}

#[test]
fn pipes_are_bounded_reused_and_never_pooled_while_an_op_names_them() {
    let mut rig = Rig::new();
    if !rig.has(Capability::Splice) {
        return everything_is_refused(rig);
    }
    let limits = rig.kernel.limits().clone();
    assert_eq!(limits.pipes_max, 4);
    let mut pipes: Vec<_> = std::iter::from_fn(|| rig.kernel.acquire_pipe()).collect();
    assert_eq!(pipes.len(), 4);
    assert!(pipes.iter().all(|pipe| pipe.capacity == limits.pipe_bytes));
    let busy = pipes.pop().expect("four");
    let number = busy.read.os_number();
    let poll = rig.submit(Op::Poll {
        descriptor: busy.read.clone(),
        readiness: Readiness::Readable,
    });
    rig.turn(Wait::No);
    rig.kernel.release_pipe(busy, true);
    let fresh = rig.kernel.acquire_pipe().expect("made anew");
    assert_ne!(
        fresh.read.os_number(),
        number,
        "the poll still holds that one"
    );
    rig.kernel.orphan(poll);
    for pipe in pipes {
        rig.kernel.release_pipe(pipe, true);
    }
    rig.kernel.release_pipe(fresh, true);
    rig.finish();
}

fn residencies(mut rig: Rig) {
    let page = 4096_u32;
    let mut file = tempfile::tempfile_in("/var/tmp").expect("a file on a disk");
    file.write_all(&pattern(40 * 4096 + 100)).expect("written");
    file.sync_all().expect("synced");
    let own = rig.adopt(file.try_clone().expect("copied"));
    let hot = rig.kernel.residency(&own, 0, 40 * page);
    assert_eq!(hot, Residency::Resident);
    let beyond = rig.kernel.residency(&own, 39 * 4096, 100 * page);
    assert_eq!(
        beyond,
        Residency::Resident,
        "the end of the file is no page"
    );
    assert_eq!(rig.kernel.residency(&own, 0, 0), Residency::Resident);
    let far = rig.kernel.residency(&own, 1 << 40, page);
    assert_eq!(far, Residency::Resident);

    let advice = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
    nix::fcntl::posix_fadvise(file.as_fd(), 0, 0, advice).expect("advised");
    let cold = rig.kernel.residency(&own, 0, 40 * page);
    assert_eq!(cold, Residency::Absent);

    let memory = nix::sys::memfd::memfd_create(c"test", nix::sys::memfd::MFdFlags::empty());
    let memory = memory.expect("a memfd");
    nix::unistd::ftruncate(&memory, 1 << 20).expect("sized");
    nix::unistd::write(&memory, &pattern(8192)).expect("written");
    let memory = rig.adopt(memory);
    let written = rig.kernel.residency(&memory, 0, 2 * page);
    assert_eq!(written, Residency::Resident);
    if rig.has(Capability::CacheStat) {
        let hole = rig.kernel.residency(&memory, 0, 64 * page);
        assert_eq!(hole, Residency::Resident, "a hole needs no disk");
    }
    let (socket, _peer) = rig.tcp();
    assert_eq!(rig.kernel.residency(&socket, 0, 1), Residency::Unknown);
    let directory = rig.adopt(std::fs::File::open("/proc").expect("a directory"));
    assert_ne!(rig.kernel.residency(&directory, 0, 4096), Residency::Absent);
    rig.finish();
}

#[test]
fn residency_tells_hot_from_cold() {
    residencies(Rig::new());
}

#[test]
fn without_cachestat_mincore_tells_the_same() {
    residencies(Rig::with(config_without(Capability::CacheStat)));
}
