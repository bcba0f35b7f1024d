//! All kinds of traffic at once on a network that delays and splits but never breaks.

use std::time::Duration;

use ringway::{Config, PathChoice, SessionConfig};
use ringway_sim::{CapabilityChoice, LinkConfig, ShortIo, WorldConfig};

use crate::load::{Load, Party};
use crate::scene::{Scene, TARGET};
use crate::script::Appetite;
use crate::seeds::{Draw, for_seeds};

/// A world and an engine whose sizes and oddities are drawn.
pub fn drawn(draw: &mut Draw) -> (WorldConfig, Config) {
    let mut world = WorldConfig::default();
    world.link.route = draw.pick(&[LinkConfig::DEVICE.route, LinkConfig::LOOPBACK.route]);
    let split = draw.below(400);
    world.faults.short_io = draw.pick(&[
        ShortIo::Never,
        ShortIo::Seeded(100),
        ShortIo::Seeded(600),
        ShortIo::At(split),
    ]);
    world.faults.multishot_end_per_mille = draw.pick(&[0, 20, 500]);
    world.socket.send_buffer_bytes = draw.pick(&[4 << 10, 64 << 10, 256 << 10]);
    world.socket.receive_buffer_bytes = draw.pick(&[4 << 10, 64 << 10, 256 << 10]);
    let kernel = &mut world.kernel;
    kernel.capabilities = draw.pick(&[
        CapabilityChoice::All,
        CapabilityChoice::All,
        CapabilityChoice::Seeded,
    ]);
    kernel.provided_count = draw.pick(&[1, 4, 64, 256]);
    kernel.provided_bytes = draw.pick(&[256, 4096, 65_536]);
    kernel.pipes_max = draw.pick(&[1, 2, 16]);
    kernel.pipe_bytes = draw.pick(&[4 << 10, 64 << 10, 1 << 20]);
    kernel.workers_max = draw.pick(&[1, 4]);
    kernel.arena_bytes = draw.pick(&[2 << 20, 16 << 20]);
    let config = Config {
        shards: 1,
        session: session(draw),
        path: draw.pick(&[
            PathChoice::Auto,
            PathChoice::Auto,
            PathChoice::Copy,
            PathChoice::Splice,
            PathChoice::ZeroCopy,
        ]),
        reset_grace: Duration::from_millis(200),
        ..Config::default()
    };
    (world, config)
}

fn session(draw: &mut Draw) -> SessionConfig {
    SessionConfig {
        stream_window_bytes: draw.pick(&[16 << 10, 256 << 10, 16 << 20]),
        session_window_bytes: draw.pick(&[64 << 10, 1 << 20, 64 << 20]),
        streams_max: draw.pick(&[1, 4, 4096]),
        retained_bytes_max: draw.pick(&[64 << 10, 1 << 20, 64 << 20]),
        unacked_bytes_max: draw.pick(&[256 << 10, 4 << 20, 64 << 20]),
        heartbeat: Duration::from_millis(200),
        ..SessionConfig::default()
    }
}

pub const APPETITE: Appetite = Appetite {
    items_max: 8,
    item_bytes_max: 512 << 10,
    resets: 10,
    stops: 10,
    abandons: 0,
};

/// A session with drawn traffic both ways; what a `trouble` does to it meanwhile; the oracle.
pub fn run(
    seed: u64,
    mut scene: Scene,
    target: &str,
    appetite: Appetite,
    trouble: impl FnOnce(&Scene, &Party, &mut Draw),
) -> u64 {
    let mut draw = Draw::new(seed, 3);
    let (near, far, listener) = scene.connect(target);
    let ends = [Party::of(&scene, 0, &near), Party::of(&scene, 1, &far)];
    let load = Load::default();
    let count = draw.below(5);
    load.add(&ends[0], &ends[1], 1 + count, &mut draw, appetite);
    let count = draw.below(4);
    load.add(&ends[1], &ends[0], count, &mut draw, appetite);
    trouble(&scene, &ends[0], &mut draw);
    drop(ends);
    scene.run_all(Duration::from_secs(600));
    load.check();
    assert!(load.ways() > 0);
    scene.close(near, far);
    drop(listener);
    scene.end()
}

fn mixed(seed: u64) -> u64 {
    let mut draw = Draw::new(seed, 4);
    let (world, config) = drawn(&mut draw);
    let scene = Scene::two_hosts(seed, world, &config);
    run(seed, scene, TARGET, APPETITE, |_, _, _| {})
}

#[test]
fn every_byte_and_record_arrives_once_whatever_splits_or_delays_it() {
    for_seeds(150, |seed| {
        mixed(seed);
    });
}

#[test]
fn one_seed_gives_one_trace() {
    for_seeds(6, |seed| assert_eq!(mixed(seed), mixed(seed)));
}
