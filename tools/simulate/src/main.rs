//! Runs seeds of the simulator: `cargo xtask simulate` builds it optimised and calls it.
//!
//! Standard output gets what people read; `--report` a JSON document for programs.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use ringway_simulate::campaign::{Campaign, Summary, compare};
use ringway_simulate::{Outcome, RunOptions, Workload, run_seed};

/// Run whole engines on the simulated kernel, one world per seed
#[derive(Parser)]
struct Options {
    /// How many seeds
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this seed alone, twice, and compare the traces
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Print the trace of that seed, and what the engines log
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Only this kind of work
    #[arg(long)]
    workload: Option<Kind>,
    /// Seeds at a time [default: one per core]
    #[arg(long)]
    jobs: Option<usize>,
    /// Stop at the first violation, not at the twentieth
    #[arg(long, conflicts_with = "seed")]
    first: bool,
    /// Write a JSON document with the sums here
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Streams,
    Lossy,
    Files,
}

impl Options {
    fn run_options(&self) -> RunOptions {
        RunOptions {
            trace: self.trace,
            workload: self.workload.map(|kind| match kind {
                Kind::Streams => Workload::Streams,
                Kind::Lossy => Workload::Lossy,
                Kind::Files => Workload::Files,
            }),
        }
    }

    fn jobs(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.unwrap_or_else(cores)
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let is_clean = match options.seed {
        Some(seed) => run_single(seed, &options),
        None => run_campaign(&options),
    };
    ExitCode::from(u8::from(!is_clean))
}

fn run_single(seed: u64, options: &Options) -> bool {
    if options.trace {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .without_time()
            .with_env_filter("debug")
            .init();
    }
    let outcome = run_seed(seed, options.run_options());
    print!("{}", outcome.trace);
    println!(
        "seed {seed}: {} at {} ms of virtual time, {} bytes moved, trace {:016x}",
        outcome.workload,
        outcome.virtual_ns / 1_000_000,
        outcome.bytes_moved,
        outcome.trace_hash,
    );
    print_faults(outcome.faults.iter());
    let again = run_seed(seed, options.run_options());
    let difference = compare(&outcome, &again);
    match &difference {
        None => println!("again: the same trace"),
        Some(difference) => println!("again: {difference}"),
    }
    if let Some(violation) = &outcome.violation {
        println!("VIOLATION {violation}");
    }
    outcome.violation.is_none() && difference.is_none()
}

fn run_campaign(options: &Options) -> bool {
    let campaign = Campaign {
        from: options.from,
        seeds: options.seeds,
        jobs: options.jobs(),
        violations_max: if options.first { 1 } else { 20 },
        options: options.run_options(),
    };
    let began = Instant::now();
    let summary = campaign.run(print_violation);
    let seconds = began.elapsed().as_secs_f64();
    print_summary(&campaign, &summary, seconds);
    let report = options.report.as_ref();
    let is_written = report.is_none_or(|path| {
        let document = document(&campaign, &summary, seconds);
        std::fs::write(path, document)
            .inspect_err(|error| eprintln!("{}: {error}", path.display()))
            .is_ok()
    });
    summary.violations.is_empty() && is_written
}

fn print_violation(outcome: &Outcome) {
    if let Some(violation) = &outcome.violation {
        let seed = outcome.seed;
        println!("VIOLATION with seed {seed}: {violation}");
        println!("repeat it:  cargo xtask simulate --seed {seed} --trace");
    }
}

fn print_summary(campaign: &Campaign, summary: &Summary, seconds: f64) {
    println!(
        "{} seeds from {} in {seconds:.1} s with {} jobs: {:?}",
        summary.seeds, campaign.from, campaign.jobs, summary.workloads,
    );
    print_faults(summary.faults.iter());
    println!("bytes moved: {}", summary.bytes_moved);
    println!("virtual time: {} s", summary.virtual_ns / 1_000_000_000);
    println!("trace hash: {:016x}", summary.trace_hash);
    println!("violations: {}", summary.violations.len());
}

fn print_faults<'a>(faults: impl Iterator<Item = (&'a &'static str, &'a u64)>) {
    println!("faults:");
    for (kind, count) in faults {
        println!("  {kind:22} {count:>12}");
    }
}

fn document(campaign: &Campaign, summary: &Summary, seconds: f64) -> String {
    let violation = |(seed, text)| serde_json::json!({ "seed": seed, "text": text });
    let violations: Vec<_> = summary.violations.iter().map(violation).collect();
    let document = serde_json::json!({
        "from": campaign.from,
        "seeds": summary.seeds,
        "jobs": campaign.jobs,
        "seconds": seconds,
        "workloads": summary.workloads,
        "faults": summary.faults,
        "bytes_moved": summary.bytes_moved,
        "virtual_seconds": summary.virtual_ns / 1_000_000_000,
        "trace_hash": format!("{:016x}", summary.trace_hash),
        "violations": violations,
    });
    format!("{document}\n")
}
