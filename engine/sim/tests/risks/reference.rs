//! Memory reused while bytes still travel by reference (scenario S22): silent corruption in the
//! real world, poison and a violation here.

use bytes::Bytes;
use ringway_io::{BufferRef, Errno, Kernel, Lease, Op, OpenHow, Pipe};
use ringway_sim::{POISON, Violation, WorldConfig};

use crate::scene::{Ending, Pair, Scene, numbered};

fn filled_lease(scene: &mut Scene, bytes: &[u8]) -> Lease {
    let mut lease = scene.kernels[0].lease(bytes.len()).expect("a free lease");
    lease[..bytes.len()].copy_from_slice(bytes);
    lease.freeze(bytes.len())
}

/// Splices a lease into a socket through a pipe; gives the emptied pipe back.
fn splice_out(scene: &mut Scene, lease: &Lease, pair: &Pair) {
    let kernel = &mut scene.kernels[0];
    let pipe = kernel.acquire_pipe().expect("a pipe");
    let length = lease.len() as u32;
    assert_eq!(kernel.splice_from_lease(lease, &pipe), Ok(length));
    let moved = kernel.splice_to_socket(&pipe, &pair.dialer, length, false);
    assert_eq!(moved, Ok(length));
    kernel.release_pipe(pipe, true);
}

#[test]
fn a_lease_returned_before_the_receiver_copied_is_delivered_as_poison() {
    for address in ["127.0.0.1:7400", "unix:/run/a.sock"] {
        let mut scene = Scene::new(1, WorldConfig::calm(), 1);
        let pair = scene.pair(address);
        let lease = filled_lease(&mut scene, &numbered(1000));
        let location = lease.location();
        splice_out(&mut scene, &lease, &pair);
        // Acked by the other end's kernel, read by nobody: no counter at the sender tells.
        scene.rest();
        drop(lease);
        let received = scene.receive(0, &pair.acceptor, 1000).expect("delivered");
        assert_eq!(received, vec![POISON; 1000], "{address}");
        let violations = scene.world.violations();
        assert!(matches!(
            violations[..],
            [Violation::Poisoned { location: at, bytes: 1000, .. }] if at == location
        ));
    }
}

#[test]
fn a_lease_held_until_the_receiver_copied_is_delivered_whole() {
    for address in ["127.0.0.1:7400", "unix:/run/a.sock"] {
        let mut scene = Scene::new(1, WorldConfig::calm(), 1);
        let pair = scene.pair(address);
        let lease = filled_lease(&mut scene, &numbered(1000));
        splice_out(&mut scene, &lease, &pair);
        scene.rest();
        let received = scene.receive(0, &pair.acceptor, 1000);
        drop((lease, pair));
        assert_eq!(received.as_deref(), Ok(&numbered(1000)[..]));
        scene.assert_clean();
    }
}

#[test]
fn over_a_device_bytes_are_copied_when_they_arrive() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    let pair = scene.pair("10.0.0.2:7400");
    let lease = filled_lease(&mut scene, &numbered(1000));
    splice_out(&mut scene, &lease, &pair);
    scene.rest();
    drop(lease);
    let received = scene.receive(1, &pair.acceptor, 1000);
    assert_eq!(received.as_deref(), Ok(&numbered(1000)[..]));
    drop(pair);
    scene.assert_clean();
}

#[test]
fn a_send_that_copies_needs_its_lease_no_longer_than_the_op() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 1);
    let pair = scene.pair("127.0.0.1:7400");
    let lease = filled_lease(&mut scene, &numbered(1000));
    let sent = scene.run(
        0,
        Op::Send {
            socket: pair.dialer.clone(),
            buffer: BufferRef::Lease(lease),
            more_follows: false,
        },
    );
    assert_eq!(sent.result, Ok(1000));
    let received = scene.receive(0, &pair.acceptor, 1000);
    assert_eq!(received.as_deref(), Ok(&numbered(1000)[..]));
    drop(pair);
    scene.assert_clean();
}

#[test]
fn what_a_killed_process_had_spliced_is_delivered_as_it_was() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 1);
    let other = scene
        .world
        .add_host("other", &["10.0.0.9".parse().expect("an address")]);
    let link = ringway_sim::LinkConfig {
        route: ringway_io::Route::Virtual,
        ..ringway_sim::LinkConfig::DEVICE
    };
    scene.world.set_link(scene.hosts[0], other, link);
    scene.kernels.push(scene.world.kernel(other));
    scene.reaped.push(Vec::new());
    let pair = scene.pair("10.0.0.9:7400");
    let lease = filled_lease(&mut scene, &numbered(1000));
    splice_out(&mut scene, &lease, &pair);
    scene.rest();
    scene.world.kill_process(scene.hosts[0]);
    // Its pages outlive it, and nobody is left who could use them for something else.
    drop(lease);
    let received = scene.receive(1, &pair.acceptor, 1000);
    assert_eq!(received.as_deref(), Ok(&numbered(1000)[..]));
    drop(pair);
    scene.assert_clean();
}

