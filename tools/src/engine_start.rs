//! The engine as the command line starts it.

use std::time::Duration;

use ringway::{Config, Cores, Engine, Faults};

use crate::cli::Reach;
use crate::failure::Failure;

/// How long an engine may take to end: what hangs longer is left to the kernel.
pub(crate) const SHUTDOWN_WITHIN: Duration = Duration::from_secs(2);

/// How many shards a command wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shards {
    /// A client has one session, which lives on one shard.
    One,
    /// A server has many.
    PerCore,
}

/// Starts it; capabilities named in `RINGWAY_MASK` are done without.
pub(crate) fn start(shards: Shards) -> Result<Engine, Failure> {
    Ok(Engine::start(configuration(shards)?)?)
}

/// Starts one for a server, on these cores, with what is to go wrong.
pub(crate) fn start_for_server(cores: Cores, faults: Option<Faults>) -> Result<Engine, Failure> {
    let config = configuration(Shards::PerCore)?;
    Ok(Engine::start(Config {
        cores,
        faults,
        ..config
    })?)
}

/// Starts one for a client that gives a server up which is out of reach for so long, with what is
/// to go wrong.
pub(crate) fn start_for_client(reach: &Reach, faults: Option<Faults>) -> Result<Engine, Failure> {
    let mut config = configuration(Shards::One)?;
    config.session.resume_window = reach.give_up_after;
    Ok(Engine::start(Config { faults, ..config })?)
}

/// Its configuration, for commands that change more of it.
pub(crate) fn configuration(shards: Shards) -> Result<Config, Failure> {
    let config = Config::from_environment()
        .map_err(|error| Failure::usage(format_args!("RINGWAY_MASK: {error}")))?;
    Ok(Config {
        shards: match shards {
            Shards::One => 1,
            Shards::PerCore => 0,
        },
        ..config
    })
}
