//! The options of `ringway bench`; those that mean the same as iperf3's are named as there.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use ringway::Cores;
use serde::{Deserialize, Serialize};

use super::source::{Sink, Source};
use crate::cli::{BodyPathOption, Credentials, seconds};
use crate::size::Size;

const EXAMPLES: &str = "\
Examples:
  ringway bench local                               both ends here, on different cores
  ringway bench server --listen 0.0.0.0:7401        on one machine, and on the other:
  ringway bench run node-b:7401 -t 30 -P 4          … four streams for half a minute
  ringway bench run node-b:7401 -R --lanes 4        … towards here, over four sessions
  ringway bench run node-b:7401 --mode call --rate 20000 --json
  ringway bench report a.json b.json -o report.html

docs/BENCH.md explains every mode, every number, and what they do not tell.";

/// Measure throughput, latency, and what they cost
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(super) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    Server(Server),
    Run(Run),
    Local(Local),
    Report(Report),
}

/// Wait for clients that measure; one test at a time
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// Where to listen: HOST:PORT (port 0: any free one), [IPV6]:PORT or unix:SOCKET
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7401")]
    pub(super) listen: String,
    /// End after one test
    #[arg(short = '1', long)]
    pub(super) one_off: bool,
    /// End when standard input does
    #[arg(long, hide = true)]
    pub(super) end_with_stdin: bool,
    #[command(flatten)]
    pub(super) own: Own,
    /// A file that clients may have sent to them, with --reverse and --source file
    #[arg(long, value_name = "FILE")]
    pub(super) source_file: Option<PathBuf>,
    /// A file that clients may have overwritten, with --sink file; made if there is none
    #[arg(long, value_name = "FILE")]
    pub(super) sink_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
    #[command(flatten)]
    pub(super) credentials: Credentials,
    /// With --insecure: also on addresses that other machines can reach
    #[arg(long, requires = "insecure")]
    pub(super) anywhere: bool,
}

/// What a client may ask of a server.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What a client may ask for")]
pub(crate) struct LimitOptions {
    /// Longest test, --omit included
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = seconds)]
    pub(super) max_time: Duration,
    /// Most sessions of one test
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) max_sessions: u32,
    /// Most streams of one test
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) max_streams: u32,
    /// Most memory for payloads of one test
    #[arg(long, value_name = "BYTES", default_value = "256MiB")]
    pub(super) max_memory: Size,
}

/// What an end decides for itself.
#[derive(Clone, Debug, Args)]
pub(crate) struct Own {
    /// Congestion control of our sockets, in the direction we send [default: the system's]
    #[arg(short = 'C', long, value_name = "NAME", value_enum)]
    pub(super) congestion: Option<Congestion>,
    /// Keep this end on this core (`bench local`: OURS,THEIRS)
    #[arg(
        short = 'A',
        long,
        value_name = "CORE",
        value_delimiter = ',',
        num_args = 1
    )]
    pub(super) affinity: Vec<usize>,
    /// Body checksums: off; auto where both ends touch the bytes anyway; crc32c always. Both ends
    /// have to say the same
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Checksum::Off)]
    pub(super) checksum: Checksum,
    #[command(flatten)]
    pub(super) body_path: BodyPathOption,
    /// Which cores the shards of this end run on, a shard for each: any; own, free ones of those that
    /// this process may use; or a list such as 2,4-7 (`bench local`: see --affinity)
    #[arg(
        long,
        value_name = "CORES",
        default_value = "any",
        conflicts_with = "affinity"
    )]
    pub(super) cores: Cores,
    /// Shards of this end [default: one per session, at most one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) shards: Option<u16>,
    /// Busy-wait instead of sleeping in the kernel
    #[arg(long)]
    pub(super) spin: bool,
}

/// Congestion control by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Congestion {
    /// RFC 9438
    Cubic,
    /// Needs the kernel's module tcp_bbr
    Bbr,
    /// RFC 5681
    Reno,
}

impl Congestion {
    /// As the kernel calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
            Self::Reno => "reno",
        }
    }
}

/// When bodies are followed by a checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Checksum {
    #[default]
    Off,
    Auto,
    Crc32c,
}

