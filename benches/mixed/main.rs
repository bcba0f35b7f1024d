//! `cargo bench -p ringway-benches --bench mixed`: round trips of 64 bytes on a session that a bulk
//! transfer saturates, against a plain ping-pong beside a plain bulk pair.
//!
//! ```text
//!              one core                       another core
//!  ours    ┌ bulk stream  ┐               ┌ takes and drops ┐
//!          └ ping stream  ┴─ one session ─┴ echoes          ┘   tasks on the two shards
//!  theirs  ┌ sendfile ──────── socket ───── recv            ┐
//!          └ write, read ───── socket ───── read, write     ┘   two threads on each core
//! ```
//!
//! Four kinds of runs take turns in a round: bulk alone and both together, ours and theirs. All last
//! equally long; the hot file goes round and round, the pings until all of it has been taken. Round
//! trips ratios are ours by theirs of one round; what the bulk keeps is both together by alone of
//! one side.
#![forbid(unsafe_code)]

mod job;
mod ours;
mod pings;
mod plain;
mod report;
mod round;

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
use crate::report::Report;
use crate::round::{Kind, Plan, Round};

/// Sent again and again, hot.
const FILE_BYTES: u64 = 256 << 20;

/// Round trips of 64 bytes beside a bulk transfer: one session against two plain pairs
#[derive(Parser)]
struct Options {
    /// Less of everything: 7 rounds of 1.5 s runs, about a minute
    #[arg(long)]
    quick: bool,
    /// Rounds [default: 15]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Seconds of each run [default: 4]
    #[arg(long)]
    seconds: Option<f64>,
    /// Bulk connections of the session; without it, as many as an engine has by default
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=8))]
    bulk_connections: Option<u8>,
    /// Only this kind of run, without comparing: for profilers
    #[arg(long)]
    only: Option<Kind>,
    /// Before each round, wait up to so many seconds until nothing else works on this machine
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    calm: u64,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Exit with 1 when a target is missed
    #[arg(long)]
    check: bool,
    /// Where the file is made; it has no name and vanishes with this process
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
        let (rounds, seconds) = if self.quick { (7, 1.5) } else { (15, 4.0) };
        Plan {
            rounds: self.rounds.unwrap_or(rounds),
            seconds: self.seconds.unwrap_or(seconds),
            bulk_connections: self.bulk_connections,
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.role {
        Some(role) => role.play().map(|()| ExitCode::SUCCESS),
        None => measure(&options),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("mixed: {error}");
        ExitCode::from(2)
    })
}

fn measure(options: &Options) -> Result<ExitCode> {
    let plan = options.plan();
    let files = Files::make(&options.directory, FILE_BYTES)?;
    if let Some(kind) = options.only {
        for _ in 0..plan.rounds {
            println!("{kind:?}: {}", round::once(kind, &plan, &files)?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    // The first run of each finds cold caches and an unallocated heap; it counts for nothing.
    Round::run(&plan, &files)?;
    let mut rounds = Vec::new();
    for index in 1..=plan.rounds {
        wait_for_calm(Duration::from_secs(options.calm));
        let round = Round::run(&plan, &files)?;
        if !options.json {
            println!("  round {index:>2}: {round}");
        }
        rounds.push(round);
    }
    let report = Report::of(Environment::look(), CONGESTION_CONTROL, &plan, rounds)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    let is_missed = !report.is_met();
    Ok(ExitCode::from(u8::from(options.check && is_missed)))
}
