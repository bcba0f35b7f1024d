//! Shards that look again instead of sleeping, in virtual time.

use std::time::Duration;

use ringway::{Config, StreamOptions, WaitMode};
use ringway_sim::WorldConfig;

use crate::scene::{Scene, TARGET};

const WITHIN: Duration = Duration::from_secs(60);

/// Round trips of 64 bytes, then a second of silence: peeks and sleeps of the first engine before
/// and within that second.
fn echo(wait: WaitMode) -> [(u64, u64); 2] {
    let config = Config {
        shards: 1,
        wait,
        ..Config::default()
    };
    let mut scene = Scene::two_hosts(1, WorldConfig::calm(), &config);
    let (near, far, listener) = scene.connect(TARGET);
    let engine = scene.engines[0].clone();
    let counts = scene.run(WITHIN, async move {
        let call = near.open(StreamOptions::default()).await.expect("opens");
        call.send(vec![0; 64]).await.expect("sends");
        let serve = far.accept().await.expect("accepts");
        for round in 1..=20 {
            let there = serve.receive().await.expect("alive").expect("arrives");
            serve.send(there.bytes).await.expect("sends");
            let back = call.receive().await.expect("alive").expect("arrives");
            assert_eq!(back.bytes.len(), 64);
            call.send(vec![round; 64]).await.expect("sends");
        }
        let before = engine.statistics().await.expect("alive");
        engine.sleep(Duration::from_secs(1)).await.expect("sleeps");
        let after = engine.statistics().await.expect("alive");
        let within = (after.peeks - before.peeks, after.sleeps - before.sleeps);
        [(before.peeks, before.sleeps), within]
    });
    drop(listener);
    scene.end();
    counts
}

#[test]
fn a_spinning_shard_sleeps_when_nothing_comes() {
    let idle_max = Duration::from_micros(500);
    let [(busy, _), (idle, sleeps)] = echo(WaitMode::Spin { idle_max });
    assert!(busy > 0, "it has not spun");
    assert!(sleeps > 0, "it has not slept within a silent second");
    // A turn takes virtual time, so that this is the bound and not the speed of a machine: a few
    // waits begin within that second (the timer, heartbeats, late acks).
    let turns = 500_000 / WorldConfig::calm().turn_ns.max(1);
    assert!(idle <= 10 * turns, "{idle} looks, {turns} in one bound");
}

/// A simulated kernel cannot be looked at without a turn, which would take virtual time.
#[test]
fn without_a_peek_every_wait_is_a_sleep() {
    let [(busy, sleeps), (idle, _)] = echo(WaitMode::default());
    assert!(sleeps >= 20);
    assert_eq!((busy, idle), (0, 0));
}
