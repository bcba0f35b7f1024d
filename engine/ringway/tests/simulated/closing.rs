//! Sessions that are closed while a bulk connection is being attached.

use std::time::Duration;

use ringway::{CloseReason, Config, Session, Status, StreamOptions};
use ringway_sim::WorldConfig;

use crate::scene::{Scene, TARGET, race};

const WITHIN: Duration = Duration::from_secs(60);

/// Above any last words, far below the resume window.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Who closes, and what becomes of its engine.
#[derive(Clone, Copy, Debug)]
enum Closing {
    Dialer,
    Acceptor,
    DialerAndEngine,
    AcceptorAndEngine,
}

/// A large body begins, and so long after that its session is closed.
fn close_after(delay: Duration, closing: Closing) {
    let config = Config {
        shards: 1,
        ..Config::default()
    };
    let mut scene = Scene::two_hosts(1, WorldConfig::calm(), &config);
    let (near, far, listener) = scene.connect(TARGET);
    let (client, server) = (scene.engines[0].clone(), scene.engines[1].clone());
    let reason = scene.run(WITHIN, async move {
        let stream = near.open(StreamOptions::default()).await.expect("opens");
        stream.send(vec![1; 1 << 20]).await.expect("accepted");
        client.sleep(delay).await.expect("sleeps");
        let (closer, other, engine, witness) = match closing {
            Closing::Dialer | Closing::DialerAndEngine => (near, far, client, server),
            Closing::Acceptor | Closing::AcceptorAndEngine => (far, near, server, client),
        };
        closer.close(Status::new(1234, "enough"));
        drop(stream);
        if matches!(
            closing,
            Closing::DialerAndEngine | Closing::AcceptorAndEngine
        ) {
            drop(closer);
            engine.shutdown(Duration::from_secs(5)).await;
        }
        end_of(other, witness).await
    });
    assert_eq!(
        reason,
        Some(CloseReason::Peer(Status::new(1234, "enough"))),
        "{closing:?} after {delay:?}"
    );
    drop(listener);
    scene.end();
}

async fn end_of(session: Session, witness: ringway::Engine) -> Option<CloseReason> {
    let ended = async move { session.ended().await };
    let late = async move { witness.sleep(AT_ONCE).await };
    race(ended, late).await
}

/// Else the reset of the one overtakes the close on the other, which is cut with it, and the peer
/// waits the whole resume window for somebody who never comes.
fn at_any_moment(closing: Closing) {
    // A dial and the two round trips of a handshake, in steps of much less than a way.
    for step in 0..80 {
        close_after(Duration::from_micros(10 * step), closing);
    }
}

#[test]
fn a_dialer_that_closes_at_any_moment_of_an_attach_is_heard() {
    at_any_moment(Closing::Dialer);
}

#[test]
fn an_acceptor_that_closes_at_any_moment_of_an_attach_is_heard() {
    at_any_moment(Closing::Acceptor);
}

#[test]
fn a_dialing_engine_that_ends_at_any_moment_of_an_attach_is_heard() {
    at_any_moment(Closing::DialerAndEngine);
}

#[test]
fn an_accepting_engine_that_ends_at_any_moment_of_an_attach_is_heard() {
    at_any_moment(Closing::AcceptorAndEngine);
}
