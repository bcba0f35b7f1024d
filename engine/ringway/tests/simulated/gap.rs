//! How long a full stream stands still because of a cut, in virtual time, where it is exact.

use std::rc::Rc;
use std::time::Duration;

use ringway::{Config, ConnectOptions, Keys, ListenOptions, Session, Stream, StreamOptions};
use ringway_sim::{CutKind, World, WorldConfig};

use crate::scene::{Scene, TARGET, key, race};

const WITHIN: Duration = Duration::from_secs(60);

/// One way over the link: short, for a socket's buffers go once per round trip, and a piece of a
/// body is new to the application when it is whole.
const DELAY: Duration = Duration::from_micros(50);

/// A dial (one round trip of the link), two round trips, and the 10 ms of docs/BENCHMARKS.md.
const GAP_MAX: Duration = DELAY
    .saturating_mul(6)
    .saturating_add(Duration::from_millis(10));

/// A dialer that backs off before its first attempt misses everything by far.
const BACKOFF: Duration = Duration::from_secs(10);

/// So much flows before a cut: windows and both connections are full by then.
const BEFORE_BYTES: u64 = 24 << 20;

/// Which of a session's connections break.
#[derive(Clone, Copy)]
enum Cut {
    Message,
    Bulk,
    Both,
    /// The bulk connection, and the message connection while the loss is being noticed.
    BulkFirst,
}

fn scene() -> Scene {
    let mut world = WorldConfig::calm();
    world.link.delay_ns = DELAY.as_nanos() as u64;
    let config = Config {
        shards: 1,
        ..Config::default()
    };
    Scene::two_hosts(1, world, &config)
}

fn cut(world: &World, which: Cut) {
    let connections = world.connections();
    let mut standing = connections.iter().filter(|it| it.is_established);
    // In the order in which they were dialled.
    let (message, bulk) = (standing.next(), standing.next());
    let [message, bulk] = [message, bulk].map(|it| it.expect("there are two").id);
    let order = match which {
        Cut::Message => vec![message],
        Cut::Bulk => vec![bulk],
        Cut::Both => vec![message, bulk],
        Cut::BulkFirst => vec![bulk, message],
    };
    for connection in order {
        world.cut(connection, CutKind::Reset);
    }
}

async fn keep_full(stream: Stream) {
    while stream.send(vec![7; 4 << 20]).await.is_ok() {}
}

/// Takes everything up to one byte behind `offset`; where it is then.
async fn take_beyond(stream: &Stream, offset: u64, mut taken: u64) -> u64 {
    while taken <= offset {
        let chunk = stream.receive().await.expect("goes on");
        taken += chunk.expect("has not ended").bytes.len() as u64;
    }
    taken
}

/// Cuts a stream that is full from `opener` on; how long until its receiver has a new byte.
async fn gap(world: Rc<World>, opener: Session, acceptor: Session, which: Cut) -> Duration {
    let sender = opener.open(StreamOptions::default()).await.expect("opens");
    let filling = keep_full(sender.clone());
    let measured = async {
        let stream = acceptor.accept().await.expect("arrives");
        let taken = take_beyond(&stream, BEFORE_BYTES, 0).await;
        let begin_ns = world.now_ns();
        cut(&world, which);
        let received = stream.progress().await.expect("lives").received;
        take_beyond(&stream, received, taken).await;
        Duration::from_nanos(world.now_ns() - begin_ns)
    };
    // Measured first: the sender has no end of its own.
    race(measured, filling).await.expect("the stream lives")
}

fn assert_goes_on_at_once(which: Cut) {
    for is_dialer_sending in [true, false] {
        let mut scene = scene();
        let (client, server) = (scene.engines[0].clone(), scene.engines[1].clone());
        let world = Rc::new(scene.world.clone());
        let gap = scene.run(WITHIN, async move {
            let options = ListenOptions::keyed(Keys::one(key()));
            let listener = server.listen(TARGET, options).await.expect("listens");
            let mut options = ConnectOptions::keyed(key());
            options.backoff.first = BACKOFF;
            options.backoff.longest = BACKOFF;
            let near = client.connect(TARGET, options).await.expect("connects");
            let far = listener.accept().await.expect("accepts");
            let gap = match is_dialer_sending {
                true => gap(world, near, far, which).await,
                false => gap(world, far, near, which).await,
            };
            let statistics = client.statistics().await.expect("counted");
            assert_eq!((statistics.connections_lost, statistics.resumes), (1, 1));
            gap
        });
        assert!(gap <= GAP_MAX, "{gap:?}, allowed {GAP_MAX:?}");
        // A dial and a handshake come before it.
        assert!(gap >= DELAY * 6, "{gap:?}: not over a new connection");
        scene.end();
    }
}

#[test]
fn a_cut_message_connection_stops_a_full_stream_for_no_longer_than_a_dial_and_two_round_trips() {
    assert_goes_on_at_once(Cut::Message);
}

#[test]
fn a_cut_bulk_connection_stops_a_full_stream_for_no_longer_than_a_dial_and_two_round_trips() {
    assert_goes_on_at_once(Cut::Bulk);
}

#[test]
fn connections_cut_together_are_one_loss_and_one_dial() {
    assert_goes_on_at_once(Cut::Both);
}

#[test]
fn a_loss_that_is_learnt_from_the_bulk_connection_is_one_loss_and_one_dial() {
    assert_goes_on_at_once(Cut::BulkFirst);
}
