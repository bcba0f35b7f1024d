//! Peers that are slow, silent or many, beside one that is neither.

mod pair;
#[path = "suite/relay.rs"]
#[allow(dead_code, reason = "the suite uses the rest")]
mod relay;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use pair::{Pair, both, engine_of, pattern};
use relay::Relay;
use ringway::{
    Address, Config, ConnectOptions, Epoch, KeyId, Keys, ListenOptions, OpenHow, Session,
    SessionConfig, SessionState, Status, StreamOptions, block_on,
};
use ringway_proto::{Dial, Intent, LocalEndpoint};

/// More than an engine has pipes (16), or kernel workers (4 and 8).
const STALLED: usize = 20;

fn one_shard() -> Config {
    let mut config = Config::from_environment().expect("known capabilities");
    config.shards = 1;
    config
}

// S30: a stalled peer keeps what its connection holds, a pipe above all, for as long as it likes.
#[test]
fn more_stalled_peers_than_pipes_and_workers_do_not_stop_a_healthy_transfer() {
    const LENGTH: u64 = 24 << 20;
    let place = tempfile::tempdir().expect("temporary directory");
    let (from, to) = (place.path().join("from"), place.path().join("to"));
    let content = pattern(LENGTH as usize);
    std::fs::write(&from, &content).expect("written");
    let pair = Pair::cuttable_between(
        engine_of(one_shard()),
        engine_of(one_shard()),
        "127.0.0.1:0",
    );
    let Address::Tcp(target) = pair.address() else {
        panic!("not the kind of address that was asked for");
    };
    let relay = Relay::to(target, 0, Some(64 << 10));
    block_on(async {
        let opened = pair.client.ambient().open(&from, OpenHow::READ).await;
        let source = opened.expect("opens");
        let mut stalled = Vec::new();
        for _ in 0..STALLED {
            let (near, far) = pair.another_at(&relay.address.to_string()).await;
            let stream = near.open(StreamOptions::default()).await.expect("opens");
            stream.send_record(&b"hello"[..]).await.expect("accepted");
            stream.acked(5).await.expect("acked");
            stalled.push((near, far, stream));
        }
        relay.close();
        for (_, _, stream) in &stalled {
            stream
                .send(source.range(0, LENGTH))
                .await
                .expect("accepted");
        }
        // Until their sockets are full.
        pair.client
            .sleep(Duration::from_millis(500))
            .await
            .expect("it lives");
        let how = OpenHow::READ_WRITE_CREATE;
        let sink = pair.server.ambient().open(&to, how).await.expect("opens");
        let stream = pair
            .near
            .open(StreamOptions::default())
            .await
            .expect("opens");
        stream
            .send(source.range(0, LENGTH))
            .await
            .expect("accepted");
        stream.finish(Status::ok()).await.expect("finished");
        let other = pair.far.accept().await.expect("arrives");
        let written = other.receive_into_file(&sink, 0, u64::MAX).await;
        assert_eq!(written, Ok(LENGTH));
        for (near, _, _) in &stalled {
            assert!(
                matches!(near.state(), SessionState::Connected { .. }),
                "not stalled"
            );
        }
        relay.open();
        for (near, far, stream) in stalled {
            stream.reset(Status::new(1000, "enough"));
            close(near, far).await;
        }
    });
    assert!(std::fs::read(&to).expect("readable") == content);
    pair.end();
}

async fn close(near: Session, far: Session) {
    near.close(Status::ok());
    near.ended().await;
    far.ended().await;
}

// B8: handshakes are off the accept path, each with a deadline of its own.
#[test]
fn clients_that_never_finish_their_handshakes_delay_nobody() {
    let config = Config {
        handshake_timeout: Duration::from_secs(600),
        ..one_shard()
    };
    let pair = Pair::cuttable_between(engine_of(config), engine_of(one_shard()), "127.0.0.1:0");
    let Address::Tcp(target) = pair.address() else {
        panic!("not the kind of address that was asked for");
    };
    // A ring that is small for want of locked memory bounds them lower.
    let is_small = |reduction: &ringway::Reduction| reduction.what == "ops";
    let clients = match pair.server.reductions().iter().any(is_small) {
        true => 8,
        false => 200,
    };
    let mut silent = Vec::new();
    for index in 0..clients {
        let mut client = TcpStream::connect(target).expect("connected");
        // Some say nothing at all, some a part of what a client says first.
        client.write_all(&b"RINGWAY"[..index % 7]).expect("written");
        silent.push(client);
    }
    block_on(async {
        for _ in 0..20 {
            let (near, far) = pair.another().await;
            for client in &mut silent {
                let _ = client.write(b"R");
            }
            close(near, far).await;
        }
    });
    drop(silent);
    pair.end();
}

// B8: at the bound of handshakes in progress accepting pauses, and goes on by itself.
#[test]
fn more_silent_clients_than_handshakes_are_thrown_out_and_the_next_one_is_served() {
    let config = Config {
        handshakes_max: 4,
        handshake_timeout: Duration::from_millis(300),
        ..one_shard()
    };
    let pair = Pair::cuttable_between(engine_of(config), engine_of(one_shard()), "127.0.0.1:0");
    let Address::Tcp(target) = pair.address() else {
        panic!("not the kind of address that was asked for");
    };
    let connect = |_| TcpStream::connect(target).expect("connected");
    let mut silent: Vec<_> = (0..12).map(connect).collect();
    block_on(async {
        let (near, far) = pair.another().await;
        close(near, far).await;
    });
    for client in &mut silent {
        // The server has ended it: nothing more to read, or reset.
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
    }
    pair.end();
}

