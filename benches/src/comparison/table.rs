//! What is compared with what, and what is to be reached.

use clap::ValueEnum;
use serde::Serialize;

/// A kind of work: all its sides take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Hot file into nothing
    HotDiscard,
    /// Memory into nothing
    LeaseDiscard,
    /// Hot file into an existing file
    HotFile,
    /// Cold file into a file, direct I/O at both ends
    ColdFile,
    /// Ten thousand small files, synced
    SmallFiles,
    /// 64 bytes there and back, blocking waits
    PingPong,
    /// 64 bytes there and back, both ends spin
    SpinPingPong,
    /// 64-byte records, 64 of them under way
    Echoes,
}

/// Who does it. The first of a work is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The engine
    Ours,
    /// Plain sendfile -> recv
    Sendfile,
    /// Plain read/write loops
    ReadWrite,
    /// Plain sendfile -> recv + pwrite
    RecvPwrite,
    /// Plain sendfile -> splice loop into the file
    SpliceLoop,
    /// Plain send -> recv
    Send,
    /// nginx (sendfile) fetched by curl
    Nginx,
    /// iperf3 -Z from the same file
    IperfFile,
    /// iperf3 from memory
    Iperf,
    /// tokio `copy_buf` -> read
    Tokio,
    /// tokio-uring, reads beside writes
    TokioUring,
    /// tar through a plain pair, sync -f
    Tar,
    /// Blocking sockets
    BlockingPingPong,
    /// Spinning sockets
    SpinningPingPong,
    /// Buffered read/write loops
    Buffered,
    /// tokio-util's length-delimited frames, batched
    TokioFrames,
}

/// What is compared. Ratios are ours by theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// GB/s.
    Throughput,
    /// Both sides, s/GB.
    Cpu,
    /// The sending side, s/GB.
    SenderCpu,
    /// Median round trip, µs.
    P50,
    /// Messages per second.
    Rate,
    /// Both sides, µs.
    CpuPerMessage,
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// The ratio, or more.
    AtLeast(f64),
    /// The ratio, or less.
    AtMost(f64),
    /// Nothing was promised; shown all the same.
    None,
}

/// One line of the table.
pub type Goal = (Side, Metric, Target);

impl Work {
    /// In the order they are measured.
    pub const ALL: [Self; 8] = [
        Self::HotDiscard,
        Self::LeaseDiscard,
        Self::HotFile,
        Self::ColdFile,
        Self::SmallFiles,
        Self::PingPong,
        Self::SpinPingPong,
        Self::Echoes,
    ];

    /// For people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::HotDiscard => "hot file -> discard, one session",
            Self::LeaseDiscard => "lease from memory -> discard",
            Self::HotFile => "hot file -> existing file",
            Self::ColdFile => "cold file -> file, O_DIRECT both sides",
            Self::SmallFiles => "files of 16 KiB, put -r, synced in batches",
            Self::PingPong => "stream echo 64 B, tasks on shards, blocking wait",
            Self::SpinPingPong => "stream echo 64 B, spin mode on both",
            Self::Echoes => "64 B echoes, 64 in flight, one session",
        }
    }

    /// Against whom, in what, with what target.
    #[must_use]
    pub fn goals(self) -> &'static [Goal] {
        use Metric::{Cpu, CpuPerMessage, P50, Rate, SenderCpu, Throughput};
        use Target::{AtLeast, AtMost, None};
        match self {
            Self::HotDiscard => &[
                (Side::Sendfile, Throughput, AtLeast(0.95)),
                (Side::Sendfile, Cpu, AtMost(1.10)),
                (Side::Nginx, Throughput, AtLeast(1.4)),
                (Side::Nginx, Cpu, None),
                (Side::IperfFile, Throughput, AtLeast(0.95)),
                (Side::IperfFile, Cpu, None),
                (Side::ReadWrite, Throughput, None),
                (Side::ReadWrite, Cpu, None),
                (Side::Tokio, Throughput, None),
                (Side::Tokio, Cpu, None),
                (Side::TokioUring, Throughput, None),
                (Side::TokioUring, Cpu, None),
            ],
            Self::LeaseDiscard => &[
                (Side::Send, SenderCpu, AtMost(0.5)),
                (Side::Send, Throughput, AtLeast(1.0)),
                (Side::Iperf, Throughput, None),
                (Side::Iperf, Cpu, None),
            ],
            Self::HotFile => &[
                (Side::RecvPwrite, Throughput, AtLeast(1.4)),
                (Side::RecvPwrite, Cpu, None),
                (Side::SpliceLoop, Throughput, None),
                (Side::SpliceLoop, Cpu, None),
                (Side::ReadWrite, Throughput, None),
                (Side::ReadWrite, Cpu, None),
            ],
            Self::ColdFile => &[
                (Side::Buffered, Cpu, AtMost(0.5)),
                (Side::Buffered, Throughput, AtLeast(1.0)),
            ],
            Self::SmallFiles => &[
                (Side::Tar, Throughput, AtLeast(1.0)),
                (Side::Tar, Cpu, None),
            ],
            Self::PingPong => &[(Side::BlockingPingPong, P50, AtMost(1.35))],
            Self::SpinPingPong => &[(Side::SpinningPingPong, P50, AtMost(1.35))],
            Self::Echoes => &[
                (Side::TokioFrames, Rate, AtLeast(1.5)),
                (Side::TokioFrames, CpuPerMessage, AtMost(0.7)),
            ],
        }
    }

    /// Ours, then everybody it is compared with.
    #[must_use]
    pub fn sides(self) -> Vec<Side> {
        let mut sides = vec![Side::Ours];
        for (side, ..) in self.goals() {
            if !sides.contains(side) {
                sides.push(*side);
            }
        }
        sides
    }
}

impl Side {
    /// For people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Ours => "ringway",
            Self::Sendfile => "plain sendfile -> recv",
            Self::ReadWrite => "plain read/write loops",
            Self::RecvPwrite => "plain sendfile -> recv + pwrite",
            Self::SpliceLoop => "plain sendfile -> splice loop into the file",
            Self::Send => "plain send -> recv",
            Self::Nginx => "nginx sendfile + curl",
            Self::IperfFile => "iperf3 -Z -F, the same file",
            Self::Iperf => "iperf3",
            Self::Tokio => "tokio copy_buf -> read",
            Self::TokioUring => "tokio-uring read_at + write_all -> read",
            Self::Tar => "tar through a plain TCP pair, sync -f",
            Self::BlockingPingPong => "bare blocking ping-pong",
            Self::SpinningPingPong => "bare spinning ping-pong",
            Self::Buffered => "buffered read/write loops, fdatasync",
            Self::TokioFrames => "tokio LengthDelimited, batched",
        }
    }
}

impl Metric {
    /// With its unit.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Throughput => "throughput, GB/s",
            Self::Cpu => "CPU of both sides, s/GB",
            Self::SenderCpu => "sender CPU, s/GB",
            Self::P50 => "p50, µs",
            Self::Rate => "rate, /s",
            Self::CpuPerMessage => "CPU per message, µs",
        }
    }
}

impl Target {
    /// Whether a ratio reaches it; nothing promised, nothing missed.
    #[must_use]
    pub fn is_met(self, ratio: f64) -> Option<bool> {
        match self {
            Self::AtLeast(least) => Some(ratio >= least),
            Self::AtMost(most) => Some(ratio <= most),
            Self::None => None,
        }
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> Option<f64> {
        match self {
            Self::AtLeast(number) | Self::AtMost(number) => Some(number),
            Self::None => None,
        }
    }
}
