//! Multishot ops end when they like; whoever looks at anything but `more` stalls.

use ringway_io::{Capabilities, Capability, Completion, Errno, Kernel, Op, Payload};
use ringway_sim::{CapabilityChoice, WorldConfig};

use crate::scene::{Scene, numbered};

fn config(silent_end_per_mille: u32) -> WorldConfig {
    let mut config = WorldConfig::calm();
    config.kernel.provided_count = 4;
    config.kernel.provided_bytes = 1000;
    config.faults.silent_end_per_mille = silent_end_per_mille;
    config
}

/// Sends 6000 bytes to a multishot receive with four buffers of 1000 that nobody recycles.
fn exhaust(scene: &mut Scene) -> Vec<Completion> {
    let pair = scene.pair("10.0.0.2:7400");
    scene.send(0, &pair.dialer, &numbered(6000));
    let socket = pair.acceptor.clone();
    let (receiving, _) = scene.submit(1, Op::ReceiveMultishot { socket });
    let all = scene.finish(1, receiving);
    let (rearming, _) = scene.submit(
        1,
        Op::ReceiveMultishot {
            socket: pair.acceptor.clone(),
        },
    );
    let rearmed = scene.finish(1, rearming);
    assert_eq!(
        rearmed[0].result,
        Err(Errno::ENOBUFS),
        "armed without a buffer"
    );
    all
}

/// Reads and recycles; returns the bytes.
fn give_back(scene: &mut Scene, all: Vec<Completion>) -> Vec<u8> {
    give_back_to(scene, 1, all)
}

fn give_back_to(scene: &mut Scene, kernel: usize, all: Vec<Completion>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for completion in all {
        if let Payload::Provided(buffer) = completion.payload {
            bytes.extend_from_slice(scene.kernels[kernel].provided(&buffer));
            scene.kernels[kernel].recycle(buffer);
        }
    }
    bytes
}

#[test]
fn the_last_buffer_may_end_it_silently() {
    let mut scene = Scene::new(1, config(1000), 2);
    let all = exhaust(&mut scene);
    assert_eq!(all.len(), 4);
    assert_eq!(all[3].result, Ok(1000));
    assert!(all[..3].iter().all(|it| it.more) && !all[3].more);
    assert_eq!(scene.kernels[1].provided_available(), (0, 4));
    assert_eq!(give_back(&mut scene, all), numbered(4000));
    assert_eq!(scene.kernels[1].provided_available(), (4, 4));
}

#[test]
fn or_it_ends_with_enobufs() {
    let mut scene = Scene::new(1, config(0), 2);
    let all = exhaust(&mut scene);
    assert_eq!(all.len(), 5);
    assert_eq!(all[4].result, Err(Errno::ENOBUFS));
    assert!(all[..4].iter().all(|it| it.more) && !all[4].more);
    assert_eq!(give_back(&mut scene, all), numbered(4000));
}

#[test]
fn it_ends_with_zero_at_the_end_of_the_stream() {
    let mut scene = Scene::new(1, config(0), 2);
    let pair = scene.pair("10.0.0.2:7400");
    let socket = pair.acceptor.clone();
    let (receiving, _) = scene.submit(1, Op::ReceiveMultishot { socket });
    scene.turn();
    drop(pair.dialer);
    let all = scene.finish(1, receiving);
    assert_eq!((all.len(), all[0].result, all[0].more), (1, Ok(0), false));
    drop(pair.acceptor);
    scene.assert_clean();
}

#[test]
fn a_world_full_of_early_ends_still_delivers_everything_once() {
    for seed in 0..20 {
        let mut config = WorldConfig::default();
        config.kernel.provided_count = 3;
        config.kernel.provided_bytes = 700;
        config.faults.multishot_end_per_mille = 300;
        let mut scene = Scene::new(seed, config, 2);
        let pair = scene.pair("10.0.0.2:7400");
        let bytes = numbered(20_000);
        scene.send(0, &pair.dialer, &bytes);
        let mut received = Vec::new();
        while received.len() < bytes.len() {
            let socket = pair.acceptor.clone();
            let (receiving, id) = scene.submit(1, Op::ReceiveMultishot { socket });
            let is_over = |it: &Completion| !it.more;
            let has_ended = scene.until(|scene| scene.reaped[1].iter().any(is_over));
            if !has_ended {
                scene.kernels[1].orphan(id);
            }
            let all = scene.take(1, receiving);
            received.extend(give_back(&mut scene, all));
        }
        assert_eq!(received, bytes, "seed {seed}");
        drop(pair);
        scene.assert_clean();
    }
}

#[test]
fn masked_capabilities_are_refused_or_reduced() {
    let mut config = WorldConfig::calm();
    let masked = Capabilities::NONE
        .with(Capability::ReceiveMultishot)
        .with(Capability::AcceptMultishot)
        .with(Capability::Splice)
        .with(Capability::SendZeroCopy);
    config.kernel.capabilities = CapabilityChoice::Without(masked);
    let mut scene = Scene::new(1, config, 1);
    let pair = scene.pair("127.0.0.1:7400");
    let socket = pair.acceptor.clone();
    scene.send(0, &pair.dialer, b"abc");
    let one = scene.run(0, Op::ReceiveMultishot { socket });
    assert_eq!((one.result, one.more), (Ok(3), false), "piece by piece");
    give_back_to(&mut scene, 0, vec![one]);
    assert!(scene.kernels[0].acquire_pipe().is_none());
    let lease = scene.kernels[0].lease(10).expect("free").freeze(10);
    let socket = pair.dialer.clone();
    let zero_copy = Op::SendZeroCopy {
        socket,
        lease,
        more_follows: false,
    };
    let (sending, _) = scene.submit(0, zero_copy);
    let refused = scene.finish(0, sending);
    assert_eq!(refused[0].result, Err(Errno::EOPNOTSUPP));
}

#[test]
fn a_buffer_given_back_twice_is_a_violation() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 1);
    let buffer = ringway_io::ProvidedBuffer {
        group: 0,
        index: 3,
        length: 1,
    };
    scene.kernels[0].recycle(buffer);
    assert_eq!(scene.world.violations().len(), 1);
}
