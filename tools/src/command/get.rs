//! `ringway get`: files from a server.

use std::path::PathBuf;

use ringway::{Engine, PathChoice, Statistics, Target, block_on};
use ringway_files::{FilesError, GetOptions, TransferReport};

use crate::cli::Get;
use crate::engine_start::{SHUTDOWN_WITHIN, start_for_client};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::remote::Remote;
use crate::transfer_report::{Direction, tell};
use crate::watch::watched;

/// Fetches them; an interrupted run leaves its resume points beside the targets.
pub(super) fn run(options: &Get, output: &Output) -> Result<(), Failure> {
    let plan = Plan::parse(&options.places)?;
    let interrupt = Interrupt::install()?;
    let faults = options.reach.faults.faults();
    let engine = start_for_client(&options.reach, faults.clone())?;
    let outcome = fetch(&plan, options, &engine, &interrupt, output);
    let statistics = block_on(engine.statistics()).unwrap_or_else(|_| Statistics::default());
    block_on(engine.shutdown(SHUTDOWN_WITHIN));
    tell(
        Direction::Get,
        outcome?,
        &statistics,
        faults.as_ref(),
        output,
    )
}

fn fetch(
    plan: &Plan,
    options: &Get,
    engine: &Engine,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Result<TransferReport, FilesError>, Failure> {
    let client = options
        .reach
        .client(engine, &plan.target, PathChoice::Auto)?;
    let outcome = watched(output, "get", |observer| {
        let run = client.get(
            &plan.sources,
            &plan.destination,
            get_options(options),
            observer,
        );
        block_on(interrupt.unless_requested(async { Ok(run.await) }))
    })?;
    block_on(interrupt.unless_requested(async {
        client.close().await;
        Ok(())
    }))?;
    Ok(outcome)
}

fn get_options(options: &Get) -> GetOptions {
    GetOptions {
        recursive: options.transfer.recursive,
        overwrite: options.transfer.overwrite,
        restart: options.transfer.restart,
        verify: options.transfer.verify,
        cache: options.cache.cache(PathChoice::Auto),
        ..GetOptions::default()
    }
}

/// What to fetch from where to where.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    target: Target,
    sources: Vec<String>,
    destination: PathBuf,
}

impl Plan {
    /// The last place is the destination unless it is an address; without one, it is here.
    fn parse(places: &[String]) -> Result<Self, Failure> {
        let last = places
            .last()
            .filter(|last| places.len() > 1 && last.parse::<Remote>().is_err());
        let (sources, destination) = match last {
            Some(last) => (&places[..places.len() - 1], PathBuf::from(last)),
            None => (places, PathBuf::from(".")),
        };
        let mut remotes = Vec::with_capacity(sources.len());
        for source in sources {
            remotes.push(source.parse::<Remote>().map_err(Failure::usage)?);
        }
        let first = remotes
            .first()
            .ok_or_else(|| Failure::usage("nothing to get was named"))?;
        let target = first.target.clone();
        if let Some(other) = remotes.iter().find(|each| each.target != target) {
            let other = &other.target;
            return Err(Failure::usage(format_args!(
                "{target} and {other} are two servers: use one command for each"
            )));
        }
        Ok(Self {
            target,
            sources: remotes.into_iter().map(|each| each.path).collect(),
            destination,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(places: &[&str]) -> Result<Plan, Failure> {
        let places: Vec<_> = places.iter().map(|&place| place.to_owned()).collect();
        Plan::parse(&places)
    }

    #[test]
    fn the_last_place_is_the_destination_unless_it_is_an_address() {
        let one = plan(&["h:1/a"]).expect("valid");
        assert_eq!(
            (one.sources.len(), one.destination),
            (1, PathBuf::from("."))
        );
        let two = plan(&["h:1/a", "h:1/b"]).expect("valid");
        assert_eq!(
            (two.sources.len(), two.destination),
            (2, PathBuf::from("."))
        );
        let into = plan(&["h:1/a", "h:1/b", "down/"]).expect("valid");
        assert_eq!(
            (into.sources.len(), into.destination),
            (2, PathBuf::from("down/"))
        );
    }

    #[test]
    fn two_servers_or_a_local_source_are_refused() {
        for places in [&["h:1/a", "g:1/b"][..], &["a"], &["a", "b"]] {
            let failure = plan(places).expect_err("refused");
            assert_eq!(failure.exit, crate::exit::Exit::Usage);
        }
    }
}
