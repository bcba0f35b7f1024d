//! The rings of an engine's shards: how many there are, and what this machine did not give.

use ringway_io::{Kernel, Reduction};
use ringway_uring::{
    UnavailableReason, Uring, UringConfig, UringUnavailable, locked_memory_remedy, rings_affordable,
};

use crate::config::Config;
use crate::cores::{self, Claim, Placement};
use crate::error::StartError;

/// Shards of one engine.
const SHARDS_MAX: usize = 1024;

/// A ring for each shard, and what runs smaller than configured.
pub(crate) struct Rings {
    pub(crate) kernels: Vec<Uring>,
    pub(crate) reductions: Vec<Reduction>,
    /// The core of each, where each has one.
    pub(crate) claims: Vec<Claim>,
}

/// Starts as many as configured. Where the number is left to the engine, it is as many as there are
/// cores and locked memory gives.
pub(crate) fn start(config: &Config) -> Result<Rings, StartError> {
    config.wait.check()?;
    check_shards(config.shards)?;
    let mut claims = match cores::place(&config.cores, config.shards)? {
        Placement::Any => Vec::new(),
        Placement::Kept(claims) => claims,
    };
    let cores = match claims.len() {
        0 => cores_usable(),
        kept => kept,
    };
    let count = match config.shards {
        0 => cores.min(rings_affordable()).min(SHARDS_MAX),
        count => count,
    };
    let mut kernels = Vec::with_capacity(count);
    while kernels.len() < count {
        let worker_core = claims.get(kernels.len()).map(Claim::core);
        match Uring::start(UringConfig {
            worker_core,
            ..uring_config(config, count)
        }) {
            Ok(kernel) => kernels.push(kernel),
            Err(error) if is_enough(config, &kernels, &error) => break,
            Err(error) => return Err(StartError::Unavailable(error)),
        }
    }
    // A core whose shard did not come about is free again.
    claims.truncate(kernels.len());
    let reductions = reductions(config, cores, &kernels);
    for reduction in &reductions {
        tracing::info!("runs smaller than configured: {reduction}");
    }
    Ok(Rings {
        kernels,
        reductions,
        claims,
    })
}

/// Others of this user may have taken what was there when the rings were counted.
fn is_enough(config: &Config, kernels: &[Uring], error: &UringUnavailable) -> bool {
    let is_memory = matches!(error.reason, UnavailableReason::MemlockTooLow { .. });
    config.shards == 0 && !kernels.is_empty() && is_memory
}

fn check_shards(shards: usize) -> Result<(), StartError> {
    if shards > SHARDS_MAX {
        return Err(StartError::Configuration {
            what: "shards",
            wanted: shards as u64,
            allowed: "1 to 1024",
        });
    }
    Ok(())
}

fn cores_usable() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the machine did not give: shards, and of each ring's limits the smallest that was got.
fn reductions(config: &Config, cores: usize, kernels: &[Uring]) -> Vec<Reduction> {
    let mut all: Vec<Reduction> = Vec::new();
    if config.shards == 0 && kernels.len() < cores.min(SHARDS_MAX) {
        all.push(Reduction {
            what: "shards",
            wanted: cores as u64,
            got: kernels.len() as u64,
            reason: format!(
                "each has a ring, which is locked memory; {}",
                locked_memory_remedy()
            ),
        });
    }
    for reduction in kernels
        .iter()
        .flat_map(|kernel| &kernel.limits().reductions)
    {
        match all.iter_mut().find(|each| each.what == reduction.what) {
            Some(known) if known.got <= reduction.got => {}
            Some(known) => *known = reduction.clone(),
            None => all.push(reduction.clone()),
        }
    }
    all
}

pub(crate) fn uring_config(config: &Config, shards: usize) -> UringConfig {
    UringConfig {
        arena_bytes: config.arena_bytes,
        pipes_max: config.pipes_max,
        helper_threads: config.helper_threads,
        masked: config.masked,
        rings: shards,
        ..UringConfig::default()
    }
}