#[test]
fn a_relayed_reference_is_still_a_reference_and_a_file_ends_it() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 1);
    let pair = scene.pair("unix:/run/a.sock");
    let lease = filled_lease(&mut scene, &numbered(5000));
    splice_out(&mut scene, &lease, &pair);
    let file = scene
        .open(0, "/out", OpenHow::READ_WRITE_CREATE)
        .expect("made");
    let pipe = scene.kernels[0].acquire_pipe().expect("a pipe");
    let moved = scene.kernels[0].splice_from_socket(&pair.acceptor, &pipe, 5000);
    assert_eq!(moved, Ok(5000));
    let written = splice_in(&mut scene, &pipe, &file, 4000);
    assert_eq!(written, Ok(4000));
    // The rest still sits in the pipe and refers to the lease; what is in the file does not.
    drop(lease);
    assert_eq!(
        splice_in(&mut scene, &pipe, &file, 1000),
        Err(Errno::EAGAIN)
    );
    let content = scene.world.disk(scene.hosts[0]).read_file("/out");
    let content = content.expect("written");
    assert_eq!(content[..4000], numbered(5000)[..4000]);
    assert_eq!(content[4000..], vec![POISON; 1000]);
    scene.kernels[0].release_pipe(pipe, true);
    assert_eq!(scene.world.violations().len(), 1);
}

/// Splices from a pipe into a file at the place of its name: 4000 bytes first, then the rest.
fn splice_in(
    scene: &mut Scene,
    pipe: &Pipe,
    file: &ringway_io::Descriptor,
    length: u32,
) -> Result<u32, Errno> {
    let offset = u64::from(4000 * u32::from(length < 4000));
    let op = Op::SpliceToFile {
        pipe: pipe.read.clone(),
        file: file.clone(),
        offset,
        length,
    };
    let first = scene.run(0, op);
    if length < 4000 {
        assert_eq!(first.result, Ok(1000));
        let op = Op::SpliceToFile {
            pipe: pipe.read.clone(),
            file: file.clone(),
            offset: 5000,
            length,
        };
        return scene.run(0, op).result;
    }
    first.result
}

#[test]
fn a_file_changed_after_it_was_spliced_shows_the_change() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 1);
    let disk = scene.world.disk(scene.hosts[0]);
    disk.plant_file("/in", &numbered(3000));
    let pair = scene.pair("127.0.0.1:7400");
    let file = scene.open(0, "/in", OpenHow::READ).expect("planted");
    let kernel = &mut scene.kernels[0];
    let pipe = kernel.acquire_pipe().expect("a pipe");
    assert_eq!(kernel.splice_from_file(&file, 0, &pipe, 9000), Ok(3000));
    let moved = kernel.splice_to_socket(&pipe, &pair.dialer, 3000, false);
    assert_eq!(moved, Ok(3000));
    kernel.release_pipe(pipe, true);
    disk.overwrite("/in", 1000, b"CHANGED").expect("there");
    let received = scene.receive(0, &pair.acceptor, 3000).expect("delivered");
    assert_eq!(&received[1000..1007], b"CHANGED");
    assert_eq!(received[..1000], numbered(3000)[..1000]);
    drop((pair, file));
    scene.assert_clean();
}

#[test]
fn a_pipe_given_back_as_empty_that_is_not_is_a_violation_and_never_lent_again() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 1);
    let lease = filled_lease(&mut scene, &numbered(10));
    let kernel = &mut scene.kernels[0];
    let pipe = kernel.acquire_pipe().expect("a pipe");
    let number = pipe.read.simulated_number();
    assert_eq!(kernel.splice_from_lease(&lease, &pipe), Ok(10));
    kernel.release_pipe(pipe, true);
    let next = kernel.acquire_pipe().expect("a pipe");
    assert_ne!(next.read.simulated_number(), number);
    kernel.release_pipe(next, true);
    let id = kernel.id();
    assert_eq!(
        scene.world.violations(),
        [Violation::PipeNotEmpty {
            kernel: id,
            bytes: 10
        }]
    );
}

#[test]
fn a_pipe_fills_by_pages_and_the_pool_has_a_bound() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 1);
    let lease = filled_lease(&mut scene, &numbered(64));
    let kernel = &mut scene.kernels[0];
    let pipe = kernel.acquire_pipe().expect("a pipe");
    for _ in 0..pipe.capacity / 4096 {
        assert_eq!(kernel.splice_from_lease(&lease, &pipe), Ok(64));
    }
    assert_eq!(kernel.splice_from_lease(&lease, &pipe), Err(Errno::EAGAIN));
    let others: Vec<_> = std::iter::from_fn(|| kernel.acquire_pipe()).collect();
    assert_eq!(others.len() + 1, kernel.limits().pipes_max as usize);
    for other in others {
        kernel.release_pipe(other, true);
    }
    kernel.release_pipe(pipe, false);
    drop(lease);
    scene.assert_clean();
}

#[test]
fn a_short_splice_leaves_the_rest_in_the_pipe() {
    let mut config = WorldConfig::calm();
    config.socket.send_buffer_bytes = 100;
    config.socket.receive_buffer_bytes = 100;
    let mut scene = Scene::new(1, config, 1);
    let pair = scene.pair("unix:/run/a.sock");
    let bytes = Bytes::from(numbered(1000));
    let lease = filled_lease(&mut scene, &bytes);
    let pipe = scene.kernels[0].acquire_pipe().expect("a pipe");
    let moved = scene.kernels[0].splice_from_lease(&lease, &pipe);
    assert_eq!(moved, Ok(1000));
    let mut received = Vec::new();
    while received.len() < bytes.len() {
        match scene.kernels[0].splice_to_socket(&pipe, &pair.dialer, 1000, false) {
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(errno) => panic!("{errno}"),
        }
        let (piece, ending) = scene.receive_all(0, &pair.acceptor, 1);
        assert_eq!(ending, Ending::Whole);
        received.extend(piece);
    }
    assert_eq!(received, bytes);
    scene.kernels[0].release_pipe(pipe, true);
    drop((lease, pair));
    scene.assert_clean();
}
