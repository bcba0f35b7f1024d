//! Many runs as a few numbers, and whether they are good enough.

use std::fmt::{self, Write};

use ringway_benches::environment::Environment;
use ringway_benches::quartiles::Quartiles;
use serde::Serialize;

use crate::row::{CPU_RATIO_MAX, PEAK_RSS_BYTES_MAX, Row, THROUGHPUT_RATIO_MIN};
use ringway_benches::Result;
use ringway_benches::run::Measurement;

/// The whole document.
#[derive(Serialize)]
pub struct Report {
    pub environment: Environment,
    pub congestion_control: &'static str,
    /// Bytes of each run.
    pub run_bytes: u64,
    pub rows: Vec<RowReport>,
}

impl Report {
    /// What stands above the text.
    pub fn heading(&self) -> String {
        let at = &self.environment;
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = writeln!(text, "transfer {}", at.arguments.join(" "));
        let memory = at.memory_bytes >> 20;
        let _ = writeln!(
            text,
            "kernel {}, {}, {} cores, {memory} MiB, {}, runs of {:.0} GiB",
            at.kernel,
            at.cpu,
            at.cores,
            self.congestion_control,
            gib(self.run_bytes)
        );
        let _ = writeln!(text, "tcp_rmem {}, tcp_wmem {}", at.tcp_rmem, at.tcp_wmem);
        let _ = writeln!(text, "capabilities {}", at.capabilities.join(" "));
        for reduction in &at.reductions {
            let _ = writeln!(text, "reduced: {reduction}");
        }
        text
    }
}

/// Two runs, one after the other.
#[derive(Serialize)]
pub struct Pair {
    pub ours: Measurement,
    pub theirs: Measurement,
}

impl Pair {
    fn throughput_ratio(&self) -> f64 {
        self.ours.gb_per_s() / self.theirs.gb_per_s()
    }

    fn cpu_ratio(&self) -> f64 {
        self.ours.cpu_s_per_gb() / self.theirs.cpu_s_per_gb()
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ours {} | theirs {} | throughput {:.3} CPU {:.3}",
            self.ours,
            self.theirs,
            self.throughput_ratio(),
            self.cpu_ratio()
        )
    }
}

/// One row, all pairs.
#[derive(Serialize)]
pub struct RowReport {
    pub row: Row,
    /// Ours by theirs, pair by pair.
    pub throughput_ratio: Quartiles,
    pub throughput_ratio_min: f64,
    /// Ours by theirs, pair by pair: both processes, per GB.
    pub cpu_ratio: Quartiles,
    pub cpu_ratio_max: f64,
    pub ours_gb_per_s: Quartiles,
    pub theirs_gb_per_s: Quartiles,
    pub ours_cpu_s_per_gb: Quartiles,
    pub theirs_cpu_s_per_gb: Quartiles,
    /// Cores that everything else on this machine used during a run.
    pub others_cores: Quartiles,
    /// The largest of either process of ours, in any run.
    pub peak_rss_bytes: u64,
    pub peak_rss_bytes_max: u64,
    pub pairs: Vec<Pair>,
}

impl RowReport {
    pub fn of(row: Row, pairs: Vec<Pair>) -> Result<Self> {
        let quartiles = |value: fn(&Pair) -> f64| {
            Quartiles::of(pairs.iter().map(value)).ok_or("no pair was measured")
        };
        let runs = pairs.iter().flat_map(|pair| [&pair.ours, &pair.theirs]);
        let others = Quartiles::of(runs.map(|run| run.others_cores));
        let peaks = pairs.iter().map(|pair| pair.ours.peak_rss_bytes());
        Ok(Self {
            row,
            throughput_ratio: quartiles(Pair::throughput_ratio)?,
            throughput_ratio_min: THROUGHPUT_RATIO_MIN,
            cpu_ratio: quartiles(Pair::cpu_ratio)?,
            cpu_ratio_max: CPU_RATIO_MAX,
            ours_gb_per_s: quartiles(|pair| pair.ours.gb_per_s())?,
            theirs_gb_per_s: quartiles(|pair| pair.theirs.gb_per_s())?,
            ours_cpu_s_per_gb: quartiles(|pair| pair.ours.cpu_s_per_gb())?,
            theirs_cpu_s_per_gb: quartiles(|pair| pair.theirs.cpu_s_per_gb())?,
            others_cores: others.ok_or("no pair was measured")?,
            peak_rss_bytes: peaks.max().unwrap_or(0),
            peak_rss_bytes_max: PEAK_RSS_BYTES_MAX,
            pairs,
        })
    }

    fn is_fast(&self) -> bool {
        self.throughput_ratio.median >= self.throughput_ratio_min
    }

    fn is_cheap(&self) -> bool {
        self.cpu_ratio.median <= self.cpu_ratio_max
    }

    fn is_small(&self) -> bool {
        self.peak_rss_bytes <= self.peak_rss_bytes_max
    }

    /// Whether all targets are met.
    pub fn is_met(&self) -> bool {
        self.is_fast() && self.is_cheap() && self.is_small()
    }
}

impl fmt::Display for RowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = |is_met| if is_met { "met" } else { "MISSED" };
        writeln!(
            f,
            "  median [quartiles] of {} pairs, ours by theirs:",
            self.pairs.len()
        )?;
        writeln!(
            f,
            "  throughput {}  at least {}: {}  (ours {} GB/s, theirs {} GB/s)",
            self.throughput_ratio,
            self.throughput_ratio_min,
            verdict(self.is_fast()),
            self.ours_gb_per_s,
            self.theirs_gb_per_s
        )?;
        writeln!(
            f,
            "  CPU        {}  at most {}: {}  (ours {} s/GB, theirs {} s/GB)",
            self.cpu_ratio,
            self.cpu_ratio_max,
            verdict(self.is_cheap()),
            self.ours_cpu_s_per_gb,
            self.theirs_cpu_s_per_gb
        )?;
        writeln!(
            f,
            "  peak RSS of either side of ours {} MiB  at most {} MiB: {}",
            self.peak_rss_bytes >> 20,
            self.peak_rss_bytes_max >> 20,
            verdict(self.is_small())
        )?;
        writeln!(
            f,
            "  everything else on this machine used {} cores",
            self.others_cores
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with no decimals")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
