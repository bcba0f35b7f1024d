//! Memory that is sent again and lent again as fast as allowed, while copies of an older send are
//! still somewhere: on loopback and Unix sockets bytes travel by reference, so a later write to
//! the arena would alter what a slow reader gets.

mod pair;

use std::time::Duration;

use pair::{Pair, engine_of};
use ringway::{BodyPath, Capability, Config, Payload, Status, Stream, StreamOptions, block_on};

/// Of the arena's, so that each piece of memory is used many times.
const LENGTH: u64 = 96 << 20;

const PIECE_BYTES: usize = 256 << 10;

/// The byte at an offset, different in each use of the same piece of memory.
fn byte_at(offset: u64) -> u8 {
    (offset / 509 + (offset >> 18) * 31) as u8
}

/// An arena of 2 MiB whose leases are lent again the moment they are free.
fn narrow() -> Config {
    let mut config = Config::from_environment().expect("known capabilities");
    config.shards = 1;
    config.arena_bytes = 2 << 20;
    config.reset_grace = Duration::ZERO;
    config
}

async fn send_leases(pair: &Pair, stream: &Stream) {
    let mut at = 0;
    while at < LENGTH {
        let Some(mut lease) = pair.client.lease(PIECE_BYTES).await.expect("it lives") else {
            // All of it is unacked: one ack gives a piece back.
            let acked = stream.acked_now();
            stream.acked(acked + 1).await.expect("acked");
            continue;
        };
        for (byte, offset) in lease[..PIECE_BYTES].iter_mut().zip(at..) {
            *byte = byte_at(offset);
        }
        let payload = Payload::Lease(lease.freeze(PIECE_BYTES));
        at = stream.send(payload).await.expect("accepted");
    }
    stream.finish(Status::ok()).await.expect("finished");
}

/// Reads with pauses, so that bytes wait in sockets while their acks are long back; cuts now
/// and then.
async fn read_slowly(pair: &Pair, stream: &Stream, cut_each: u64) -> u64 {
    let (mut at, mut cuts) = (0, 0);
    while let Some(chunk) = stream.receive().await.expect("arrives") {
        assert_eq!(chunk.offset, at, "a gap, or bytes twice");
        for (byte, offset) in chunk.bytes.iter().zip(at..) {
            assert_eq!(*byte, byte_at(offset), "altered at {offset}");
        }
        at += chunk.bytes.len() as u64;
        if at / (1 << 20) % 4 == 0 {
            let pause = pair.server.sleep(Duration::from_millis(1));
            pause.await.expect("it lives");
        }
        if at / cut_each > cuts {
            cuts += 1;
            pair.cut();
        }
    }
    cuts
}

fn recycle(target: &str) {
    let (server, client) = (engine_of(narrow()), engine_of(narrow()));
    let pair = Pair::cuttable_between(server, client, target);
    block_on(async {
        let stream = pair.near.open(StreamOptions::default()).await;
        let stream = stream.expect("opens");
        stream.send(&b""[..]).await.expect("accepted");
        let reading = async {
            let other = pair.far.accept().await.expect("arrives");
            read_slowly(&pair, &other, 5 << 20).await
        };
        let ((), cuts) = pair::both(send_leases(&pair, &stream), reading).await;
        assert!(cuts >= 10, "{cuts} cuts");
        let statistics = pair.client.statistics().await.expect("counted");
        assert!(statistics.resumes >= 5, "{} resumes", statistics.resumes);
        let by_reference = statistics.path_bytes.bytes(BodyPath::SpliceArena);
        let masked = narrow().masked;
        let can_splice = !masked.has(Capability::Splice) && !masked.has(Capability::ArenaSplice);
        assert_eq!(by_reference > LENGTH / 2, can_splice, "{by_reference}");
    });
    pair.end();
}

// S22
#[test]
fn leases_recycled_at_once_never_alter_what_a_slow_reader_gets_over_tcp() {
    recycle("127.0.0.1:0");
}

// S22
#[test]
fn leases_recycled_at_once_never_alter_what_a_slow_reader_gets_over_a_unix_socket() {
    let place = tempfile::tempdir().expect("temporary directory");
    recycle(&format!("unix:{}", place.path().join("socket").display()));
}
