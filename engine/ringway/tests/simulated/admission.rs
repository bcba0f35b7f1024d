//! More sessions, streams and memory than a shard, or the holder of a key, may have.

use std::time::Duration;

use ringway::{
    CloseReason, Config, ConnectError, ConnectOptions, Engine, Error, KeyLimits, Keys,
    ListenOptions, Listener, RefusalCode, Session, SessionConfig, SessionState, Status,
    StreamOptions, WhenFull,
};
use ringway_sim::WorldConfig;

use crate::scene::{Scene, key, race};

const HEARTBEAT: Duration = Duration::from_millis(200);
const TARGET: &str = "10.0.0.3:7400";

fn config() -> Config {
    Config {
        shards: 1,
        session: SessionConfig {
            heartbeat: HEARTBEAT,
            streams_max: 8,
            ..SessionConfig::default()
        },
        reset_grace: Duration::from_millis(200),
        ..Config::default()
    }
}

/// Two hosts that connect to a third one.
struct Crowd {
    scene: Scene,
    listener: Listener,
}

fn options() -> ConnectOptions {
    ConnectOptions {
        connect_timeout: Duration::from_secs(1),
        ..ConnectOptions::keyed(key())
    }
}

impl Crowd {
    fn new(config: &Config, limits: KeyLimits) -> Self {
        let mut scene = Scene::empty(1, WorldConfig::default());
        for _ in 0..3 {
            let host = scene.add_host();
            scene.start_engine(host, config);
        }
        let server = scene.engines[2].clone();
        let listener = scene.run(Duration::from_secs(1), async move {
            let keys = Keys::one(key()).limit(&key().id, limits);
            let listening = server.listen(TARGET, ListenOptions::keyed(keys));
            listening.await.expect("listens")
        });
        Self { scene, listener }
    }

    fn connect(&mut self, from: usize) -> (Session, Session) {
        let (client, listener) = (self.scene.engines[from].clone(), self.listener.clone());
        self.scene.run(Duration::from_secs(5), async move {
            let near = client.connect(TARGET, options()).await.expect("connects");
            (near, listener.accept().await.expect("accepts"))
        })
    }

    /// The host is cut off, and the server has noticed.
    fn part(&mut self, host: usize, far: &Session) {
        let hosts = &self.scene.hosts;
        self.scene.world.partition(hosts[host], hosts[2]);
        let far = far.clone();
        self.scene.run(HEARTBEAT * 10, async move {
            let mut state = far.state();
            while matches!(state, SessionState::Connected { .. }) {
                state = far.state_changed(&state).await;
            }
        });
    }

    fn heal(&self, host: usize) {
        let hosts = &self.scene.hosts;
        self.scene.world.heal(hosts[host], hosts[2]);
    }

