//! The engine of either end, as its options want it.

use std::time::Duration;

use ringway::{BodyChecksum, Engine, WaitMode};

use super::options::{Checksum, Own};
use crate::cores;
use crate::engine_start::{Shards, configuration};
use crate::failure::Failure;

/// A server that nobody uses for so long lets its core go.
const SPIN_IDLE_MAX: Duration = Duration::from_secs(1);

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
    if own.spin {
        config.wait = WaitMode::Spin {
            idle_max: SPIN_IDLE_MAX,
        };
    }
    Ok(Engine::start(config)?)
}
