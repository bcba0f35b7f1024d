//! The receiving process of a demonstration: an ordinary server in a process of its own, which
//! ends when its stdin does.

use std::io::Read;
use std::thread;

use ringway::{Engine, Keys, ListenOptions, block_on};
use ringway_files::{ServeOptions, Server};
use serde_json::json;

use crate::cli::DemoServe;
use crate::counters;
use crate::engine_start::{SHUTDOWN_WITHIN, Shards, start};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::{cores, resources};

/// Serves until the parent closes our stdin.
pub(crate) fn run(options: &DemoServe, output: &Output) -> Result<(), Failure> {
    cores::pin(options.core)?;
    let interrupt = Interrupt::install()?;
    let engine = start(Shards::One)?;
    block_on(serve(options, &engine, &interrupt, output))?;
    let statistics = block_on(engine.statistics())?;
    block_on(engine.shutdown(SHUTDOWN_WITHIN));
    output.finish(&json!({
        "statistics": counters::all(&statistics),
        "paths": counters::paths_received(&statistics),
        "peak_rss_bytes": resources::peak_resident_bytes(),
    }));
    Ok(())
}

async fn serve(
    options: &DemoServe,
    engine: &Engine,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<(), Failure> {
    let listen_options = ListenOptions::keyed(Keys::load(&options.key_file)?);
    let server = Server::new(engine, ServeOptions::new(&options.root)).await?;
    let listener = engine.listen("127.0.0.1:0", listen_options).await?;
    output.event(
        "listening",
        json!({ "address": listener.address().to_string() }),
    );
    end_with_stdin(interrupt.clone())?;
    let served = interrupt
        .unless_requested(async { Ok(server.serve(&listener).await?) })
        .await;
    match served {
        Err(_) if interrupt.is_requested() => Ok(()),
        other => other,
    }
}

/// Asks for the end when the parent has closed our stdin, or is gone.
pub(crate) fn end_with_stdin(interrupt: Interrupt) -> Result<(), Failure> {
    let watch = move || {
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        interrupt.request();
    };
    thread::Builder::new()
        .name("stdin".into())
        .spawn(watch)
        .map(drop)
        .map_err(|error| Failure::io("start a thread", &error))
}