    /// One too many is told so, with both numbers.
    fn assert_refused(&mut self, from: usize, numbers: &str) {
        let client = self.scene.engines[from].clone();
        let refused = self.scene.run(Duration::from_secs(5), async move {
            client.connect(TARGET, options()).await
        });
        let Err(ConnectError::Refused { refusal, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(refusal.code, RefusalCode::Overloaded);
        assert!(refusal.text.contains(numbers), "{}", refusal.text);
    }

    fn ended(&mut self, session: &Session) -> CloseReason {
        let session = session.clone();
        self.scene.run(
            Duration::from_secs(30),
            async move { session.ended().await },
        )
    }

    fn end(mut self, sessions: Vec<(Session, Session)>) {
        for (near, far) in sessions {
            self.scene.close(near, far);
        }
        drop(self.listener);
        self.scene.end();
    }
}

/// The first host's session is cut off; with two more there is one too many.
fn assert_oldest_makes_room(config: &Config, limits: KeyLimits) {
    let mut crowd = Crowd::new(config, limits);
    let (first, first_far) = crowd.connect(0);
    let second = crowd.connect(0);
    crowd.part(0, &first_far);
    crowd.part(0, &second.1);
    // Both have been without a connection for as long: one of them makes room, then the other.
    let third = crowd.connect(1);
    let reasons = [&first_far, &second.1].map(Session::state);
    let evicted = CloseReason::Evicted {
        held: 2,
        allowed: 2,
    };
    let ended = SessionState::Ended(evicted.clone());
    assert_eq!(reasons.iter().filter(|&state| *state == ended).count(), 1);
    let fourth = crowd.connect(1);
    assert_eq!(crowd.ended(&first_far), evicted);
    assert_eq!(crowd.ended(&second.1), evicted);
    crowd.assert_refused(1, "2 sessions of 2");
    let states = [&third.1, &fourth.1].map(Session::state);
    assert!(
        states
            .iter()
            .all(|state| matches!(state, SessionState::Connected { .. }))
    );
    crowd.heal(0);
    for near in [&first, &second.0] {
        let reason = crowd.ended(near);
        assert!(matches!(reason, CloseReason::UnknownSession(_)), "{reason}");
    }
    drop((first, first_far, second));
    crowd.end(vec![third, fourth]);
}

// S24
#[test]
fn at_the_limit_of_a_key_its_sessions_without_a_connection_make_room_and_others_never() {
    let limits = KeyLimits {
        sessions: Some(2),
        ..KeyLimits::default()
    };
    assert_oldest_makes_room(&config(), limits);
}

// S24
#[test]
fn at_the_limit_of_a_shard_its_sessions_without_a_connection_make_room_and_others_never() {
    let config = Config {
        sessions_max: 2,
        ..config()
    };
    assert_oldest_makes_room(&config, KeyLimits::default());
}

#[test]
fn the_streams_of_a_key_are_shared_by_its_sessions() {
    let limits = KeyLimits {
        streams: Some(10),
        ..KeyLimits::default()
    };
    let mut crowd = Crowd::new(&config(), limits);
    let (first, second) = (crowd.connect(0), crowd.connect(1));
    let engine: Engine = crowd.scene.engines[0].clone();
    let near = [first.0.clone(), second.0.clone()];
    let opened = crowd.scene.run(Duration::from_secs(5), async move {
        let mut opened = Vec::new();
        for session in near {
            let mut streams = Vec::new();
            let sleep = || engine.sleep(HEARTBEAT);
            while let Some(stream) = race(session.open(StreamOptions::default()), sleep()).await {
                streams.push(stream.expect("the session lives"));
            }
            opened.push(streams.len());
        }
        opened
    });
    assert_eq!(opened, [8, 2]);
    crowd.assert_refused(1, "10 streams of 10");
    // What a session had comes back with its end.
    crowd.scene.close(first.0, first.1);
    let third = crowd.connect(0);
    crowd.end(vec![second, third]);
}

#[test]
fn the_memory_kept_for_a_key_is_shared_by_its_sessions() {
    let limits = KeyLimits {
        retained_bytes: Some(100_000),
        ..KeyLimits::default()
    };
    let mut crowd = Crowd::new(&config(), limits);
    let (first, second) = (crowd.connect(0), crowd.connect(0));
    crowd.part(0, &first.1);
    crowd.part(0, &second.1);
    let far = [first.1.clone(), second.1.clone()];
    let streams = crowd.scene.run(Duration::from_secs(5), async move {
        let fails = StreamOptions {
            when_full: WhenFull::Fail,
            ..StreamOptions::default()
        };
        let one = far[0].open(fails.clone()).await.expect("opens");
        let other = far[1].open(fails).await.expect("opens");
        one.send(vec![1; 60_000]).await.expect("accepted");
        other.send(vec![2; 30_000]).await.expect("accepted");
        let full = other.send(vec![3; 30_000]).await;
        let numbers = Error::RetentionFull {
            retained: 30_000,
            allowed: 40_000,
        };
        assert_eq!(full, Err(numbers));
        let waits = far[1].open(StreamOptions::default()).await.expect("opens");
        let far = far[1].clone();
        (one, other, waits, far)
    });
    crowd.heal(0);
    let (one, other, waits, _far) = streams;
    crowd.scene.run(Duration::from_secs(30), async move {
        // It waits for what is acked of its own session at the latest.
        waits.send(vec![4; 70_000]).await.expect("accepted");
        waits.acked(70_000).await.expect("acked");
        one.acked(60_000).await.expect("acked");
        other.acked(30_000).await.expect("acked");
        for stream in [one, other, waits] {
            stream.finish(Status::ok()).await.expect("finished");
        }
    });
    crowd.end(vec![first, second]);
}
