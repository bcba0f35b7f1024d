//! A tokio-uring program reads a file into the engine's memory, and the engine sends that.

use pair::{Pair, pattern};
use ringway::{BodyPath, Capability, Config, Status, StreamOptions, UringBuffer};

mod pair;

const PIECE_BYTES: usize = 256 << 10;

/// Locked memory may be short.
fn on_a_small_ring(work: impl Future<Output = ()>) {
    tokio_uring::builder().entries(8).start(work);
}

#[test]
fn a_file_read_by_another_ring_leaves_from_the_engines_memory() {
    let pair = Pair::on("127.0.0.1:0");
    let content = pattern(5 * PIECE_BYTES + 4321);
    let place = tempfile::tempdir().expect("temporary directory");
    let path = place.path().join("body");
    std::fs::write(&path, &content).expect("written");
    on_a_small_ring(async {
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
    });
    pair.end();
}

#[test]
fn a_short_read_freezes_no_more_than_was_read() {
    let pair = Pair::on("127.0.0.1:0");
    let place = tempfile::tempdir().expect("temporary directory");
    let path = place.path().join("body");
    std::fs::write(&path, b"four").expect("written");
    on_a_small_ring(async {
        let file = tokio_uring::fs::File::open(&path).await.expect("opens");
        let lease = pair.client.lease(4096).await.expect("alive").expect("free");
        let (read, buffer) = file.read_at(UringBuffer::new(lease), 0).await;
        assert_eq!((read.expect("read"), buffer.as_slice()), (4, &b"four"[..]));
        assert_eq!(&buffer.freeze()[..], b"four");
    });
    pair.end();
}
