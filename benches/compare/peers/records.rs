//! The engine's small messages: tasks on the shards, one session.

use std::collections::VecDeque;
use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use ringway::{Error, Session, Status, Stream, StreamOptions, block_on};
use ringway_benches::Result;
use ringway_benches::engine_side::{connect_options, listen_options, on_shard, start_with};
use ringway_benches::job::{Outcome, say_ready};

use super::ping::{histogram, outcome};
use super::{Clock, MESSAGE_BYTES, MessageJob};

/// Bytes back as they come.
pub fn serve_bytes(job: &MessageJob) -> Result<Outcome> {
    serve_with(job, |session| async move {
        let stream = session.accept().await?;
        while let Some(piece) = stream.receive().await? {
            stream.send(piece.bytes).await?;
        }
        stream.finish(Status::ok()).await
    })
}

/// Records back as they come: all that are there, then the sends of all.
pub fn serve(job: &MessageJob) -> Result<Outcome> {
    serve_with(job, |session| async move {
        let stream = session.accept().await?;
        let mut records = Vec::new();
        while receive_all(&stream, &mut records).await? > 0 {
            stream.send_records(records.drain(..)).await?;
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
        let mut records = Vec::new();
        let mut room = in_flight;
        loop {
            sent.extend(std::iter::repeat_n(Instant::now(), room));
            let sends = std::iter::repeat_n(message.clone(), room);
            stream.send_records(sends).await?;
            records.clear();
            room = receive_all(&stream, &mut records).await?;
            if room == 0 {
                return Err(Error::StreamEnded);
            }
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

/// Waits for a record, and takes all that are there with it; none at the end.
async fn receive_all(
    stream: &Stream,
    records: &mut Vec<Bytes>,
) -> std::result::Result<usize, Error> {
    let most = usize::MAX;
    stream
        .receive_records(records, most, MESSAGE_BYTES as u64)
        .await
}

fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
}

fn serve_with<F>(
    job: &MessageJob,
    work: impl FnOnce(Session) -> F + Send + 'static,
) -> Result<Outcome>
where
    F: Future<Output = std::result::Result<(), Error>> + 'static,
{
    let engine = start_with(job.wait())?;
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
    let engine = start_with(job.wait())?;
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
