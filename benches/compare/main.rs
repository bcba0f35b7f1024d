//! `cargo xtask compare`: the engine beside everybody else that moves bytes on this machine.
//!
//! ```text
//!  rounds   each round: ours, then every peer    external   iperf3, nginx + curl
//!  peers    our processes, and theirs            namespace  the same congestion control for all
//!  library  comparison: what is compared with what, ratios round by round, the table
//! ```
//!
//! Either end of a run is a process of its own on a core of its own. All sides of a work take turns
//! within a round, and only ratios of the same round are formed: on a noisy machine nothing else
//! means anything. One round at the start warms up and counts for nothing.
//!
//! `cargo xtask compare` installs what the peers need and runs this program.
#![forbid(unsafe_code)]

mod external;
mod namespace;
mod peers;
mod rounds;
mod small_files;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ringway_benches::Result;
use ringway_benches::comparison::report::{Report, Row, Run};
use ringway_benches::comparison::sample::Sample;
use ringway_benches::comparison::table::{Side, Work};
use ringway_benches::environment::Environment;
use ringway_benches::files::Files;
use ringway_benches::job::CONGESTION_CONTROL;
use ringway_benches::run::wait_for_calm;

use crate::peers::Role;
use crate::rounds::{Ground, Plan};
use crate::small_files::SmallFiles;

/// The engine beside everybody else that moves bytes on this machine
#[derive(Parser)]
struct Options {
    /// Less of everything: 5 rounds of 1 GiB or 1 s
    #[arg(long)]
    quick: bool,
    /// Bytes per run, MiB [default: 4096]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    mib: Option<u64>,
    /// Rounds [default: 11]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: Option<u32>,
    /// Seconds per run of messages [default: 5]
    #[arg(long)]
    seconds: Option<f64>,
    /// How many small files [default: 10000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    small_files: Option<u32>,
    /// Only this work; again for more
    #[arg(long, value_name = "WORK")]
    only: Vec<Work>,
    /// Only against this peer; again for more
    #[arg(long, value_name = "PEER")]
    against: Vec<Side>,
    /// Before each round, wait up to so many seconds until nothing else works on this machine
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    calm: u64,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Exit with 1 when a target is missed
    #[arg(long)]
    check: bool,
    /// Where the files are made: a disk, not tmpfs
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
        let (pairs, mib, seconds) = match self.quick {
            true => (5, 1024, 1.0),
            false => (11, 4096, 5.0),
        };
        Plan {
            pairs: self.pairs.unwrap_or(pairs),
            run_bytes: self.mib.unwrap_or(mib) << 20,
            small_files: self.small_files.unwrap_or(10_000),
            seconds: self.seconds.unwrap_or(seconds),
            calm: Duration::from_secs(self.calm),
        }
    }

    fn works(&self) -> Vec<Work> {
        let wanted = |work: &Work| self.only.is_empty() || self.only.contains(work);
        Work::ALL.into_iter().filter(wanted).collect()
    }

    fn wants(&self, side: Side) -> bool {
        side == Side::Ours || self.against.is_empty() || self.against.contains(&side)
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.role {
        Some(role) => role.play().map(|()| ExitCode::SUCCESS),
        None => compare(&options),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("compare: {error}");
        ExitCode::from(2)
    })
}

fn compare(options: &Options) -> Result<ExitCode> {
    // Before there is a second thread.
    let entered = namespace::enter();
    let plan = options.plan();
    let works = options.works();
    let mut report = Report {
        environment: Environment::look(),
        congestion_control: match &entered {
            Ok(()) => CONGESTION_CONTROL.to_owned(),
            Err(_) => namespace::congestion_control(),
        },
        run_bytes: plan.run_bytes,
        seconds: plan.seconds,
        small_files: plan.small_files,
        rows: Vec::new(),
        runs: Vec::new(),
        remarks: entered.err().into_iter().collect(),
    };
    if !options.json {
        print!("{}", report.heading());
    }
    let files = Files::make(&options.directory, plan.run_bytes)?;
    let small = match works.contains(&Work::SmallFiles) {
        true => Some(SmallFiles::make(&options.directory, plan.small_files)?),
        false => None,
    };
    let ground = Ground {
        plan,
        files: &files,
        small: small.as_ref(),
        directory: &options.directory,
        cores: rounds::two_cores()?,
    };
    for work in works {
        measure(work, &ground, options, &mut report);
    }
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{}", report.table()),
    }
    let is_missed = options.check && !report.is_met();
    Ok(ExitCode::from(u8::from(is_missed)))
}

/// All rounds of one work. A side that fails once is out: its rows say why, the others go on.
fn measure(work: Work, ground: &Ground<'_>, options: &Options, report: &mut Report) {
    let goals = work.goals().iter().filter(|goal| options.wants(goal.0));
    let goals: Vec<_> = goals.copied().collect();
    let mut sides = work.sides();
    sides.retain(|side| options.wants(*side));
    let mut out: Vec<(Side, String)> = Vec::new();
    let mut runs = Vec::new();
    // Round 0 finds cold caches, unallocated heaps and half-written files.
    for round in 0..=ground.plan.pairs {
        wait_for_calm(ground.plan.calm);
        for side in &sides {
            if out.iter().any(|(each, _)| each == side) {
                continue;
            }
            match ground.once(work, *side) {
                Ok(sample) => {
                    tell(work, *side, round, &sample);
                    let (side, work) = (*side, work);
                    runs.push(Run {
                        work,
                        side,
                        round,
                        sample,
                    });
                }
                Err(error) => {
                    eprintln!("{}: {}: {error}", work.title(), side.title());
                    out.push((*side, error.to_string()));
                }
            }
        }
    }
    runs.retain(|run| run.round > 0);
    for goal in goals {
        let failed = out
            .iter()
            .find(|(side, _)| [goal.0, Side::Ours].contains(side));
        report.rows.push(match failed {
            Some((Side::Ours, why)) => Row::not_available(work, goal, &runs, why),
            Some((side, why)) => {
                let why = format!("{} failed: {why}", side.title());
                Row::not_available(work, goal, &runs, why)
            }
            None => Row::of(work, goal, &runs),
        });
    }
    report.runs.extend(runs);
}

/// So that somebody who looks on sees that it goes on; the table is the result.
fn tell(work: Work, side: Side, round: u32, sample: &Sample) {
    let shown = work.goals().iter().map(|goal| goal.1);
    let mut seen = Vec::new();
    let mut text = String::new();
    for metric in shown {
        if seen.contains(&metric) {
            continue;
        }
        seen.push(metric);
        if let Some(value) = sample.value(metric) {
            text += &format!("  {} {value:.3}", metric.title());
        }
    }
    eprintln!("{round:>3} {:<44}{text}", side.title());
}
