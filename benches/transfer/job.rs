//! What one of the two processes of a run is told, and what it tells when it is done.
//!
//! The receiver prints `ready ADDRESS` once it listens. Both print one line of JSON, an
//! [`Outcome`], when they have done their part.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use ringway_benches::cores;
use ringway_benches::usage::Usage;
use serde::{Deserialize, Serialize};

use crate::{Result, engine_side, plain_side};

/// Of every data socket: under `bbr` the sender paces itself, and timers are what is measured.
pub const CONGESTION_CONTROL: &str = "cubic";

/// Which of the four processes this one is.
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

/// What both sides know.
#[derive(Args)]
pub struct Work {
    /// The only core to use
    #[arg(long)]
    pub core: Option<usize>,
    /// Bytes of the file
    #[arg(long)]
    pub file_bytes: u64,
    /// How often it is sent
    #[arg(long)]
    pub laps: u64,
}

/// What a sender is told.
#[derive(Args)]
pub struct SendJob {
    #[command(flatten)]
    pub work: Work,
    /// The file to send
    #[arg(long)]
    pub source: PathBuf,
    /// Where the receiver listens
    #[arg(long)]
    pub address: String,
}

/// What a receiver is told.
#[derive(Args)]
pub struct ReceiveJob {
    #[command(flatten)]
    pub work: Work,
    /// The file to write into; without it, bytes are dropped
    #[arg(long)]
    pub sink: Option<PathBuf>,
}

/// What a process did.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// At the sender: from the first byte to the word that the last was taken. At the receiver 0.
    pub seconds: f64,
    /// Bytes sent or received.
    pub bytes: u64,
    /// Counters of the engine that are not 0.
    pub counters: Vec<(String, u64)>,
    /// All of the process so far; set on printing.
    pub usage: Usage,
}

impl Work {
    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.file_bytes * self.laps
    }
}

impl ReceiveJob {
    /// The file to write into, open.
    pub fn open_sink(&self) -> io::Result<Option<File>> {
        let open = |path| File::options().write(true).open(path);
        self.sink.as_ref().map(open).transpose()
    }
}

impl Role {
    /// Does it, and tells.
    pub fn play(&self) -> Result<()> {
        // Nobody is left behind when the measuring process is killed.
        set_pdeathsig(Signal::SIGKILL)?;
        if let Some(core) = self.work().core {
            cores::pin(core)?;
        }
        let mut outcome = match self {
            Self::EngineSend(job) => engine_side::send(job),
            Self::EngineReceive(job) => engine_side::receive(job),
            Self::PlainSend(job) => plain_side::send(job),
            Self::PlainReceive(job) => plain_side::receive(job),
        }?;
        outcome.usage = Usage::of_this_process()?;
        say(serde_json::to_string(&outcome)?)?;
        Ok(())
    }

    fn work(&self) -> &Work {
        match self {
            Self::EngineSend(job) | Self::PlainSend(job) => &job.work,
            Self::EngineReceive(job) | Self::PlainReceive(job) => &job.work,
        }
    }
}

/// Tells where this process listens.
pub fn say_ready(address: impl std::fmt::Display) -> io::Result<()> {
    say(format_args!("ready {address}"))
}

/// An error, not a panic, when the measuring process is gone.
fn say(line: impl std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
