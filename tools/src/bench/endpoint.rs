//! The engine of either end, as its options want it.

use ringway::{BodyChecksum, Engine};

use super::options::{Checksum, Own};
use crate::cores;
use crate::engine_start::{Shards, configuration};
use crate::failure::Failure;

/// Starts it, on its core if it has one, with as many shards as `sessions` can use.
pub(super) fn start(own: &Own, sessions: u32) -> Result<Engine, Failure> {
    cores::pin(own.core()?)?;
    let mut config = configuration(Shards::PerCore)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    config.shards = match own.shards {
        Some(shards) => shards.into(),
        None => cores.min(sessions.try_into().unwrap_or(usize::MAX)).max(1),
    };
    config.path = own.body_path.choice;
    config.session.body_checksum = match own.checksum {
        Checksum::Off => BodyChecksum::Off,
        Checksum::Auto => BodyChecksum::Auto,
        Checksum::Crc32c => BodyChecksum::Always,
    };
    Ok(Engine::start(config)?)
}
