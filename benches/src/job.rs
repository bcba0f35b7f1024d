//! What one of the two processes of a run is told, and what it tells when it is done.
//!
//! The receiver prints `ready ADDRESS` once it listens. Both print one line of JSON, an
//! [`Outcome`], when they have done their part.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::usage::Usage;
use crate::{Result, cores};

/// Of every data socket: under `bbr` the sender paces itself, and timers are what is measured.
pub const CONGESTION_CONTROL: &str = "cubic";

/// What both sides know.
#[derive(Args, Clone, Debug)]
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
    /// Past the page cache, and onto the disk; the engine's
    #[arg(long)]
    pub direct: bool,
}

/// What a sender is told.
#[derive(Args, Clone, Debug)]
pub struct SendJob {
    /// How much
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
#[derive(Args, Clone, Debug)]
pub struct ReceiveJob {
    /// How much
    #[command(flatten)]
    pub work: Work,
    /// The file to write into; without it, bytes are dropped
    #[arg(long)]
    pub sink: Option<PathBuf>,
}

/// What a process did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// At the sender: from the first byte to the word that the last was taken. At the receiver 0.
    pub seconds: f64,
    /// Bytes sent or received.
    pub bytes: u64,
    /// Messages that were answered, where messages are what is measured.
    #[serde(default)]
    pub messages: u64,
    /// Median of their round trips, µs.
    #[serde(default)]
    pub p50_us: f64,
    /// Of a hundred, one took longer, µs.
    #[serde(default)]
    pub p99_us: f64,
    /// Counters of the engine that are not 0.
    pub counters: Vec<(String, u64)>,
    /// All of the process so far; set on printing.
    pub usage: Usage,
}

impl Work {
    /// Bytes in all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file_bytes * self.laps
    }
}

impl ReceiveJob {
    /// The file to write into, open.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open_sink(&self) -> io::Result<Option<File>> {
        let open = |path| File::options().write(true).open(path);
        self.sink.as_ref().map(open).transpose()
    }
}

/// Does one process's part on its core, and tells.
///
/// # Errors
/// What the part says.
pub fn play(core: Option<usize>, part: impl FnOnce() -> Result<Outcome>) -> Result<()> {
    // Nobody is left behind when the measuring process is killed.
    set_pdeathsig(Signal::SIGKILL)?;
    if let Some(core) = core {
        cores::pin(core)?;
    }
    let mut outcome = part()?;
    outcome.usage = Usage::of_this_process()?;
    say(serde_json::to_string(&outcome)?)?;
    Ok(())
}

/// Tells where this process listens.
///
/// # Errors
/// The measuring process is gone.
pub fn say_ready(address: impl std::fmt::Display) -> io::Result<()> {
    say(format_args!("ready {address}"))
}

/// An error, not a panic, when the measuring process is gone.
fn say(line: impl std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
