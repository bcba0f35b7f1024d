//! One session with two streams, used by tasks on the shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ringway::{Config, Engine, Session, Status, Stream, StreamOptions, block_on};
use ringway_benches::Result;
use ringway_benches::engine_side::{connect_options, counters, discard, listen_options, on_shard};
use ringway_benches::job::{Outcome, say_ready};

use crate::job::{ReceiveJob, SendJob};
use crate::pings::{MESSAGE_BYTES, MESSAGE_BYTES_MAX, Pings};

/// One shard: one core is what each side has.
fn start(bulk_connections: Option<u8>) -> Result<Engine> {
    let mut config = Config {
        shards: 1,
        ..Config::from_environment()?
    };
    if let Some(count) = bulk_connections {
        config.session.bulk_connections = count;
    }
    Ok(Engine::start(config)?)
}

/// Sends the file round and round, and asks until all of it was taken.
pub fn send(job: &SendJob) -> Result<Outcome> {
    let engine = start(job.place.bulk_connections)?;
    let session = block_on(engine.connect(&job.address, connect_options()))?;
    let is_over = Arc::new(AtomicBool::new(false));
    // Its stream is opened first, and that is how the other side knows it.
    let asking = match job.place.pings {
        true => {
            let stream = block_on(session.open(StreamOptions::default()))?;
            block_on(ask(&stream))?;
            let over = Arc::clone(&is_over);
            Some(on_shard(&engine, move || ask_until(stream, over))?)
        }
        false => None,
    };
    let outcome = block_on(send_until(&engine, &session, job));
    is_over.store(true, Ordering::Relaxed);
    let mut outcome = outcome?;
    if let Some(asking) = asking {
        outcome = asking.recv()??.tell(outcome);
    }
    outcome.counters = counters(&block_on(engine.statistics())?);
    session.close(Status::ok());
    block_on(session.ended());
    block_on(engine.shutdown(Duration::from_secs(5)));
    Ok(outcome)
}

async fn send_until(engine: &Engine, session: &Session, job: &SendJob) -> Result<Outcome> {
    let source = engine.adopt_file(std::fs::File::open(&job.source)?).await?;
    let stream = session.open(StreamOptions::default()).await?;
    let (start, deadline) = (Instant::now(), job.deadline());
    let mut end = 0;
    while Instant::now() < deadline {
        let before = end;
        end = stream.send(source.range(0, job.file_bytes)).await?;
        // One lap is on its way while another one waits.
        stream.acked(before).await?;
    }
    stream.finish(Status::ok()).await?;
    stream.peer_status().await?;
    Ok(Outcome {
        seconds: start.elapsed().as_secs_f64(),
        bytes: end,
        ..Outcome::default()
    })
}

async fn ask(stream: &Stream) -> std::result::Result<(), ringway::Error> {
    stream.send_record(vec![7; MESSAGE_BYTES]).await?;
    stream.receive_record(MESSAGE_BYTES_MAX).await?;
    Ok(())
}

async fn ask_until(
    stream: Stream,
    is_over: Arc<AtomicBool>,
) -> std::result::Result<Pings, ringway::Error> {
    let mut pings = Pings::start();
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        ask(&stream).await?;
        pings.note(begun);
    }
    stream.finish(Status::ok()).await?;
    Ok(pings)
}

/// Takes and drops one stream, echoes on the other.
pub fn receive(job: &ReceiveJob) -> Result<Outcome> {
    let engine = start(job.bulk_connections)?;
    let outcome = block_on(async {
        let listener = engine.listen("127.0.0.1:0", listen_options()).await?;
        say_ready(listener.address())?;
        let session = listener.accept().await?;
        if job.pings {
            let stream = session.accept().await?;
            on_shard(&engine, move || echo(stream))?;
        }
        let stream = session.accept().await?;
        let bytes = on_shard(&engine, move || discard(stream))?.recv()??;
        session.ended().await;
        Ok(Outcome {
            bytes,
            counters: counters(&engine.statistics().await?),
            ..Outcome::default()
        })
    });
    block_on(engine.shutdown(Duration::from_secs(5)));
    outcome
}

async fn echo(stream: Stream) -> std::result::Result<(), ringway::Error> {
    while let Some(record) = stream.receive_record(MESSAGE_BYTES_MAX).await? {
        stream.send_record(record).await?;
    }
    stream.finish(Status::ok()).await
}
