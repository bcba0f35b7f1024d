//! The engine of either end, as its options want it.

use std::time::Duration;

use ringway::probe::free_cores;
use ringway::{BodyChecksum, Cores, Engine, WaitMode};

use super::options::{Checksum, Own};
use crate::cores;
use crate::engine_start::{Shards, configuration};
use crate::failure::Failure;

/// A server that nobody uses for so long lets its core go.
const SPIN_IDLE_MAX: Duration = Duration::from_secs(1);

/// Starts it, on its core if it has one, with as many shards as `sessions` can use.
pub(super) fn start(own: &Own, sessions: u32) -> Result<Engine, Failure> {
    let core = own.core()?;
    cores::pin(core)?;
    let mut config = configuration(Shards::PerCore)?;
    config.cores = core.map_or_else(|| own.cores.clone(), |core| Cores::These(vec![core]));
    config.shards = match own.shards {
        Some(shards) => shards.into(),
        None => usable(&config.cores)?
            .min(sessions.try_into().unwrap_or(usize::MAX))
            .max(1),
    };
    config.path = own.body_path.choice;
    config.session.body_checksum = match own.checksum {
        Checksum::Off => BodyChecksum::Off,
        Checksum::Auto => BodyChecksum::Auto,
        Checksum::Crc32c => BodyChecksum::Always,
    };
    if own.spin {
        config.wait = WaitMode::Spin {
            idle_max: SPIN_IDLE_MAX,
        };
    }
    Ok(Engine::start(config)?)
}

/// Cores that shards could have.
fn usable(cores: &Cores) -> Result<usize, Failure> {
    Ok(match cores {
        Cores::Any => std::thread::available_parallelism().map_or(1, usize::from),
        Cores::Own => free_cores()?.len(),
        Cores::These(list) => list.len(),
    })
}
