//! `ringway put`: files to a server.

use ringway::{Engine, Statistics, block_on};
use ringway_files::{FilesError, PutOptions, TransferReport};

use crate::cli::Put;
use crate::engine_start::{SHUTDOWN_WITHIN, start_for_client};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::transfer_report::{Direction, tell};
use crate::watch::watched;

/// Sends them; an interrupted run leaves its resume point at the server.
pub(super) fn run(options: &Put, output: &Output) -> Result<(), Failure> {
    let interrupt = Interrupt::install()?;
    let faults = options.reach.faults.faults();
    let engine = start_for_client(&options.reach, faults.clone())?;
    let outcome = send(options, &engine, &interrupt, output);
    let statistics = block_on(engine.statistics()).unwrap_or_else(|_| Statistics::default());
    block_on(engine.shutdown(SHUTDOWN_WITHIN));
    tell(
        Direction::Put,
        outcome?,
        &statistics,
        faults.as_ref(),
        output,
    )
}

fn send(
    options: &Put,
    engine: &Engine,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Result<TransferReport, FilesError>, Failure> {
    let (target, path) = (&options.destination.target, &options.destination.path);
    let client = options
        .reach
        .client(engine, target, options.body_path.choice)?;
    let outcome = watched(output, "put", |observer| {
        let run = client.put(&options.files, path, put_options(options), observer);
        block_on(interrupt.unless_requested(async { Ok(run.await) }))
    })?;
    block_on(interrupt.unless_requested(async {
        client.close().await;
        Ok(())
    }))?;
    Ok(outcome)
}

fn put_options(options: &Put) -> PutOptions {
    PutOptions {
        recursive: options.transfer.recursive,
        overwrite: options.transfer.overwrite,
        restart: options.transfer.restart,
        verify: options.transfer.verify,
        cache: options.cache.cache(options.body_path.choice),
        ..PutOptions::default()
    }
}
