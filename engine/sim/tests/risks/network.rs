//! Dialling, listening, windows and links.

use std::time::Duration;

use ringway_io::{
    Address, BlockingCall, Errno, Kernel, ListenOptions, Op, Payload, Readiness, Route,
    SocketOption,
};
use ringway_sim::{CutKind, LinkConfig, WorldConfig};

use crate::scene::{Ending, OPTIONS, Scene, numbered};

fn dial(scene: &mut Scene, address: &str) -> Result<u32, Errno> {
    let address: Address = address.parse().expect("an address");
    let socket = scene.kernels[0].socket(&address).expect("a socket");
    scene.run(0, Op::Connect { socket, address }).result
}

#[test]
fn a_dial_fails_as_the_real_one_does() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    assert_eq!(dial(&mut scene, "10.0.0.2:1"), Err(Errno::ECONNREFUSED));
    assert_eq!(dial(&mut scene, "10.9.9.9:1"), Err(Errno(113)));
    assert_eq!(dial(&mut scene, "unix:/none"), Err(Errno::ENOENT));
    let address = "unix:/stale".parse().expect("an address");
    drop(scene.kernels[0].listen(&address, OPTIONS));
    assert_eq!(dial(&mut scene, "unix:/stale"), Err(Errno::ECONNREFUSED));
    let again = scene.kernels[0].listen(&address, OPTIONS);
    assert!(again.is_ok(), "a stale path is replaced");
    let taken = scene.kernels[0].listen(&address, OPTIONS);
    assert_eq!(taken.err(), Some(Errno::EADDRINUSE));
}

#[test]
fn a_full_backlog_makes_dials_wait_and_then_time_out() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    let options = ListenOptions {
        backlog: 1,
        ..OPTIONS
    };
    let address = "10.0.0.2:7400".parse().expect("an address");
    let listener = scene.kernels[1].listen(&address, options).expect("free");
    assert_eq!(dial(&mut scene, "10.0.0.2:7400"), Ok(0));
    let before = scene.world.now_ns();
    assert_eq!(dial(&mut scene, "10.0.0.2:7400"), Err(Errno::ETIMEDOUT));
    let waited = Duration::from_nanos(scene.world.now_ns() - before);
    assert!(waited >= Duration::from_secs(3), "{waited:?}");
    drop(listener);
    scene.assert_clean();
}

#[test]
fn a_dial_into_nothing_ends_at_the_user_timeout_of_its_socket() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    scene.world.partition(scene.hosts[0], scene.hosts[1]);
    let address: Address = "10.0.0.2:7400".parse().expect("an address");
    let socket = scene.kernels[0].socket(&address).expect("a socket");
    let option = SocketOption::UserTimeoutMs(1500);
    assert_eq!(scene.kernels[0].set_option(&socket, option), Ok(()));
    let dialled = scene.run(0, Op::Connect { socket, address });
    assert_eq!(dialled.result, Err(Errno::ETIMEDOUT));
    assert_eq!(scene.world.now_ns(), 1_500_000_000);
}

#[test]
fn a_connection_that_could_not_be_accepted_waits_for_the_next_accept() {
    let mut config = WorldConfig::calm();
    config.kernel.descriptors_max = 2;
    let mut scene = Scene::new(1, config, 2);
    let address = "10.0.0.2:7400".parse().expect("an address");
    let listener = scene.kernels[1].listen(&address, OPTIONS).expect("free");
    let taken = scene.kernels[1].socket(&address).expect("a socket");
    let accept = |listener: &ringway_io::Descriptor| Op::Accept {
        listener: listener.clone(),
    };
    let (accepting, _) = scene.submit(1, accept(&listener));
    let socket = scene.kernels[0].socket(&address).expect("a socket");
    let dialled = scene.run(
        0,
        Op::Connect {
            socket: socket.clone(),
            address,
        },
    );
    assert_eq!(dialled.result, Ok(0));
    assert_eq!(scene.finish(1, accepting)[0].result, Err(Errno::EMFILE));
    drop(taken);
    let (accepting, id) = scene.submit(1, accept(&listener));
    scene.rest();
    assert_eq!(scene.take(1, accepting)[0].result, Ok(0));
    scene.kernels[1].orphan(id);
    drop((listener, socket));
    scene.assert_clean();
}

