//! The Rust sides: the same roles as `c/sides.c`, as tasks on the shard, where the application and
//! the engine share a thread as they do with `RINGWAY_LOOP_CALLER`; and with a thread of the
//! application's own, as with `RINGWAY_LOOP_THREADS`.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sys::signal::{Signal, raise};
use ringway::{Engine, Status, Stream, StreamOptions, block_on, spawn_local};
use ringway_benches::Result;
use ringway_benches::engine_side::{connect_options, listen_options, start};
use ringway_benches::job::say_ready;

use crate::Mode;

const PIECE_BYTES: usize = 256 << 10;
const BLOCK: &[u8] = &[0; 4096];

type Answer<T> = Pin<Box<dyn Future<Output = Result<T>>>>;

/// Runs `work` where the mode says.
fn run<T: Send + 'static>(
    engine: &Engine,
    mode: Mode,
    work: impl FnOnce() -> Answer<T> + Send + 'static,
) -> Result<T> {
    match mode {
        Mode::Threads => block_on(work()),
        Mode::Caller => {
            let (told, answer) = mpsc::channel();
            engine.spawn_on(0, move || async move {
                // The other side waits for exactly this.
                let _ = told.send(work().await);
            })?;
            answer.recv()?
        }
    }
}

/// What `steps` counts lies between two of these; otherwise the signal is ignored (`programs`).
fn mark() -> Result<()> {
    Ok(raise(Signal::SIGUSR1)?)
}

/// # Errors
/// What the engine says.
pub fn bulk_receive(mode: Mode) -> Result<()> {
    let engine = start()?;
    let listener = block_on(engine.listen("127.0.0.1:0", listen_options()))?;
    say_ready(listener.address())?;
    run(&engine, mode, move || {
        Box::pin(async move {
            let session = listener.accept().await?;
            let stream = session.accept().await?;
            mark()?;
            while stream.receive().await?.is_some() {}
            mark()?;
            stream.finish(Status::ok()).await?;
            session.ended().await;
            Ok(())
        })
    })?;
    block_on(engine.shutdown(Duration::from_secs(1)));
    Ok(())
}

/// Answers with the seconds from the first byte to the last taken.
///
/// # Errors
/// What the engine says.
pub fn bulk_send(mode: Mode, address: String, mib: u64) -> Result<f64> {
    let engine = start()?;
    let connector = engine.clone();
    let seconds = run(&engine, mode, move || {
        Box::pin(async move {
            let session = connector.connect(&address, connect_options()).await?;
            let stream = session.open(StreamOptions::default()).await?;
            let piece = vec![7; PIECE_BYTES];
            mark()?;
            let begun = Instant::now();
            for _ in 0..(mib << 20) / PIECE_BYTES as u64 {
                stream.send(Bytes::copy_from_slice(&piece)).await?;
            }
            stream.finish(Status::ok()).await?;
            while stream.receive().await?.is_some() {}
            mark()?;
            let seconds = begun.elapsed().as_secs_f64();
            session.close(Status::ok());
            Ok(seconds)
        })
    });
    block_on(engine.shutdown(Duration::from_secs(1)));
    seconds
}

/// Each record asks for a block.
///
/// # Errors
/// What the engine says.
pub fn node_serve() -> Result<()> {
    let engine = start()?;
    let listener = block_on(engine.listen("127.0.0.1:0", listen_options()))?;
    say_ready(listener.address())?;
    run(&engine, Mode::Caller, move || {
        Box::pin(async move {
            loop {
                let session = listener.accept().await?;
                spawn_local(async move {
                    if let Ok(stream) = session.accept().await {
                        // It ends with its client.
                        let _ = serve_blocks(&stream).await;
                    }
                });
            }
        })
    })
}

async fn serve_blocks(stream: &Stream) -> Result<()> {
    while stream.receive().await?.is_some() {
        stream.send_record(Bytes::from_static(BLOCK)).await?;
    }
    Ok(())
}

/// So many sessions ask for blocks, one after the other each; answers with blocks per second.
///
/// # Errors
/// What the engine says.
pub fn node_load(address: &str, sessions: u32, seconds: f64) -> Result<f64> {
    let engine = start()?;
    let blocks = Arc::new(AtomicU64::new(0));
    let asking = Arc::new(AtomicU64::new(0));
    for _ in 0..sessions {
        let (connector, address) = (engine.clone(), address.to_owned());
        let (blocks, asking) = (Arc::clone(&blocks), Arc::clone(&asking));
        engine.spawn_on(0, move || async move {
            let Ok(session) = connector.connect(&address, connect_options()).await else {
                return;
            };
            if let Ok(stream) = session.open(StreamOptions::default()).await {
                asking.fetch_add(1, Ordering::Relaxed);
                let _ = ask_for_blocks(&stream, &blocks).await;
            }
        })?;
    }
    let patience = Instant::now() + Duration::from_secs(30);
    while asking.load(Ordering::Relaxed) < u64::from(sessions) {
        if Instant::now() > patience {
            return Err("not all sessions are there after 30 s".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    let (before, begun) = (blocks.load(Ordering::Relaxed), Instant::now());
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let moved = blocks.load(Ordering::Relaxed) - before;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(moved as f64 / begun.elapsed().as_secs_f64())
}

async fn ask_for_blocks(stream: &Stream, blocks: &AtomicU64) -> Result<()> {
    loop {
        stream.send_record(Bytes::from_static(&[1; 16])).await?;
        stream.receive_record(BLOCK.len() as u64).await?;
        blocks.fetch_add(1, Ordering::Relaxed);
    }
}
