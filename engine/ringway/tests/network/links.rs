//! Links that go down, drop everything, or are cut from outside.

use std::time::Duration;

use ringway::{Config, Engine, Session, SessionState, Status, Stream, StreamOptions, block_on};

use crate::namespace::{Namespace, skip};
use crate::pair::{Pair, both, pattern};

const HEARTBEAT: Duration = Duration::from_millis(500);

fn engine(namespace: &Namespace) -> Engine {
    let mut config = Config::from_environment().expect("known capabilities");
    config.shards = 1;
    config.session.heartbeat = HEARTBEAT;
    namespace
        .run(|| Engine::start(config))
        .expect("an engine starts")
}

/// Two engines at the ends of a wire.
struct Wire {
    near: Namespace,
    far: Namespace,
    pair: Pair,
}

impl Wire {
    fn new() -> Option<Self> {
        let (near, far) = Namespace::joined()?;
        let pair = Pair::plain_between(engine(&far), engine(&near), "10.77.0.2:0");
        Some(Self { near, far, pair })
    }

    async fn stream(&self) -> (Stream, Stream) {
        let stream = self.pair.near.open(StreamOptions::default()).await;
        let stream = stream.expect("opens");
        stream.send(&b"hello"[..]).await.expect("accepted");
        let other = self.pair.far.accept().await.expect("arrives");
        let chunk = other.receive().await.expect("arrives");
        assert_eq!(chunk.expect("a chunk").bytes, "hello");
        (stream, other)
    }

    /// Both ends have a connection again, a newer one than that numbered `epoch`.
    async fn resumed(&self, epoch: u64) {
        let is_newer = |session: &Session| matches!(session.state(), SessionState::Connected { epoch: now } if now.0 > epoch);
        // A minute, so that a kernel on which the cut has no effect fails instead of hanging.
        for _ in 0..3000 {
            if is_newer(&self.pair.near) && is_newer(&self.pair.far) {
                return;
            }
            let pause = self.pair.client.sleep(Duration::from_millis(20));
            pause.await.expect("it lives");
        }
        panic!("connection {epoch} was not replaced");
    }

    fn end(self) {
        self.pair.end();
        drop((self.near, self.far));
    }
}

async fn disconnected(session: &Session) {
    let mut state = session.state();
    while !matches!(state, SessionState::Disconnected { .. }) {
        state = session.state_changed(&state).await;
    }
}

/// What is sent from now on arrives, once.
async fn goes_on(stream: &Stream, other: &Stream, from: u64, sent_before: Vec<u8>) {
    stream.send(pattern(100_000)).await.expect("accepted");
    stream.finish(Status::ok()).await.expect("finished");
    let expected = [sent_before, pattern(100_000)].concat();
    let mut at = 0;
    while let Some(chunk) = other.receive().await.expect("arrives") {
        assert_eq!(chunk.offset, from + at as u64);
        assert!(chunk.bytes == expected[at..at + chunk.bytes.len()]);
        at += chunk.bytes.len();
    }
    assert_eq!(at, expected.len());
}

// B4: what drops everything tells nobody; both ends find out by silence, and by nothing else.
#[test]
fn a_way_that_drops_everything_is_noticed_by_both_ends_and_survived() {
    let Some(wire) = Wire::new() else {
        return skip("a_way_that_drops_everything");
    };
    block_on(async {
        let (stream, other) = wire.stream().await;
        // Packets leave for a machine that is not there.
        let ends = [(&wire.near, "10.77.0.2"), (&wire.far, "10.77.0.1")];
        for (namespace, peer) in ends {
            let nobody = "lladdr 02:00:00:00:00:99 nud permanent";
            namespace.ip(&format!("neigh replace {peer} dev wire {nobody}"));
        }
        stream.send(pattern(50_000)).await.expect("accepted");
        both(disconnected(&wire.pair.near), disconnected(&wire.pair.far)).await;
        for (namespace, peer) in ends {
            namespace.ip(&format!("neigh del {peer} dev wire"));
        }
        wire.resumed(1).await;
        goes_on(&stream, &other, 5, pattern(50_000)).await;
    });
    wire.end();
}

// S19: ENETDOWN and ENETUNREACH on the way out; the session waits and comes back.
#[test]
fn a_device_that_goes_down_loses_the_connection_and_not_the_session() {
    let Some(wire) = Wire::new() else {
        return skip("a_device_that_goes_down");
    };
    block_on(async {
        let (stream, other) = wire.stream().await;
        wire.near.ip("link set wire down");
        stream.send(pattern(50_000)).await.expect("accepted");
        both(disconnected(&wire.pair.near), disconnected(&wire.pair.far)).await;
        // Several redials fail while there is no network at all.
        let failed = async || {
            wire.pair
                .client
                .statistics()
                .await
                .expect("counted")
                .dials_failed
        };
        while failed().await < 3 {
            let pause = wire.pair.client.sleep(Duration::from_millis(20));
            pause.await.expect("it lives");
        }
        wire.near.ip("link set wire up");
        wire.resumed(1).await;
        goes_on(&stream, &other, 5, pattern(50_000)).await;
    });
    wire.end();
}

// S19: somebody on the way, or an administrator, resets the connection: ECONNABORTED here, a
// reset there.
#[test]
fn a_connection_that_is_killed_from_outside_is_resumed() {
    let Some(wire) = Wire::new() else {
        return skip("a_connection_that_is_killed");
    };
    block_on(async {
        let (stream, other) = wire.stream().await;
        for epoch in 1..=3 {
            // Its exit code says nothing: what counts is that the connection is gone.
            wire.near.command("ss", "-K dst 10.77.0.2");
            wire.resumed(epoch).await;
        }
        goes_on(&stream, &other, 5, Vec::new()).await;
    });
    wire.end();
}