#[test]
fn a_partition_keeps_bytes_and_dials_until_it_heals() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    let pair = scene.pair("10.0.0.2:7400");
    let (one, other) = (scene.hosts[0], scene.hosts[1]);
    scene.world.partition(one, other);
    scene.send(0, &pair.dialer, b"late");
    let (nothing, ending) = scene.receive_all(1, &pair.acceptor, 4);
    assert_eq!((nothing.len(), ending), (0, Ending::Rest));
    scene.world.heal(one, other);
    let (late, _) = scene.receive_all(1, &pair.acceptor, 4);
    assert_eq!(late, b"late");
}

#[test]
fn a_receiver_that_does_not_read_closes_the_window_and_reading_opens_it() {
    let mut config = WorldConfig::calm();
    config.socket.send_buffer_bytes = 10_000;
    config.socket.receive_buffer_bytes = 20_000;
    let mut scene = Scene::new(1, config, 2);
    let pair = scene.pair("10.0.0.2:7400");
    let bytes = numbered(100_000);
    let mut sent = 0;
    loop {
        match scene.kernels[0].send_now(&pair.dialer, &bytes[sent..], false) {
            Ok(count) => sent += count,
            Err(errno) => {
                assert_eq!(errno, Errno::EAGAIN);
                let before = sent;
                scene.rest();
                if scene.kernels[0]
                    .send_now(&pair.dialer, &bytes[sent..], false)
                    .is_err()
                {
                    break;
                }
                sent = before + 10_000;
            }
        }
    }
    assert_eq!(sent, 30_000, "a window and a send buffer");
    let statistics = scene.kernels[0].socket_statistics(&pair.dialer);
    let statistics = statistics.expect("TCP counts");
    assert_eq!(
        (statistics.bytes_acked, statistics.not_sent_bytes),
        (20_001, 10_000)
    );
    let poll = Op::Poll {
        descriptor: pair.dialer.clone(),
        readiness: Readiness::Writable,
    };
    let (polling, _) = scene.submit(0, poll);
    scene.rest();
    assert!(scene.take(0, polling).is_empty());
    let (read, _) = scene.receive_all(1, &pair.acceptor, 30_000);
    assert_eq!(read, bytes[..30_000]);
    assert_eq!(scene.finish(0, polling)[0].result, Ok(4));
}

#[test]
fn a_link_takes_the_time_its_bandwidth_and_delay_say() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    let link = LinkConfig {
        delay_ns: 1_000_000,
        bandwidth_bytes_per_second: 100_000_000,
        ..LinkConfig::DEVICE
    };
    let link = LinkConfig {
        jitter_ns_max: 0,
        ..link
    };
    scene.world.set_link(scene.hosts[0], scene.hosts[1], link);
    let pair = scene.pair("10.0.0.2:7400");
    let before = scene.world.now_ns();
    scene.send(0, &pair.dialer, &numbered(100_000));
    let (_, ending) = scene.receive_all(1, &pair.acceptor, 100_000);
    assert_eq!(ending, Ending::Whole);
    // 1 ms for 100 kB at 100 MB/s, 1 ms on the way.
    assert_eq!(scene.world.now_ns() - before, 2_000_000);
}

#[test]
fn addresses_routes_and_credentials_tell_who_is_there() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    let pair = scene.pair("10.0.0.2:0");
    let kernel = &scene.kernels[0];
    let peer = kernel.peer_address(&pair.dialer);
    assert_eq!(peer, scene.kernels[1].local_address(&pair.acceptor));
    assert_eq!(kernel.route(&pair.dialer), Route::Device);
    let refused = kernel.peer_credentials(&pair.dialer);
    assert_eq!(refused.err(), Some(Errno::EOPNOTSUPP));
    let mut scene = Scene::new(1, WorldConfig::calm(), 1);
    let pair = scene.pair("unix:/run/a.sock");
    let kernel = &scene.kernels[0];
    assert_eq!(kernel.route(&pair.acceptor), Route::Unix);
    let credentials = kernel.peer_credentials(&pair.acceptor);
    assert_eq!(credentials.map(|it| it.uid), Ok(1000));
    assert_eq!(kernel.socket_statistics(&pair.dialer), None);
}

