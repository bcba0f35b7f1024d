//! Memory that is sent again and lent again as fast as allowed, while copies of an older send are
//! still somewhere: in sockets, pipes, devices, a peer that reads slowly.

use std::time::Duration;

use ringway::{Config, Payload, Status, Stream, StreamOptions};

use super::{Pair, both};

const PIECE_BYTES: usize = 256 << 10;

/// Between two cuts.
const CUT_EACH_BYTES: u64 = 5 << 20;

/// The byte at an offset, different in each use of the same piece of memory.
fn byte_at(offset: u64) -> u8 {
    (offset / 509 + (offset >> 18) * 31) as u8
}

/// An arena of 2 MiB whose leases are lent again the moment they are free.
pub fn narrow() -> Config {
    let mut config = Config::from_environment().expect("known capabilities");
    config.shards = 1;
    config.arena_bytes = 2 << 20;
    config.reset_grace = Duration::ZERO;
    config
}

/// Sends `length` bytes from leases over one stream, to a reader that compares each, with pauses
/// and cuts. Returns the number of cuts.
pub async fn recycle(pair: &Pair, length: u64) -> u64 {
    let stream = pair.near.open(StreamOptions::default()).await;
    let stream = stream.expect("opens");
    stream.send(&b""[..]).await.expect("accepted");
    let reading = async {
        let other = pair.far.accept().await.expect("arrives");
        read_slowly(pair, &other, length).await
    };
    let ((), cuts) = both(send_leases(pair, &stream, length), reading).await;
    cuts
}

async fn send_leases(pair: &Pair, stream: &Stream, length: u64) {
    let mut at = 0;
    while at < length {
        let Some(mut lease) = pair.client.lease(PIECE_BYTES).await.expect("it lives") else {
            let acked = stream.acked_now();
            if acked == at {
                // All was acked since we asked: no other ack comes, and the pieces are on their way.
                let pause = pair.client.sleep(Duration::from_millis(1));
                pause.await.expect("it lives");
            } else {
                // One ack gives a piece back.
                stream.acked(acked + 1).await.expect("acked");
            }
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
async fn read_slowly(pair: &Pair, stream: &Stream, length: u64) -> u64 {
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
        if at / CUT_EACH_BYTES > cuts {
            cuts += 1;
            pair.cut();
        }
    }
    assert_eq!(at, length);
    cuts
}
