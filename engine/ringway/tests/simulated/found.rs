//! What campaigns found, told one by one.

use std::time::Duration;

use ringway::{
    BodyChecksum, Config, ConnectOptions, Error, Keys, ListenOptions, PathChoice, Status,
    StreamOptions,
};
use ringway_sim::{CutKind, CutTarget, FaultConfig, ShortIo, Side, WorldConfig};

use crate::scene::{Scene, TARGET, key, race};

const WITHIN: Duration = Duration::from_secs(60);

fn scene(world: WorldConfig) -> Scene {
    let config = Config {
        shards: 1,
        ..Config::default()
    };
    Scene::two_hosts(1, world, &config)
}

/// Else their stream never ends, and its opener has one less to open, for ever.
#[test]
fn bytes_that_arrive_for_nobody_are_credit_again() {
    let mut config = Config {
        shards: 1,
        ..Config::default()
    };
    config.session.streams_max = 1;
    let mut scene = Scene::two_hosts(1, WorldConfig::calm(), &config);
    let (near, far, listener) = scene.connect(TARGET);
    scene.run(WITHIN, async move {
        for _ in 0..3 {
            let sender = near.open(StreamOptions::default()).await.expect("opens");
            for _ in 0..16 {
                sender.send(vec![1; 64 << 10]).await.expect("sends");
            }
            drop(far.accept().await.expect("accepts"));
        }
    });
    drop(listener);
    scene.end();
}

#[test]
fn a_direction_that_was_stopped_is_never_told_as_finished() {
    let mut scene = scene(WorldConfig::calm());
    let (near, far, listener) = scene.connect(TARGET);
    let engine = scene.engines[0].clone();
    scene.run(WITHIN, async move {
        let sender = near.open(StreamOptions::default()).await.expect("opens");
        sender.send(&[1; 10][..]).await.expect("sends");
        let receiver = far.accept().await.expect("accepts");
        receiver.stop(Status::new(1002, "enough"));
        engine.sleep(Duration::from_secs(1)).await.expect("sleeps");
        sender.finish(Status::ok()).await.expect("nothing to end");
        let acked = sender.finish_acked().await;
        assert!(matches!(acked, Err(Error::Stopped(_))), "{acked:?}");
    });
    drop(listener);
    scene.end();
}

#[test]
fn a_handshake_whose_receives_end_short_needs_no_second_connection() {
    let mut world = WorldConfig::calm();
    world.faults.short_io = ShortIo::Seeded(900);
    world.faults.exact_short_per_mille = 1000;
    let mut scene = scene(world);
    let sessions = scene.connect(TARGET);
    let engine = scene.engines[0].clone();
    let statistics = scene.run(WITHIN, async move { engine.statistics().await });
    assert_eq!(statistics.expect("alive").connections_dialled, 1);
    drop(sessions);
    scene.end();
}

// B4
/// An exact receive says nothing before it is whole. Else each attempt is cut at the same place,
/// and the body never arrives.
#[test]
fn a_frame_that_takes_longer_than_silence_may_is_not_silence() {
    let mut world = WorldConfig::calm();
    world.link.bandwidth_bytes_per_second = 500_000;
    let mut config = Config {
        shards: 1,
        ..Config::default()
    };
    config.session.heartbeat = Duration::from_millis(200);
    config.session.body_checksum = BodyChecksum::Always;
    let mut scene = Scene::two_hosts(1, world, &config);
    let (near, far, listener) = scene.connect(TARGET);
    let engine = scene.engines[1].clone();
    let statistics = scene.run(WITHIN, async move {
        let sender = near.open(StreamOptions::default()).await.expect("opens");
        sender.send(vec![7; 1 << 20]).await.expect("sends");
        sender.finish(Status::ok()).await.expect("finishes");
        let receiver = far.accept().await.expect("accepts");
        let mut received = 0;
        while let Some(chunk) = receiver.receive().await.expect("receives") {
            received += chunk.bytes.len();
        }
        assert_eq!(received, 1 << 20);
        engine.statistics().await.expect("alive")
    });
    assert_eq!(statistics.losses.of("peer_silent"), 0);
    drop(listener);
    scene.end();
}