/// A peer that obeys nothing, as far as it has to: it has made a session.
fn rude_peer(target: std::net::SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(target).expect("connected");
    let local = LocalEndpoint::new("rude", 1, &SessionConfig::default());
    let id = ringway::SessionId::from_bytes([7; 16]);
    let mut dial = Dial::new(&local, None, Intent::New, id, Epoch(1), [7; 32]);
    while dial.poll_established().is_none() {
        if let Some(bytes) = dial.poll_transmit() {
            socket.write_all(&bytes).expect("sent");
        }
        let mut bytes = vec![0; dial.bytes_wanted()];
        socket.read_exact(&mut bytes).expect("answered");
        dial.handle_bytes(&bytes).expect("a handshake");
    }
    socket
}

// B7: what still comes after a close is read, so that the last words arrive, but not for ever.
#[test]
fn a_peer_that_goes_on_sending_after_a_close_is_left_at_a_bound() {
    const BEYOND_WINDOW_BYTES: u64 = 16 << 20;
    let mut config = one_shard();
    config.session.session_window_bytes = 4 << 20;
    config.session.stream_window_bytes = 1 << 20;
    let bound = config.session.session_window_bytes + BEYOND_WINDOW_BYTES;
    let engine = engine_of(config);
    let (mut socket, session, listener) = block_on(async {
        let options = ListenOptions::insecure();
        let listener = engine
            .listen("127.0.0.1:0", options)
            .await
            .expect("listens");
        let Address::Tcp(target) = *listener.address() else {
            panic!("not the kind of address that was asked for");
        };
        let peer = std::thread::spawn(move || rude_peer(target));
        let session = listener.accept().await.expect("accepts");
        (peer.join().expect("a session"), session, listener)
    });
    session.close(Status::ok());
    block_on(session.ended());
    let (zeros, mut sent) = (vec![0; 64 << 10], 0);
    while let Ok(count) = socket.write(&zeros) {
        sent += count as u64;
    }
    let lingered = block_on(engine.statistics())
        .expect("counted")
        .lingered_bytes;
    // What brings it above the bound is counted whole.
    let counted = 1..=bound + (1 << 20);
    assert!(counted.contains(&lingered), "{lingered} of {sent}");
    assert!(lingered <= sent, "{lingered} of {sent}");
    drop((session, listener));
    assert_eq!(block_on(engine.shutdown(Duration::from_secs(5))).leaked, 0);
}

// B12
#[test]
fn closes_from_several_threads_at_once_are_one_close_and_all_return() {
    let pair = Pair::on("127.0.0.1:0");
    let (near, far) = block_on(pair.another());
    let close = |session: &Session, code| {
        let session = session.clone();
        std::thread::spawn(move || {
            session.close(Status::new(code, "closed"));
            block_on(session.ended())
        })
    };
    let closes: Vec<_> = (1001..1009)
        .map(|code| close(if code % 2 == 0 { &near } else { &far }, code))
        .collect();
    let reasons: Vec<_> = closes
        .into_iter()
        .map(|thread| thread.join().expect("it returns"))
        .collect();
    for reasons in reasons.chunks(2) {
        // Each end has one reason, whoever asks.
        let now = [block_on(far.ended()), block_on(near.ended())];
        assert_eq!(reasons, now);
    }
    let count = |engine: ringway::Engine| async move {
        engine.statistics().await.expect("counted").sessions_ended
    };
    let ended = block_on(both(count(pair.client.clone()), count(pair.server.clone())));
    assert_eq!(ended, (1, 1));
    pair.end();
}

// S32, with the listener of a real engine: a stranger's connection fences nothing.
#[test]
fn a_stranger_with_another_key_does_not_disturb_a_live_session() {
    let pair = Pair::on("127.0.0.1:0");
    let stranger = Keys::generate(KeyId::new("test").expect("valid"));
    block_on(async {
        let stream = pair
            .near
            .open(StreamOptions::default())
            .await
            .expect("opens");
        stream.send_record(&b"before"[..]).await.expect("accepted");
        let other = pair.far.accept().await.expect("arrives");
        let engine = engine_of(one_shard());
        for _ in 0..5 {
            let options = ConnectOptions::keyed(stranger.clone());
            let refused = engine.connect(&pair.address().to_string(), options).await;
            let error = refused.expect_err("another key");
            assert!(
                matches!(error, ringway::ConnectError::Authentication { .. }),
                "{error}"
            );
        }
        assert_eq!(engine.shutdown(Duration::from_secs(5)).await.leaked, 0);
        for expected in [&b"before"[..], b"behind"] {
            let record = other.receive_record(100).await.expect("arrives");
            assert_eq!(record.expect("a record"), expected);
            stream.send_record(&b"behind"[..]).await.expect("accepted");
        }
        let statistics = pair.server.statistics().await.expect("counted");
        assert_eq!(
            (statistics.connections_lost, statistics.handshakes_failed),
            (0, 5)
        );
    });
    pair.end();
}
