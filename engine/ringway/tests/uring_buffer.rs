//! A tokio-uring program reads a file into the engine's memory, and the engine sends that.

use std::io::ErrorKind;
use std::thread::sleep;
use std::time::Duration;

use pair::{Pair, engine, pattern};
use ringway::{BodyPath, Capability, Config, Status, StreamOptions, UringBuffer};

mod pair;

const PIECE_BYTES: usize = 256 << 10;
const PAUSE: Duration = Duration::from_millis(100);

/// Engines of one shard: there is a third ring in this program, and locked memory may be short.
fn small_pair() -> Pair {
    Pair::plain_between(engine(1), engine(1), "127.0.0.1:0")
}

/// How often a ring is asked for again: locked memory of closed rings comes back late.
const RING_ATTEMPTS: u32 = 100;

/// The program's own ring starts before the engines: it takes what it takes, and they start with
/// what is left.
fn on_a_small_ring(work: impl Future<Output = ()>) {
    pair::turn::wait_for_turn();
    small_ring().block_on(work);
}

fn small_ring() -> tokio_uring::Runtime {
    let mut builder = tokio_uring::builder();
    builder.entries(8);
    for _ in 1..RING_ATTEMPTS {
        match tokio_uring::Runtime::new(&builder) {
            Err(error) if error.kind() == ErrorKind::OutOfMemory => sleep(PAUSE),
            started => return started.expect("starts"),
        }
    }
    tokio_uring::Runtime::new(&builder).expect("starts after all")
}

#[test]
fn a_file_read_by_another_ring_leaves_from_the_engines_memory() {
    let content = pattern(5 * PIECE_BYTES + 4321);
    let place = tempfile::tempdir().expect("temporary directory");
    let path = place.path().join("body");
    std::fs::write(&path, &content).expect("written");
    on_a_small_ring(async {
        let pair = small_pair();
        let opened = pair.near.open(StreamOptions::default()).await;
        let stream = opened.expect("opens");
        let file = tokio_uring::fs::File::open(&path).await.expect("opens");
        let mut at = 0;
        loop {
            let lease = pair
                .client
                .lease(PIECE_BYTES)
                .await
                .expect("alive")
                .expect("free");
            let (read, buffer) = file.read_at(UringBuffer::new(lease), at).await;
            let count = read.expect("read");
            assert_eq!(count, buffer.filled());
            if count == 0 {
                break;
            }
            at += count as u64;
            stream.send(buffer.freeze()).await.expect("accepted");
        }
        file.close().await.expect("closed");
        stream.finish(Status::ok()).await.expect("finished");
        let far = pair.far.accept().await.expect("arrives");
        let mut received = Vec::new();
        while let Some(chunk) = far.receive().await.expect("arrives") {
            received.extend_from_slice(&chunk.bytes);
        }
        assert!(received == content);
        let statistics = pair.client.statistics().await.expect("counted");
        let paths = statistics.path_bytes;
        let masked = Config::from_environment().expect("valid").masked;
        if !masked.has(Capability::Splice) && !masked.has(Capability::ArenaSplice) {
            assert!(
                paths.bytes(BodyPath::SpliceArena) >= 5 * PIECE_BYTES as u64,
                "{paths:?}"
            );
        }
        pair.end();
    });
}

#[test]
fn a_short_read_freezes_no_more_than_was_read() {
    let place = tempfile::tempdir().expect("temporary directory");
    let path = place.path().join("body");
    std::fs::write(&path, b"four").expect("written");
    on_a_small_ring(async {
        let pair = small_pair();
        let file = tokio_uring::fs::File::open(&path).await.expect("opens");
        let lease = pair.client.lease(4096).await.expect("alive").expect("free");
        let (read, buffer) = file.read_at(UringBuffer::new(lease), 0).await;
        assert_eq!((read.expect("read"), buffer.as_slice()), (4, &b"four"[..]));
        assert_eq!(&buffer.freeze()[..], b"four");
        pair.end();
    });
}
