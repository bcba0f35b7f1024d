//! The four processes of the two sides.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use ringway_benches::Result;
use ringway_benches::job::play;

use crate::{ours, plain};

/// Which of them this one is.
#[derive(Subcommand)]
#[command(hide = true)]
pub enum Role {
    /// The engine that sends and asks
    EngineSend(SendJob),
    /// The engine that takes and echoes
    EngineReceive(ReceiveJob),
    /// sendfile, and write and read
    PlainSend(SendJob),
    /// recv, and read and write
    PlainReceive(ReceiveJob),
}

/// What a sender is told.
#[derive(Args, Clone, Debug)]
pub struct SendJob {
    #[command(flatten)]
    pub place: ReceiveJob,
    /// The file to send
    #[arg(long)]
    pub source: PathBuf,
    /// Bytes of the file
    #[arg(long)]
    pub file_bytes: u64,
    /// How long to send
    #[arg(long)]
    pub seconds: f64,
    /// Where the receiver listens
    #[arg(long)]
    pub address: String,
}

/// What a receiver is told.
#[derive(Args, Clone, Debug)]
pub struct ReceiveJob {
    /// The only core to use
    #[arg(long)]
    pub core: Option<usize>,
    /// Also messages
    #[arg(long)]
    pub pings: bool,
    /// Bulk connections of the session
    #[arg(long)]
    pub bulk_connections: Option<u8>,
}

impl SendJob {
    /// When to begin no further lap.
    pub fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs_f64(self.seconds)
    }
}

impl Role {
    /// Does it, and tells.
    pub fn play(&self) -> Result<()> {
        match self {
            Self::EngineSend(job) => play(job.place.core, || ours::send(job)),
            Self::EngineReceive(job) => play(job.core, || ours::receive(job)),
            Self::PlainSend(job) => play(job.place.core, || plain::send(job)),
            Self::PlainReceive(job) => play(job.core, || plain::receive(job)),
        }
    }
}
