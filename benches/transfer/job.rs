//! The four processes of the two pairs.

use clap::Subcommand;
use ringway_benches::job::{ReceiveJob, SendJob, play};
use ringway_benches::{Result, engine_side, plain_side};

/// Which of them this one is.
#[derive(Subcommand)]
#[command(hide = true)]
pub enum Role {
    /// The engine, sending
    EngineSend(SendJob),
    /// The engine, receiving
    EngineReceive(ReceiveJob),
    /// sendfile
    PlainSend(SendJob),
    /// recv, or recv and pwrite
    PlainReceive(ReceiveJob),
}

impl Role {
    /// Does it, and tells.
    pub fn play(&self) -> Result<()> {
        match self {
            Self::EngineSend(job) => play(job.work.core, || engine_side::send(job)),
            Self::EngineReceive(job) => play(job.work.core, || engine_side::receive(job)),
            Self::PlainSend(job) => play(job.work.core, || plain_side::send(job)),
            Self::PlainReceive(job) => play(job.work.core, || plain_side::receive(job)),
        }
    }
}
