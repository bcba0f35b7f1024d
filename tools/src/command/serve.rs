//! `ringway serve`: a directory for others.

use std::time::Duration;

use ringway::{Engine, Listener, PathChoice, block_on};
use ringway_files::{ServeOptions, Server};
use serde_json::json;

use crate::cli::Serve;
use crate::counters;
use crate::engine_start::{SHUTDOWN_WITHIN, start_for_server};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::metrics_listener::MetricsListener;
use crate::output::Output;

/// How long transfers under way may take to end by themselves after the first signal; then they
/// are ended with their resume points written.
const DRAIN_WITHIN: Duration = Duration::from_secs(1);

/// Serves until a signal comes.
pub(super) fn run(options: &Serve, output: &Output) -> Result<(), Failure> {
    let interrupt = Interrupt::install()?;
    let faults = options.faults.faults();
    let engine = start_for_server(options.cores.clone(), faults.clone())?;
    let outcome = block_on(serve(options, &engine, &interrupt, output));
    let statistics = block_on(engine.statistics()).unwrap_or_default();
    block_on(engine.shutdown(SHUTDOWN_WITHIN));
    outcome?;
    let mut document = json!({ "statistics": counters::all(&statistics) });
    if let Some(faults) = &faults {
        document["faults_injected"] = counters::faults(faults);
    }
    output.finish(&document);
    Ok(())
}

/// What bounds how many clients can be served; that less memory is registered costs only time.
fn warn_of_reductions(engine: &Engine) {
    let reductions = engine.reductions().iter();
    for reduction in reductions.filter(|each| each.what != "registered arena") {
        tracing::warn!("runs smaller than configured: {reduction}");
    }
}

async fn serve(
    options: &Serve,
    engine: &Engine,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<(), Failure> {
    let serve_options = ServeOptions {
        read_only: options.read_only,
        cache: options.cache.cache(PathChoice::Auto),
        ..ServeOptions::new(&options.root)
    };
    let server = Server::new(engine, serve_options).await?;
    let metrics = options
        .metrics
        .map(|address| MetricsListener::start(address, engine.clone()))
        .transpose()?;
    let listener = listen(options, engine).await?;
    warn_of_reductions(engine);
    announce(&listener, metrics.as_ref(), output);
    let served = interrupt
        .unless_requested(async { Ok(server.serve(&listener).await?) })
        .await;
    listener.close();
    let drained = server.drain(DRAIN_WITHIN).await;
    tracing::info!(?drained, "drained");
    match served {
        Err(_) if interrupt.is_requested() => Ok(()),
        other => other,
    }
}

async fn listen(options: &Serve, engine: &Engine) -> Result<Listener, Failure> {
    let listen_options = options.credentials.listen_options(options.anywhere)?;
    let listener = engine.listen(&options.listen, listen_options).await;
    listener.map_err(|error| {
        let mut failure = Failure::from(error);
        if options.credentials.insecure && failure.code == "permission_denied" {
            failure.message += "; without keys only loopback and Unix sockets, or --anywhere";
        }
        failure.during(format_args!("cannot listen on {}", options.listen))
    })
}

/// Tells that clients can connect. With `--json` this is the document: a server has no other
/// outcome to wait for, and whoever started it needs the address now.
fn announce(listener: &Listener, metrics: Option<&MetricsListener>, output: &Output) {
    let address = listener.address().to_string();
    output.line(&format!("listening on {address}"));
    let mut fields = json!({ "address": address });
    if let Some(metrics) = metrics {
        let address = metrics.address().to_string();
        output.remark(&format!("metrics at http://{address}/metrics"));
        fields["metrics"] = address.into();
    }
    output.event("listening", fields.clone());
    if !output.is_stream() {
        fields["event"] = "listening".into();
        output.finish(&fields);
    }
}
