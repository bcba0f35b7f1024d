//! Several sessions behind one handle.

use std::collections::BTreeSet;
use std::time::Duration;

use ringway::{
    CloseReason, Config, ConnectError, ConnectOptions, Error, Keys, Lanes, ListenOptions, Listener,
    Session, SessionState, Status, Stream, StreamOptions,
};
use ringway_sim::{CutKind, WorldConfig};

use crate::scene::{Scene, TARGET, key};

const WITHIN: Duration = Duration::from_secs(120);

const LANES: usize = 3;

/// Two shards at each end, and three lanes from the first to the last engine: at both ends, in
/// the same order.
fn lanes() -> (Scene, Lanes, Vec<Session>, Listener) {
    let config = Config {
        shards: 2,
        ..Config::default()
    };
    let mut scene = Scene::two_hosts(1, WorldConfig::calm(), &config);
    let (client, server) = (scene.engines[0].clone(), scene.engines[1].clone());
    let (lanes, far, listener) = scene.run(WITHIN, async move {
        let options = ListenOptions::keyed(Keys::one(key()));
        let listener = server.listen(TARGET, options).await.expect("listens");
        let options = ConnectOptions::keyed(key());
        for wrong in [0, 65] {
            let refused = client.connect_lanes(TARGET, options.clone(), wrong).await;
            let error = refused.expect_err("not a number of lanes");
            assert!(matches!(error, ConnectError::Local(Error::Limit { .. })));
        }
        let lanes = client.connect_lanes(TARGET, options, LANES).await;
        let lanes = lanes.expect("connects");
        let mut far = Vec::new();
        for _ in 0..LANES {
            far.push(listener.accept().await.expect("accepts"));
        }
        let mut near = lanes.sessions().iter();
        let place = |it: &Session| near.clone().position(|lane| lane.id() == it.id());
        far.sort_by_key(place);
        assert!(near.all(|lane| far.iter().any(|it| it.id() == lane.id())));
        (lanes, far, listener)
    });
    (scene, lanes, far, listener)
}

fn end(mut scene: Scene, lanes: Lanes, far: Vec<Session>, listener: Listener) {
    let reasons = scene.run(WITHIN, async move {
        lanes.close(&Status::ok());
        for session in far {
            session.ended().await;
        }
        lanes.ended().await
    });
    assert_eq!(reasons.len(), LANES);
    drop(listener);
    scene.end();
}

async fn hello(stream: &Stream, far: &Session) {
    stream.send_record(&b"hello"[..]).await.expect("accepted");
    let other = far.accept().await.expect("arrives");
    let record = other.receive_record(100).await.expect("arrives");
    assert_eq!(record.expect("a record"), "hello");
}

#[test]
fn lanes_lie_on_all_shards_and_streams_on_all_lanes() {
    let (mut scene, lanes, far, listener) = lanes();
    let shards: BTreeSet<_> = lanes.sessions().iter().map(Session::shard).collect();
    assert_eq!(shards.len(), 2);
    let (opener, others) = (lanes.clone(), far.clone());
    scene.run(WITHIN, async move {
        // Each lane brings exactly one of so many.
        for other in &others {
            let stream = opener.open(StreamOptions::default()).await.expect("opens");
            hello(&stream, other).await;
        }
    });
    end(scene, lanes, far, listener);
}

#[test]
fn a_stream_of_the_peer_is_accepted_from_whichever_lane_it_comes_on() {
    let (mut scene, lanes, far, listener) = lanes();
    let (acceptor, openers) = (lanes.clone(), far.clone());
    scene.run(WITHIN, async move {
        for opener in openers.iter().rev() {
            let stream = opener.open(StreamOptions::default()).await.expect("opens");
            stream.send_record(&b"hello"[..]).await.expect("accepted");
            let other = acceptor.accept().await.expect("arrives");
            let record = other.receive_record(100).await.expect("arrives");
            assert_eq!(record.expect("a record"), "hello");
        }
    });
    end(scene, lanes, far, listener);
}

/// Else every third stream waits for a resume though two lanes are there, or fails with a lane
/// that has ended.
#[test]
fn streams_are_opened_where_there_is_a_connection_and_else_where_one_may_come() {
    let (mut scene, lanes, far, listener) = lanes();
    let world = scene.world.clone();
    let hosts = [scene.hosts[0], scene.hosts[1]];
    let (opener, others) = (lanes.clone(), far.clone());
    scene.run(WITHIN, async move {
        let sessions = opener.sessions();
        sessions[0].close(Status::ok());
        sessions[0].ended().await;
        world.partition(hosts[0], hosts[1]);
        // The connections were made in this order; the first one is gone.
        let standing = world.connections();
        let last = standing.iter().rfind(|it| it.is_established);
        world.cut(last.expect("there are two").id, CutKind::Reset);
        let seen = sessions[2].state();
        sessions[2].state_changed(&seen).await;
        let connected = |it: &Session| matches!(it.state(), SessionState::Connected { .. });
        let now: Vec<_> = sessions.iter().map(connected).collect();
        assert_eq!(now, [false, true, false]);
        let mut opened = Vec::new();
        for _ in 0..LANES {
            opened.push(opener.open(StreamOptions::default()).await.expect("opens"));
        }
        world.heal(hosts[0], hosts[1]);
        for stream in &opened {
            hello(stream, &others[1]).await;
        }
        sessions[1].close(Status::ok());
        sessions[1].ended().await;
        let stream = opener.open(StreamOptions::default()).await.expect("opens");
        hello(&stream, &others[2]).await;
        sessions[2].close(Status::new(1234, "enough"));
        sessions[2].ended().await;
        let refused = opener.open(StreamOptions::default()).await;
        assert!(matches!(refused, Err(Error::SessionEnded(_))));
        let refused = opener.accept().await;
        assert!(matches!(refused, Err(Error::SessionEnded(_))));
        let reasons = opener.ended().await;
        let enough = CloseReason::Local(Status::new(1234, "enough"));
        assert_eq!(reasons[2], enough);
    });
    end(scene, lanes, far, listener);
}

#[test]
fn a_drain_of_lanes_lets_what_was_accepted_arrive_on_each() {
    let (mut scene, lanes, far, listener) = lanes();
    let (opener, others) = (lanes.clone(), far.clone());
    scene.run(WITHIN, async move {
        let mut sent = Vec::new();
        for _ in 0..LANES {
            let stream = opener.open(StreamOptions::default()).await.expect("opens");
            stream.send(vec![7; 1 << 20]).await.expect("accepted");
            stream.finish(Status::ok()).await.expect("finished");
            sent.push(stream);
        }
        let drained = opener.drain();
        let received = async {
            for other in &others {
                let stream = other.accept().await.expect("arrives");
                stream.finish(Status::ok()).await.expect("finished");
                let mut bytes = 0;
                while let Some(chunk) = stream.receive().await.expect("arrives") {
                    bytes += chunk.bytes.len();
                }
                assert_eq!(bytes, 1 << 20);
            }
        };
        drop(sent);
        let mut drained = Box::pin(drained);
        let mut received = Box::pin(received);
        let (mut is_drained, mut is_received) = (false, false);
        std::future::poll_fn(move |context| {
            is_received = is_received || received.as_mut().poll(context).is_ready();
            is_drained = is_drained
                || drained
                    .as_mut()
                    .poll(context)
                    .map(|it| assert_eq!(it, Ok(())))
                    .is_ready();
            match is_drained && is_received {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
    });
    end(scene, lanes, far, listener);
}