/// What is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// As many bytes as go
    #[default]
    Bulk,
    /// Requests that are echoed: in a closed loop, or at a constant --rate
    Call,
    /// Calls on one stream while bulk saturates the session
    Mixed,
    /// New sessions, handshake included
    Connect,
    /// Bulk while connections are cut
    Resume,
}

impl Mode {
    /// The name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Call => "call",
            Self::Mixed => "mixed",
            Self::Connect => "connect",
            Self::Resume => "resume",
        }
    }
}

/// Measure against a server
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Where `ringway bench server` listens
    #[arg(value_name = "ADDRESS")]
    pub(super) address: String,
    #[command(flatten)]
    pub(super) load: Load,
    #[command(flatten)]
    pub(super) own: Own,
    #[command(flatten)]
    pub(super) credentials: Credentials,
    /// How long the first connection may take, retries included
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(super) connect_timeout: Duration,
}

/// Measure with both ends on this machine, each a process on a core of its own
#[derive(Debug, Args)]
pub(crate) struct Local {
    #[command(flatten)]
    pub(super) load: Load,
    #[command(flatten)]
    pub(super) own: Own,
    /// Connect over this address instead of a free port of 127.0.0.1
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(super) listen: String,
}

/// The load, and how it is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct Load {
    /// What is measured
    #[arg(short, long, value_enum, default_value_t = Mode::Bulk)]
    pub(super) mode: Mode,
    /// How long to measure
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "bytes")]
    pub(super) time: Option<Duration>,
    /// Measure so many bytes instead of a time, over all streams together
    #[arg(short = 'n', long, value_name = "BYTES")]
    pub(super) bytes: Option<Size>,
    /// Warm up for so long, before measuring begins
    #[arg(short = 'O', long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub(super) omit: Duration,
    /// Streams (callers in call and connect), spread over the lanes [default: one per lane]
    #[arg(short = 'P', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) parallel: Option<u32>,
    /// Sessions, each on a shard of its own while there are cores
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) lanes: u32,
    /// Bytes of one payload [default: 1MiB, of calls 64]
    #[arg(short = 'l', long, value_name = "BYTES")]
    pub(super) length: Option<Size>,
    /// The server sends
    #[arg(short = 'R', long, conflicts_with = "bidir")]
    pub(super) reverse: bool,
    /// Both send
    #[arg(long)]
    pub(super) bidir: bool,
    /// What bodies are made of: memory (the heap), lease (registered memory), file:PATH, or file
    /// for the server's own
    #[arg(long, value_name = "SOURCE", default_value = "memory")]
    pub(super) source: Source,
    /// Where they go: discard, file:PATH (overwritten), or file for the server's own
    #[arg(long, value_name = "SINK", default_value = "discard")]
    pub(super) sink: Sink,
    /// Calls (connect: sessions) per second in all, at constant distances; latency then counts from
    /// the moment a call was due [default: a closed loop]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// Calls under way on each stream [default: 1, with --rate 1024]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) in_flight: Option<u32>,
    /// Mode resume: cuts per second, of every lane [default: 1]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(super) cuts: Option<f64>,
    /// Tell how it goes every so often; 0 for never
    #[arg(short = 'i', long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(super) interval: Duration,
    /// A name for this measurement, for its report
    #[arg(short = 'T', long, value_name = "TEXT")]
    pub(super) title: Option<String>,
    /// Write the latencies to this file, as HdrHistogram's interval log (V2)
    #[arg(long, value_name = "FILE")]
    pub(super) latency_log: Option<PathBuf>,
}

/// Make one HTML page of results: plots and a comparison, without network
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// What `bench run` or `bench local` printed with --json or --json-stream
    #[arg(value_name = "FILE", required = true)]
    pub(super) files: Vec<PathBuf>,
    /// The page to write
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    pub(super) output: PathBuf,
}

/// A positive number per second.
fn rate(text: &str) -> Result<f64, String> {
    let number: Result<f64, _> = text.parse();
    let is_sound = |number: &f64| number.is_finite() && *number > 0.0 && *number <= 1e9;
    number
        .ok()
        .filter(is_sound)
        .ok_or_else(|| format!("`{text}` is no rate: write a number above 0, up to 1e9"))
}
