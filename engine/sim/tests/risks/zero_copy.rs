//! A zero-copy send has two completions: the first frees the stream, the second the memory.

use ringway_io::{Capabilities, Capability, Completion, Errno, Kernel, Op, Payload, Token};
use ringway_sim::{CapabilityChoice, CutKind, WorldConfig};

use crate::scene::{Pair, Scene, numbered};

fn send(scene: &mut Scene, pair: &Pair, length: usize) -> Token {
    let mut lease = scene.kernels[0].lease(length).expect("a free lease");
    lease[..length].copy_from_slice(&numbered(length));
    let op = Op::SendZeroCopy {
        socket: pair.dialer.clone(),
        lease: lease.freeze(length),
        more_follows: false,
    };
    scene.submit(0, op).0
}

fn copied(completion: &Completion) -> Option<bool> {
    match completion.payload {
        Payload::Notification { copied } => copied,
        ref other => panic!("no notification but {other:?}"),
    }
}

#[test]
fn the_memory_is_held_until_the_notification_and_the_notification_waits_for_the_ack() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    let pair = scene.pair("10.0.0.2:7400");
    scene.world.partition(scene.hosts[0], scene.hosts[1]);
    let sending = send(&mut scene, &pair, 5000);
    scene.rest();
    let first = scene.take(0, sending);
    assert_eq!(
        (first.len(), first[0].result, first[0].more),
        (1, Ok(5000), true)
    );
    assert_eq!(scene.world.outstanding().kernels[0].leases, 1);
    scene.world.heal(scene.hosts[0], scene.hosts[1]);
    let second = scene.finish(0, sending);
    assert_eq!((second.len(), copied(&second[0])), (1, Some(false)));
    let (received, _) = scene.receive_all(1, &pair.acceptor, 5000);
    assert_eq!(received, numbered(5000));
    drop(pair);
    scene.assert_clean();
}

#[test]
fn loopback_reports_that_it_copied_and_an_old_kernel_reports_nothing() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 1);
    let pair = scene.pair("127.0.0.1:7400");
    let sending = send(&mut scene, &pair, 100);
    assert_eq!(copied(&scene.finish(0, sending)[1]), Some(true));

    let mut config = WorldConfig::calm();
    let masked = Capabilities::NONE.with(Capability::ZeroCopyReport);
    config.kernel.capabilities = CapabilityChoice::Without(masked);
    let mut scene = Scene::new(1, config, 1);
    let pair = scene.pair("127.0.0.1:7400");
    let sending = send(&mut scene, &pair, 100);
    assert_eq!(copied(&scene.finish(0, sending)[1]), None);
}

#[test]
fn a_held_notification_comes_when_the_connection_ends() {
    let mut config = WorldConfig::calm();
    config.faults.notification_held_per_mille = 1000;
    let mut scene = Scene::new(1, config, 2);
    let pair = scene.pair("10.0.0.2:7400");
    let sending = send(&mut scene, &pair, 100);
    scene.receive_all(1, &pair.acceptor, 100);
    scene.rest();
    assert_eq!(
        scene.take(0, sending).len(),
        1,
        "the peer read all, and still"
    );
    scene.kernels[0].reset(&pair.dialer);
    assert_eq!(scene.finish(0, sending).len(), 1);
    drop(pair);
    scene.assert_clean();
}

#[test]
fn a_failed_one_may_or_may_not_be_followed_by_a_notification() {
    for (per_mille, count) in [(0, 1), (1000, 2)] {
        let mut config = WorldConfig::calm();
        config.faults.failed_send_notifies_per_mille = per_mille;
        let mut scene = Scene::new(1, config, 1);
        let pair = scene.pair("unix:/run/a.sock");
        let sending = send(&mut scene, &pair, 100);
        let all = scene.finish(0, sending);
        assert_eq!((all.len(), all[0].result), (count, Err(Errno::EOPNOTSUPP)));
        assert!(all[..count - 1].iter().all(|it| it.more));
        drop((all, pair));
        scene.assert_clean();
    }
}

#[test]
fn everything_is_accounted_for_when_connections_die_under_it() {
    for seed in 0..50 {
        let mut config = WorldConfig::default();
        config.faults.notification_held_per_mille = 300;
        config.socket.send_buffer_bytes = 8000;
        let mut scene = Scene::new(seed, config, 2);
        let pair = scene.pair("10.0.0.2:7400");
        let sending = send(&mut scene, &pair, 20_000);
        for _ in 0..seed % 20 {
            scene.turn();
            scene.world.advance();
        }
        scene
            .world
            .cut(scene.world.connections()[0].id, CutKind::Reset);
        let all = scene.finish(0, sending);
        assert!(all.len() <= 2 && !all[all.len() - 1].more, "seed {seed}");
        drop((all, pair));
        scene.assert_clean();
    }
}