#[test]
fn names_resolve_to_the_addresses_of_their_host() {
    let mut scene = Scene::new(1, WorldConfig::default(), 2);
    for (host, expected) in [
        ("node-2", Some("10.0.0.2:7400")),
        ("10.1.1.1", Some("10.1.1.1:7400")),
        ("node-9", None),
    ] {
        let call = BlockingCall::Resolve {
            host: host.into(),
            port: 7400,
        };
        let resolved = scene.run(0, Op::Blocking(call));
        match (resolved.payload, expected) {
            (Payload::Addresses(addresses), Some(expected)) => {
                assert_eq!(addresses, [expected.parse().expect("an address")]);
            }
            (_, expected) => {
                assert_eq!((resolved.result, expected), (Err(Errno::ENOENT), None));
            }
        }
    }
}

#[test]
fn a_killed_process_resets_and_a_crashed_machine_says_nothing() {
    for is_crash in [false, true] {
        let mut scene = Scene::new(1, WorldConfig::calm(), 2);
        let pair = scene.pair("10.0.0.2:7400");
        scene.send(0, &pair.dialer, b"unread");
        scene.rest();
        let host = scene.hosts[1];
        if is_crash {
            scene.world.crash_machine(host);
        } else {
            scene.world.kill_process(host);
        }
        let (_, ending) = scene.receive_all(0, &pair.dialer, 1);
        if is_crash {
            assert_eq!(ending, Ending::Rest);
            // The machine is up again and knows nothing of it.
            scene.send(0, &pair.dialer, b"hello?");
            let (_, ending) = scene.receive_all(0, &pair.dialer, 1);
            assert_eq!(ending, Ending::Error(Errno::ECONNRESET));
        } else {
            assert_eq!(ending, Ending::Error(Errno::ECONNRESET));
        }
        scene.kernels[1] = scene.world.kernel(host);
        drop(pair);
        let again = scene.pair("10.0.0.2:7400");
        drop(again);
        scene.assert_clean();
    }
}

#[test]
fn a_cut_connection_leaves_others_alone() {
    let mut scene = Scene::new(1, WorldConfig::default(), 2);
    let first = scene.pair("10.0.0.2:7400");
    let second = scene.pair("10.0.0.2:7401");
    let connections = scene.world.connections();
    assert_eq!(connections.len(), 2);
    scene.world.cut(connections[0].id, CutKind::Reset);
    scene.send(0, &second.dialer, b"fine");
    let (received, _) = scene.receive_all(1, &second.acceptor, 4);
    assert_eq!(received, b"fine");
    assert!(!scene.world.connections()[0].is_established);
    drop((first, second));
    scene.assert_clean();
}

#[test]
fn shards_that_share_a_port_share_its_connections() {
    let mut scene = Scene::new(4, WorldConfig::calm(), 2);
    let second = scene.world.kernel(scene.hosts[1]);
    scene.kernels.push(second);
    scene.reaped.push(Vec::new());
    let options = ListenOptions {
        reuse_port: true,
        ..OPTIONS
    };
    let address = "10.0.0.2:7400".parse().expect("an address");
    let mut accepts = Vec::new();
    for kernel in [1, 2] {
        let listener = scene.kernels[kernel].listen(&address, options);
        let listener = listener.expect("shared");
        accepts.push(scene.submit(kernel, Op::Accept { listener }));
    }
    for _ in 0..20 {
        assert_eq!(dial(&mut scene, "10.0.0.2:7400"), Ok(0));
    }
    scene.rest();
    let counts = [scene.reaped[1].len(), scene.reaped[2].len()];
    assert_eq!(counts.iter().sum::<usize>(), 20);
    assert!(counts.iter().all(|&count| count > 3), "{counts:?}");
    scene.kernels[1].orphan(accepts[0].1);
    scene.kernels[2].orphan(accepts[1].1);
    scene.assert_clean();
}
