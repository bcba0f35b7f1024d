//! Sockets with 64 KiB of buffer, and links that are slow.

use ringway::{Config, Engine, Status, Stream, StreamOptions, block_on};

use crate::namespace::{Namespace, skip};
use crate::pair::{Pair, both, pattern};

const LARGE_BYTES: usize = 64 << 20;

/// A cuttable pair in one namespace whose sockets have no more than 64 KiB.
fn small(namespace: &Namespace) -> Pair {
    for name in ["tcp_rmem", "tcp_wmem"] {
        namespace.set(&format!("net/ipv4/{name}"), "4096 65536 65536");
    }
    namespace.run(|| {
        let mut config = Config::from_environment().expect("known capabilities");
        config.shards = 1;
        config.session.retained_bytes_max = 2 * LARGE_BYTES as u64;
        let start = || Engine::start(config.clone()).expect("starts");
        Pair::cuttable_between(start(), start(), "127.0.0.1:0")
    })
}

async fn receive_all(stream: &Stream) {
    let expected = pattern(LARGE_BYTES);
    let mut at = 0;
    while let Some(chunk) = stream.receive().await.expect("arrives") {
        assert_eq!(chunk.offset, at as u64, "a gap, or bytes twice");
        assert!(chunk.bytes == expected[at..at + chunk.bytes.len()]);
        at += chunk.bytes.len();
    }
    assert_eq!(at, LARGE_BYTES);
}

// S10, on sockets that are as small as they say.
#[test]
fn large_replays_both_ways_at_once_through_64_kib_of_socket_complete() {
    let Some(namespace) = Namespace::new() else {
        return skip("large_replays_both_ways_at_once");
    };
    let pair = small(&namespace);
    block_on(async {
        let near = pair.near.open(StreamOptions::default()).await;
        let near = near.expect("opens");
        near.send(pattern(LARGE_BYTES)).await.expect("accepted");
        let far = pair.far.accept().await.expect("arrives");
        far.send(pattern(LARGE_BYTES)).await.expect("accepted");
        for stream in [&near, &far] {
            stream.finish(Status::ok()).await.expect("finished");
        }
        // All of it is kept, some of it is on its way.
        near.acked(1 << 20).await.expect("acked");
        far.acked(1 << 20).await.expect("acked");
        pair.cut();
        both(receive_all(&near), receive_all(&far)).await;
        let acked = both(near.finish_acked(), far.finish_acked()).await;
        assert_eq!(acked, (Ok(()), Ok(())));
        let statistics = pair.client.statistics().await.expect("counted");
        assert_eq!(statistics.resumes, 1);
    });
    // Its redial is made by whoever polls: the shard, which lives in the namespace.
    pair.end();
    drop(namespace);
}

// S12, on a device that lets 4 MB/s pass.
#[test]
fn a_rate_limited_device_holds_the_producer_at_the_cap_and_lets_small_messages_pass() {
    const CAP: u64 = 512 << 10;
    const LENGTH: usize = 6 << 20;
    let Some((near, far)) = Namespace::joined() else {
        return skip("a_rate_limited_device");
    };
    near.command(
        "tc",
        "qdisc add dev wire root tbf rate 32mbit burst 32kb limit 512kb",
    );
    let start = |namespace: &Namespace| {
        let mut config = Config::from_environment().expect("known capabilities");
        config.shards = 1;
        config.session.retained_bytes_max = CAP;
        namespace.run(|| Engine::start(config)).expect("starts")
    };
    let pair = Pair::plain_between(start(&far), start(&near), "10.77.0.2:0");
    block_on(async {
        let open = async || {
            let stream = pair.near.open(StreamOptions::default()).await;
            let stream = stream.expect("opens");
            stream.send_record(&b"hello"[..]).await.expect("accepted");
            let other = pair.far.accept().await.expect("arrives");
            other.receive_record(5).await.expect("arrives");
            (stream, other)
        };
        let (bulk, bulk_far) = open().await;
        let (ping, pong) = open().await;
        let produce = async {
            for piece in pattern(LENGTH).chunks(50_000) {
                bulk.send(piece.to_vec()).await.expect("accepted");
            }
            bulk.finish(Status::ok()).await.expect("finished");
        };
        let consume = async {
            let (expected, mut at) = (pattern(LENGTH), 0);
            while let Some(chunk) = bulk_far.receive().await.expect("arrives") {
                assert!(chunk.bytes == expected[at..at + chunk.bytes.len()]);
                at += chunk.bytes.len();
            }
            assert_eq!(at, LENGTH);
        };
        let pings = async {
            for _ in 0..5 {
                ping.send_record(&b"ping"[..]).await.expect("accepted");
                let record = pong.receive_record(4).await.expect("arrives");
                assert_eq!(record.expect("a record"), "ping");
                let progress = bulk.progress().await.expect("it is open");
                let kept = progress.accepted - progress.acked;
                assert!(kept <= CAP, "{kept} bytes are kept");
                assert!(progress.acked < LENGTH as u64, "the device is not slow");
            }
        };
        both(both(produce, consume), pings).await;
    });
    pair.end();
    drop((near, far));
}
