//! One seed, one trace: else a found fault cannot be found again.

use ringway_io::{Op, Payload};
use ringway_sim::{CapabilityChoice, WorldConfig};

use crate::scene::{Scene, numbered};

/// A run with a bit of everything that draws; returns hash and text of its trace.
fn run(seed: u64) -> (u64, String) {
    let mut config = WorldConfig {
        trace_text: true,
        ..WorldConfig::default()
    };
    config.kernel.capabilities = CapabilityChoice::Seeded;
    let mut scene = Scene::new(seed, config, 2);
    scene
        .world
        .disk(scene.hosts[0])
        .plant_pattern("/a", 3, 100_000);
    let pair = scene.pair("10.0.0.2:7400");
    let bytes = numbered(300_000);
    let (sending, _) = scene.send(0, &pair.dialer, &bytes);
    let (received, _) = scene.receive_all(1, &pair.acceptor, bytes.len());
    assert_eq!(received, bytes);
    scene.finish(0, sending);
    let file = scene
        .open(0, "/a", ringway_io::OpenHow::READ)
        .expect("planted");
    let stat = scene.run(0, Op::StatDescriptor { file });
    assert!(matches!(stat.payload, Payload::Stat(stat) if stat.size == 100_000));
    drop((pair, stat));
    scene.assert_clean();
    (scene.world.trace_hash(), scene.world.trace_text())
}

#[test]
fn two_runs_with_one_seed_agree_in_every_line_of_their_trace() {
    for seed in 0..20 {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.1, second.1, "seed {seed}");
        assert_eq!(first.0, second.0, "seed {seed}");
    }
}

#[test]
fn another_seed_is_another_world() {
    assert_ne!(run(1).0, run(2).0);
}
