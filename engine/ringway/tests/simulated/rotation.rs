//! A secret changes under a key id while sessions live.

use std::time::Duration;

use ringway::{
    Config, ConnectOptions, Key, KeyId, Keys, ListenOptions, Listener, NamedKey, Session,
    SessionState, StreamOptions,
};
use ringway_sim::{CutKind, WorldConfig};

use crate::scene::{Scene, TARGET};

const WITHIN: Duration = Duration::from_secs(60);

fn secret(byte: u8) -> NamedKey {
    NamedKey {
        id: KeyId::new("alice").expect("valid"),
        key: Key::from_bytes([byte; 32]),
    }
}

fn listen(scene: &mut Scene, keys: Keys) -> Listener {
    let server = scene.engines[1].clone();
    scene.run(WITHIN, async move {
        let listening = server.listen(TARGET, ListenOptions::keyed(keys));
        listening.await.expect("listens")
    })
}

/// A session under the old secret, whose acceptor then has only the new one.
fn rotated(options: ConnectOptions) -> (Scene, Listener, Session, Session) {
    let config = Config {
        shards: 1,
        ..Config::default()
    };
    let mut scene = Scene::two_hosts(1, WorldConfig::default(), &config);
    let listener = listen(&mut scene, Keys::one(secret(1)));
    let client = scene.engines[0].clone();
    let old = listener.clone();
    let (near, far) = scene.run(WITHIN, async move {
        let near = client.connect(TARGET, options).await.expect("connects");
        (near, old.accept().await.expect("accepts"))
    });
    listener.replace_keys(Keys::one(secret(2)));
    assert!(
        matches!(near.state(), SessionState::Connected { .. }),
        "nothing is proven again on a live connection"
    );
    for connection in scene.world.connections() {
        if connection.is_established {
            scene.world.cut(connection.id, CutKind::Reset);
        }
    }
    (scene, listener, near, far)
}

/// A record from one end to the other.
fn goes_on(scene: &mut Scene, near: &Session, far: &Session) {
    let (one, other) = (near.clone(), far.clone());
    scene.run(WITHIN, async move {
        let stream = one.open(StreamOptions::default()).await.expect("opens");
        stream.send_record(&b"after"[..]).await.expect("accepted");
        let stream = other.accept().await.expect("arrives");
        let record = stream.receive_record(8).await.expect("arrives");
        assert_eq!(record.expect("a record"), "after");
        assert!(matches!(one.state(), SessionState::Connected { epoch } if epoch.0 > 1));
    });
}

#[test]
fn a_session_goes_on_under_the_new_secret_where_the_dialer_has_both() {
    let keys = Keys::one(secret(2)).with(secret(1));
    let (mut scene, listener, near, far) = rotated(ConnectOptions::keys(&keys));
    goes_on(&mut scene, &near, &far);
    drop(listener);
    scene.close(near, far);
    scene.end();
}

#[test]
fn a_session_whose_dialer_has_only_the_old_secret_waits_and_nothing_is_resumed() {
    let (mut scene, listener, near, far) = rotated(ConnectOptions::keyed(secret(1)));
    let client = scene.engines[0].clone();
    scene.run(WITHIN, async move {
        let slept = client.sleep(Duration::from_secs(20)).await;
        slept.expect("the engine lives");
    });
    for session in [&near, &far] {
        let state = session.state();
        let is_waiting = matches!(state, SessionState::Disconnected { .. });
        assert!(is_waiting, "{state:?}");
    }
    // The old secret is taken back, within the resume window.
    listener.replace_keys(Keys::one(secret(1)));
    goes_on(&mut scene, &near, &far);
    drop(listener);
    scene.close(near, far);
    scene.end();
}
