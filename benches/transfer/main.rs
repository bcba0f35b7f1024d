//! `cargo bench -p ringway-benches --bench transfer`: a hot file over loopback TCP, the engine
//! against a plain `sendfile` → `recv` pair.
//!
//! ```text
//!  this process ─ run ─┬─ receiving process ◀── TCP ── sending process     (ours)
//!     for each pair:   └─ the same two, without the engine                 (theirs)
//! ```
//!
//! Each side is a process of its own (this program again, see [`job`]), pinned to a core of its
//! own where there are two, with the same congestion control. Runs are interleaved, ours before
//! theirs, and compared pair by pair: on a noisy machine only such ratios mean something. Time is
//! counted at the sender, from the first byte to the word that the receiver has taken the last;
//! CPU is user and system time of both whole processes.
#![forbid(unsafe_code)]

mod job;
mod report;
mod row;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ringway_benches::Result;
use ringway_benches::environment::Environment;
use ringway_benches::files::Files;
use ringway_benches::job::CONGESTION_CONTROL;
use ringway_benches::run::wait_for_calm;

use crate::job::Role;
use crate::report::{Pair, Report, RowReport};
use crate::row::{Row, Side};
use crate::run::Plan;

/// Larger than any cache of a processor, small enough for the page cache of a small machine.
/// What is more is sent by sending it again.
const FILE_BYTES: u64 = 1 << 30;

/// Transfer of a hot file over loopback TCP: the engine against plain sendfile → recv
#[derive(Parser)]
struct Options {
    /// Less of everything, for a look: 3 pairs of 1 GiB
    #[arg(long)]
    quick: bool,
    /// Bytes per run, GiB [default: 4]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1024))]
    gib: Option<u64>,
    /// Pairs of runs [default: 11]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: Option<u32>,
    /// Only this row
    #[arg(long)]
    only: Option<Row>,
    /// Only this side, without comparing: for profilers
    #[arg(long)]
    side: Option<Side>,
    /// Before each pair, wait up to so many seconds until nothing else works on this machine
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    calm: u64,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Exit with 1 when a target is missed
    #[arg(long)]
    check: bool,
    /// Where the files are made; they have no name and vanish with this process
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    directory: PathBuf,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

impl Options {
    fn plan(&self) -> Plan {
        let (pairs, gib) = if self.quick { (3, 1) } else { (11, 4) };
        Plan {
            pairs: self.pairs.unwrap_or(pairs),
            run_bytes: self.gib.unwrap_or(gib) << 30,
            calm: Duration::from_secs(self.calm),
        }
    }

    fn rows(&self) -> Vec<Row> {
        self.only.map_or_else(|| Row::ALL.to_vec(), |row| vec![row])
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.role {
        Some(role) => role.play().map(|()| ExitCode::SUCCESS),
        None => measure(&options),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("transfer: {error}");
        ExitCode::from(2)
    })
}

fn measure(options: &Options) -> Result<ExitCode> {
    let plan = options.plan();
    let files = Files::make(&options.directory, FILE_BYTES)?;
    let mut report = Report {
        environment: Environment::look(),
        congestion_control: CONGESTION_CONTROL,
        run_bytes: plan.run_bytes,
        rows: Vec::new(),
    };
    if !options.json {
        print!("{}", report.heading());
    }
    for row in options.rows() {
        match options.side {
            Some(side) => alone(row, side, &plan, &files)?,
            None => report.rows.push(compare(row, &plan, &files, options.json)?),
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    let is_missed = report.rows.iter().any(|row| !row.is_met());
    Ok(ExitCode::from(u8::from(options.check && is_missed)))
}

fn compare(row: Row, plan: &Plan, files: &Files, is_quiet: bool) -> Result<RowReport> {
    if !is_quiet {
        println!("\n{}", row.title());
    }
    // The first run of each finds cold caches and an unallocated heap; it counts for nothing.
    for side in Side::ALL {
        run::once(row, side, plan, files)?;
    }
    let mut pairs = Vec::new();
    for index in 1..=plan.pairs {
        wait_for_calm(plan.calm);
        let pair = Pair {
            ours: run::once(row, Side::Ours, plan, files)?,
            theirs: run::once(row, Side::Theirs, plan, files)?,
        };
        if !is_quiet {
            println!("  pair {index:>2}: {pair}");
        }
        pairs.push(pair);
    }
    let report = RowReport::of(row, pairs)?;
    if !is_quiet {
        print!("{report}");
    }
    Ok(report)
}

fn alone(row: Row, side: Side, plan: &Plan, files: &Files) -> Result<()> {
    println!("\n{}", row.title());
    for _ in 0..plan.pairs {
        println!("  {side:?}: {}", run::once(row, side, plan, files)?);
    }
    Ok(())
}
