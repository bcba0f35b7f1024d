//! The engine sending registered memory, the same pieces again and again: what `send` from one
//! buffer is for plain sockets.

use std::time::{Duration, Instant};

use ringway::{Lease, Status, StreamOptions, block_on};
use ringway_benches::Result;
use ringway_benches::engine_side::{connect_options, counters, start};
use ringway_benches::job::{Outcome, SendJob};

/// The largest piece of an arena.
const PIECE_BYTES: usize = 1 << 20;

/// Sends them, then waits for the peer to finish its direction: it does when it has taken all.
pub fn send(job: &SendJob) -> Result<Outcome> {
    let engine = start()?;
    let outcome = block_on(async {
        let session = engine.connect(&job.address, connect_options()).await?;
        let stream = session.open(StreamOptions::default()).await?;
        let lease = engine.lease(PIECE_BYTES).await?;
        let mut lease = lease.ok_or("no lease is free")?;
        for (index, byte) in lease.iter_mut().enumerate() {
            *byte = (index % 251) as u8;
        }
        let lease: Lease = lease.freeze(PIECE_BYTES);
        let (begun, mut rest) = (Instant::now(), job.work.bytes());
        let mut end = 0;
        while rest > 0 {
            let length = usize::try_from(rest)
                .unwrap_or(PIECE_BYTES)
                .min(PIECE_BYTES);
            end = stream.send(lease.slice(0..length)).await?;
            rest -= length as u64;
        }
        stream.finish(Status::ok()).await?;
        stream.peer_status().await?;
        let seconds = begun.elapsed().as_secs_f64();
        let counters = counters(&engine.statistics().await?);
        session.close(Status::ok());
        session.ended().await;
        Ok(Outcome {
            seconds,
            bytes: end,
            counters,
            ..Outcome::default()
        })
    });
    block_on(engine.shutdown(Duration::from_secs(5)));
    outcome
}
