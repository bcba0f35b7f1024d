//! The engine's small messages: tasks on the shards, one session.

use std::collections::VecDeque;
use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use ringway::{Error, Session, Status, Stream, StreamOptions, block_on};
use ringway_benches::Result;
use ringway_benches::engine_side::{connect_options, listen_options, on_shard, start};
use ringway_benches::job::{Outcome, say_ready};

use super::ping::{histogram, outcome};
use super::{Clock, MESSAGE_BYTES, MessageJob};

/// Bytes back as they come.
pub fn serve_bytes() -> Result<Outcome> {
    serve_with(|session| async move {
        let stream = session.accept().await?;
        while let Some(piece) = stream.receive().await? {
            stream.send(piece.bytes).await?;
        }
        stream.finish(Status::ok()).await
    })
}

/// Records back as they come: all that are there, then the sends of all.
pub fn serve() -> Result<Outcome> {
    serve_with(|session| async move {
        let stream = session.accept().await?;
        while let Some(records) = receive_all(&stream).await? {
            try_join_all(records.into_iter().map(|record| stream.send_record(record))).await?;
        }
        stream.finish(Status::ok()).await
    })
}

/// One message at a time.
pub fn call_bytes(job: &MessageJob) -> Result<Outcome> {
    let clock = Clock::start(job);
    call_with(job, move |session| async move {
        let stream = session.open(StreamOptions::default()).await?;
        let message = Bytes::from(vec![7; MESSAGE_BYTES]);
        let mut histogram = histogram();
        loop {
            let begun = Instant::now();
            stream.send(message.clone()).await?;
            let mut rest = MESSAGE_BYTES;
            while rest > 0 {
                let piece = stream.receive().await?.ok_or(Error::StreamEnded)?;
                rest -= piece.bytes.len();
            }
            let now = Instant::now();
            if clock.counts(begun) {
                record(&mut histogram, now - begun);
            }
            if clock.is_over(now) {
                stream.finish(Status::ok()).await?;
                stream.peer_status().await?;
                return Ok(outcome(&histogram, clock.seconds(now)));
            }
        }
    })
}

/// Many at a time: as many as come back go out again, together.
pub fn call(job: &MessageJob) -> Result<Outcome> {
    let (clock, in_flight) = (Clock::start(job), job.in_flight);
    call_with(job, move |session| async move {
        let stream = session.open(StreamOptions::default()).await?;
        let message = Bytes::from(vec![7; MESSAGE_BYTES]);
        let mut histogram = histogram();
        let mut sent = VecDeque::new();
        let mut room = in_flight;
        loop {
            sent.extend(std::iter::repeat_n(Instant::now(), room));
            let sends = (0..room).map(|_| stream.send_record(message.clone()));
            try_join_all(sends).await?;
            room = receive_all(&stream).await?.ok_or(Error::StreamEnded)?.len();
            let now = Instant::now();
            for begun in sent.drain(..room) {
                if clock.counts(begun) {
                    record(&mut histogram, now - begun);
                }
            }
            if clock.is_over(now) {
                stream.finish(Status::ok()).await?;
                stream.peer_status().await?;
                return Ok(outcome(&histogram, clock.seconds(now)));
            }
        }
    })
}

/// Waits for a record, and takes all that are there with it; `None` at the end.
async fn receive_all(stream: &Stream) -> std::result::Result<Option<Vec<Bytes>>, Error> {
    const RECORD_BYTES_MAX: u64 = MESSAGE_BYTES as u64;
    let Some(first) = stream.receive_record(RECORD_BYTES_MAX).await? else {
        return Ok(None);
    };
    let mut records = vec![first];
    while let Some(next) = stream.receive_record(RECORD_BYTES_MAX).now_or_never() {
        match next? {
            Some(record) => records.push(record),
            None => break,
        }
    }
    Ok(Some(records))
}

fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
}

fn serve_with<F>(work: impl FnOnce(Session) -> F + Send + 'static) -> Result<Outcome>
where
    F: Future<Output = std::result::Result<(), Error>> + 'static,
{
    let engine = start()?;
    let served = block_on(async {
        let listener = engine.listen("127.0.0.1:0", listen_options()).await?;
        say_ready(listener.address())?;
        let session = listener.accept().await?;
        let session_there = session.clone();
        on_shard(&engine, move || work(session_there))?.recv()??;
        session.ended().await;
        Ok(Outcome::default())
    });
    block_on(engine.shutdown(Duration::from_secs(5)));
    served
}

fn call_with<F>(
    job: &MessageJob,
    work: impl FnOnce(Session) -> F + Send + 'static,
) -> Result<Outcome>
where
    F: Future<Output = std::result::Result<Outcome, Error>> + 'static,
{
    let engine = start()?;
    let called = block_on(async {
        let session = engine.connect(&job.address, connect_options()).await?;
        let session_there = session.clone();
        let outcome = on_shard(&engine, move || work(session_there))?.recv()??;
        session.close(Status::ok());
        session.ended().await;
        Ok(outcome)
    });
    block_on(engine.shutdown(Duration::from_secs(5)));
    called
}
