//! The engine, used as an application would: one session, one stream, file ranges.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use ringway::{
    BodyPath, Config, ConnectOptions, Engine, File, ListenOptions, Session, Statistics, Status,
    Stream, StreamOptions, WaitMode, block_on,
};

use crate::Result;
use crate::job::{CONGESTION_CONTROL, Outcome, ReceiveJob, SendJob, Work, say_ready};

/// One shard: one core is what each side has.
///
/// # Errors
/// What this machine lacks.
pub fn start() -> Result<Engine> {
    start_with(WaitMode::default())
}

/// The same, with an idle shard that waits like this.
///
/// # Errors
/// What this machine lacks.
pub fn start_with(wait: WaitMode) -> Result<Engine> {
    let config = Config {
        shards: 1,
        wait,
        ..Config::from_environment()?
    };
    Ok(Engine::start(config)?)
}

/// How every side connects.
#[must_use]
pub fn connect_options() -> ConnectOptions {
    ConnectOptions {
        congestion_control: Some(CONGESTION_CONTROL),
        ..ConnectOptions::insecure()
    }
}

/// How every side listens.
#[must_use]
pub fn listen_options() -> ListenOptions {
    ListenOptions {
        congestion_control: Some(CONGESTION_CONTROL),
        ..ListenOptions::insecure()
    }
}

/// Sends the file, then waits for the peer to finish its direction: it does when it has taken all.
///
/// # Errors
/// What the engine says.
pub fn send(job: &SendJob) -> Result<Outcome> {
    let engine = start()?;
    let outcome = block_on(async {
        let file = std::fs::File::open(&job.source)?;
        let source = taken(&engine, file, &job.work).await?;
        let session = engine.connect(&job.address, connect_options()).await?;
        let stream = session.open(StreamOptions::default()).await?;
        let start = Instant::now();
        let mut end = 0;
        for _ in 0..job.work.laps {
            end = stream.send(source.range(0, job.work.file_bytes)).await?;
        }
        stream.finish(Status::ok()).await?;
        stream.peer_status().await?;
        let seconds = start.elapsed().as_secs_f64();
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

/// Receives all of it and waits for the end of the session.
///
/// # Errors
/// What the engine says.
pub fn receive(job: &ReceiveJob) -> Result<Outcome> {
    let engine = start()?;
    let outcome = block_on(async {
        let sink = match job.open_sink()? {
            Some(file) => Some(taken(&engine, file, &job.work).await?),
            None => None,
        };
        let listener = engine.listen("127.0.0.1:0", listen_options()).await?;
        say_ready(listener.address())?;
        let session = listener.accept().await?;
        let bytes = match &sink {
            Some(file) => into_file(&session, file, job).await,
            None => {
                let taking = session.clone();
                Ok(on_shard(&engine, move || discard_first(taking))?.recv()??)
            }
        }?;
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

async fn into_file(session: &Session, file: &File, job: &ReceiveJob) -> Result<u64> {
    let stream = session.accept().await?;
    let mut written = 0;
    for _ in 0..job.work.laps {
        written += stream
            .receive_into_file(file, 0, job.work.file_bytes)
            .await?;
    }
    if job.work.direct {
        file.sync(true).await?;
    }
    stream.finish(Status::ok()).await?;
    Ok(written)
}

/// The file as the engine uses it.
async fn taken(engine: &Engine, file: std::fs::File, work: &Work) -> Result<File> {
    let file = engine.adopt_file(file).await?;
    if work.direct {
        return Ok(file.direct().await?);
    }
    Ok(file)
}

/// What a task on a shard will have come to.
pub type Answer<T> = mpsc::Receiver<std::result::Result<T, ringway::Error>>;

/// Runs it as a task on the shard, where asking and taking cost no change of threads.
///
/// # Errors
/// What the engine says.
pub fn on_shard<T, F>(
    engine: &Engine,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<Answer<T>>
where
    T: Send + 'static,
    F: Future<Output = std::result::Result<T, ringway::Error>> + 'static,
{
    let (told, answer) = mpsc::channel();
    engine.spawn_on(0, move || async move {
        // Whoever started it waits for exactly this.
        let _ = told.send(work().await);
    })?;
    Ok(answer)
}

async fn discard_first(session: Session) -> std::result::Result<u64, ringway::Error> {
    discard(session.accept().await?).await
}

/// Takes the engine's own pieces, which are as hot as one buffer: it reuses them at once. A buffer
/// of ours (`Stream::receive_into`) costs more here: an allocator puts it 16 bytes behind a page,
/// and some processors copy from a page to just behind one half as fast again (docs/BENCHMARKS.md).
///
/// # Errors
/// What the engine says.
pub async fn discard(stream: Stream) -> std::result::Result<u64, ringway::Error> {
    let mut taken = 0;
    while let Some(piece) = stream.receive().await? {
        taken += piece.bytes.len() as u64;
    }
    stream.finish(Status::ok()).await?;
    Ok(taken)
}

/// Every counter that is not 0, and the bytes by path.
#[must_use]
pub fn counters(statistics: &Statistics) -> Vec<(String, u64)> {
    let paths = BodyPath::ALL
        .iter()
        .map(|&path| (path.name(), statistics.path_bytes.bytes(path)));
    paths
        .chain(statistics.counters())
        .filter(|&(_, value)| value > 0)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