/// The dialer may come back for it, but not for ever.
#[test]
fn a_session_whose_dialer_was_lost_before_it_learnt_of_it_ends_with_its_window() {
    let mut config = Config {
        shards: 1,
        ..Config::default()
    };
    config.session.resume_window = Duration::from_secs(2);
    for offset in 1..600 {
        let mut scene = Scene::two_hosts(1, WorldConfig::calm(), &config);
        let (client, server) = (scene.engines[0].clone(), scene.engines[1].clone());
        let world = scene.world.clone();
        let options = ListenOptions::keyed(Keys::one(key()));
        let listener = scene.run(WITHIN, async move { server.listen(TARGET, options).await });
        world.cut_at(CutTarget::Next, Side::Dialer, offset, CutKind::Reset);
        let options = ConnectOptions {
            connect_timeout: Duration::from_millis(500),
            ..ConnectOptions::keyed(key())
        };
        scene.run(WITHIN, async move {
            let connecting = client.connect(TARGET, options);
            let refusing = async {
                let pause = Duration::from_micros(150);
                client.sleep(pause).await.expect("sleeps");
                let mut faults = FaultConfig::NONE;
                faults.dial_refused_per_mille = 1000;
                world.set_faults(faults);
                std::future::pending::<()>().await;
            };
            drop(race(connecting, refusing).await);
        });
        drop(listener);
        scene.end();
    }
}

// S2, S11
#[test]
fn streams_arrive_identical_over_connections_that_are_cut() {
    let mut scene = scene(WorldConfig::default());
    let (near, far, listener) = scene.connect(TARGET);
    for round in 0..20_u8 {
        let (near, far) = (near.clone(), far.clone());
        for connection in scene.world.connections() {
            scene.world.cut(connection.id, CutKind::Reset);
        }
        let received = scene.run(WITHIN, async move {
            let sender = near.open(StreamOptions::default()).await.expect("opens");
            sender.send(vec![round; 100_000]).await.expect("sends");
            sender.finish(Status::ok()).await.expect("finishes");
            let receiver = far.accept().await.expect("accepts");
            let mut received = Vec::new();
            while let Some(chunk) = receiver.receive().await.expect("receives") {
                received.extend_from_slice(&chunk.bytes);
            }
            sender.finish_acked().await.expect("acked");
            received
        });
        assert!(received == vec![round; 100_000]);
    }
    drop((near, far, listener));
    scene.end();
}

// B1
/// Its peer goes on speaking, so that silence never tells.
#[test]
fn a_send_that_fails_for_want_of_memory_costs_the_connection_at_once() {
    let mut world = WorldConfig::calm();
    world.faults.no_memory_per_mille = 30;
    let mut config = Config {
        shards: 1,
        path: PathChoice::ZeroCopy,
        ..Config::default()
    };
    config.session.heartbeat = Duration::from_secs(200);
    let mut failed_sends = 0;
    for seed in 0..20 {
        let mut scene = Scene::two_hosts(seed, world.clone(), &config);
        let [near, far] = [0, 1].map(|end| scene.engines[end].clone());
        failed_sends += scene.run(WITHIN, async move {
            let listener = far
                .listen(TARGET, ListenOptions::keyed(Keys::one(key())))
                .await
                .expect("listens");
            let sender = loop {
                // Memory fails here too.
                let made = near.connect(TARGET, ConnectOptions::keyed(key())).await;
                if let Ok(session) = made {
                    break session;
                }
            };
            let receiver = listener.accept().await.expect("accepts");
            let stream = sender.open(StreamOptions::default()).await.expect("opens");
            for _ in 0..40 {
                stream.send(vec![7; 64 << 10]).await.expect("sends");
            }
            stream.finish(Status::ok()).await.expect("finishes");
            let stream = receiver.accept().await.expect("accepts");
            while stream.receive().await.expect("receives").is_some() {}
            let statistics = near.statistics().await.expect("alive");
            statistics.losses.of("send_failed")
        });
    }
    assert!(failed_sends > 0, "no send failed: nothing was shown");
}
