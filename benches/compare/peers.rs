//! Every process that takes part: ours, and the peers' as their experts would write them.
//!
//! A pair is two subcommands of this program: the one that listens says where and does its half,
//! the other one goes there. Each tells one outcome (`ringway_benches::job`).

mod folder;
mod frames;
mod lease;
mod loops;
mod ping;
mod records;
mod tokio_copy;
mod uring_copy;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use ringway::WaitMode;
use ringway_benches::job::{ReceiveJob, SendJob, play};
use ringway_benches::{Result, engine_side, plain_side};

use self::loops::End;
use self::ping::Wait;

/// Of one round trip, and of one record.
const MESSAGE_BYTES: usize = 64;

/// Which process this one is.
#[derive(Subcommand)]
#[command(hide = true)]
pub enum Role {
    /// The engine: file ranges
    EngineSend(SendJob),
    /// The engine: dropped, or into a file
    EngineReceive(ReceiveJob),
    /// The engine: leases
    LeaseSend(SendJob),
    /// sendfile
    PlainSend(SendJob),
    /// recv, or recv and pwrite
    PlainReceive(ReceiveJob),
    /// send from one buffer
    MemorySend(SendJob),
    /// read, write
    LoopSend(SendJob),
    /// read, write
    LoopReceive(ReceiveJob),
    /// read, write, and onto the disk
    DiskReceive(ReceiveJob),
    /// splice from the socket into a file
    SpliceReceive(ReceiveJob),
    /// tokio: `copy_buf`
    TokioSend(SendJob),
    /// tokio: `read`
    TokioReceive(ReceiveJob),
    /// tokio-uring: the next read beside the write of the one before
    UringSend(SendJob),
    /// tokio-uring: `read`
    UringReceive(ReceiveJob),
    /// Blocking sockets, 64 bytes there and back
    PingServe(MessageJob),
    /// Blocking sockets, 64 bytes there and back
    PingCall(MessageJob),
    /// Spinning sockets, 64 bytes there and back
    SpinServe(MessageJob),
    /// Spinning sockets, 64 bytes there and back
    SpinCall(MessageJob),
    /// The engine: a stream's bytes there and back
    StreamServe(MessageJob),
    /// The engine: a stream's bytes there and back
    StreamCall(MessageJob),
    /// The engine: records, many under way
    RecordServe(MessageJob),
    /// The engine: records, many under way
    RecordCall(MessageJob),
    /// tokio-util: length-delimited frames, many under way
    FrameServe(MessageJob),
    /// tokio-util: length-delimited frames, many under way
    FrameCall(MessageJob),
    /// The file service
    FilesServe(FolderJob),
    /// The file service: put -r
    FilesPut(FolderJob),
    /// tar -x, sync -f
    TarReceive(FolderJob),
    /// tar -c
    TarSend(FolderJob),
}

/// Round trips.
#[derive(Args, Clone, Debug)]
pub struct MessageJob {
    /// The only core to use
    #[arg(long)]
    core: Option<usize>,
    /// Where the peer listens; the caller's
    #[arg(long, default_value = "")]
    address: String,
    /// How long, s; the caller's
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Messages under way
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    /// The engine's shard spins
    #[arg(long)]
    spin: bool,
    /// The engine's shard peeks for so long before it sleeps
    #[arg(long)]
    peek_us: Option<u64>,
}

impl MessageJob {
    fn wait(&self) -> WaitMode {
        match (self.spin, self.peek_us) {
            (true, _) => WaitMode::Spin {
                idle_max: Duration::MAX,
            },
            (false, Some(us)) => WaitMode::Sleep {
                peek_max: Duration::from_micros(us),
            },
            (false, None) => WaitMode::default(),
        }
    }
}

/// A directory.
#[derive(Args, Clone, Debug)]
pub struct FolderJob {
    /// The only core to use
    #[arg(long)]
    core: Option<usize>,
    /// Where the receiver listens; the sender's
    #[arg(long, default_value = "")]
    address: String,
    /// What is sent, or where it goes
    #[arg(long)]
    directory: PathBuf,
    /// What it holds, bytes
    #[arg(long)]
    bytes: u64,
}

impl Role {
    /// Does it, and tells.
    pub fn play(&self) -> Result<()> {
        match self {
            Self::EngineSend(job) => play(job.work.core, || engine_side::send(job)),
            Self::EngineReceive(job) => play(job.work.core, || engine_side::receive(job)),
            Self::LeaseSend(job) => play(job.work.core, || lease::send(job)),
            Self::PlainSend(job) => play(job.work.core, || plain_side::send(job)),
            Self::PlainReceive(job) => play(job.work.core, || plain_side::receive(job)),
            Self::MemorySend(job) => play(job.work.core, || loops::send_memory(job)),
            Self::LoopSend(job) => play(job.work.core, || loops::send(job)),
            Self::LoopReceive(job) => play(job.work.core, || loops::receive(job, End::Cached)),
            Self::DiskReceive(job) => play(job.work.core, || loops::receive(job, End::OnDisk)),
            Self::SpliceReceive(job) => play(job.work.core, || loops::splice(job)),
            Self::TokioSend(job) => play(job.work.core, || tokio_copy::send(job)),
            Self::TokioReceive(job) => play(job.work.core, || tokio_copy::receive(job)),
            Self::UringSend(job) => play(job.work.core, || uring_copy::send(job)),
            Self::UringReceive(job) => play(job.work.core, || uring_copy::receive(job)),
            Self::PingServe(job) => play(job.core, || ping::serve(Wait::Blocking)),
            Self::PingCall(job) => play(job.core, || ping::call(job, Wait::Blocking)),
            Self::SpinServe(job) => play(job.core, || ping::serve(Wait::Spinning)),
            Self::SpinCall(job) => play(job.core, || ping::call(job, Wait::Spinning)),
            Self::StreamServe(job) => play(job.core, || records::serve_bytes(job)),
            Self::StreamCall(job) => play(job.core, || records::call_bytes(job)),
            Self::RecordServe(job) => play(job.core, || records::serve(job)),
            Self::RecordCall(job) => play(job.core, || records::call(job)),
            Self::FrameServe(job) => play(job.core, frames::serve),
            Self::FrameCall(job) => play(job.core, || frames::call(job)),
            Self::FilesServe(job) => play(job.core, || folder::serve(job)),
            Self::FilesPut(job) => play(job.core, || folder::put(job)),
            Self::TarReceive(job) => play(job.core, || folder::receive_tar(job)),
            Self::TarSend(job) => play(job.core, || folder::send_tar(job)),
        }
    }
}

/// Warms up for a tenth of the time, then counts for all of it.
#[derive(Clone, Copy, Debug)]
struct Clock {
    begun: Instant,
    end: Instant,
}

impl Clock {
    fn start(job: &MessageJob) -> Self {
        let time = Duration::from_secs_f64(job.seconds);
        let begun = Instant::now() + time / 10;
        Self {
            begun,
            end: begun + time,
        }
    }

    fn counts(&self, now: Instant) -> bool {
        now >= self.begun
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.end
    }

    fn seconds(&self, now: Instant) -> f64 {
        (now - self.begun).as_secs_f64()
    }
}
