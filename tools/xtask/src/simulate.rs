//! `cargo xtask simulate`: campaigns of drawn worlds, and single seeds again.
//!
//! The seeds are run by the program `simulate` (tools/simulate), built optimised; this module
//! picks the range and keeps the [`ledger`].

mod ledger;
mod report;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::artifact;
use crate::failure::Result;
use crate::invocation::Invocation;
use crate::workspace::Workspace;
use ledger::{Ledger, Row};
pub use report::Report;

/// Run whole engines on the simulated kernel, one drawn world per seed
///
/// Without --from a campaign goes on behind the last one in docs/campaigns.md. A violation prints
/// the command that repeats its seed, and makes the exit code 1.
#[derive(clap::Args)]
pub struct Options {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 1000)]
    seeds: u64,
    /// The first seed [default: behind the last campaign in docs/campaigns.md]
    #[arg(long, value_name = "SEED")]
    from: Option<u64>,
    /// Run this seed alone, twice, and compare the traces
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from", "record"])]
    seed: Option<u64>,
    /// Print the trace of that seed, and what the engines log
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Only this kind of work: streams, lossy or files
    #[arg(long, value_name = "KIND")]
    workload: Option<String>,
    /// Seeds at a time [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Append what came of it to docs/campaigns.md
    #[arg(long)]
    record: bool,
}

/// Runs what was asked for.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let program = artifact::program(&build(), "simulate")?;
    if let Some(seed) = options.seed {
        let simulate = Invocation::new(program).args(["--seed", &seed.to_string()]);
        return with_options(simulate, options).stream();
    }
    let ledger = Ledger::load(workspace.root())?;
    let from = options.from.unwrap_or(ledger.next_seed());
    let report = Report::new()?;
    let simulate = campaign(&program, from, options.seeds, report.path());
    let outcome = with_options(simulate, options).stream();
    if options.record {
        let document = report.read()?;
        ledger.append(&Row::new(&document, &today(), &commit(workspace.root())?))?;
    }
    outcome
}

/// Runs seeds that nobody has run before, as continuous integration does: a range that follows
/// from the day and the commit.
pub fn run_fresh(workspace: &Workspace, seeds: u64) -> Result<()> {
    let program = artifact::program(&build(), "simulate")?;
    let commit = commit(workspace.root())?;
    let digits = commit.get(..6).unwrap_or_default();
    let of_commit = u64::from_str_radix(digits, 16).unwrap_or(0);
    // Far from the ledger's ranges: a billion seeds for each day, one of 2^24 places in it.
    let from = (days_since_1970() << 40) + of_commit * seeds;
    println!("seeds from {from}: of day {} and commit {commit}", today());
    Invocation::new(program)
        .args(["--from", &from.to_string(), "--seeds", &seeds.to_string()])
        .stream()
}

/// Builds the program, optimised.
pub fn build() -> Invocation {
    Invocation::cargo().args(["build", "--profile", "campaign", "-p", "ringway-simulate"])
}

fn campaign(program: &Path, from: u64, seeds: u64, report: &Path) -> Invocation {
    Invocation::new(program)
        .args(["--from", &from.to_string(), "--seeds", &seeds.to_string()])
        .args([
            std::ffi::OsStr::new("--report").to_owned(),
            report.as_os_str().to_owned(),
        ])
}

fn with_options(mut simulate: Invocation, options: &Options) -> Invocation {
    if options.trace {
        simulate = simulate.args(["--trace"]);
    }
    if let Some(workload) = &options.workload {
        simulate = simulate.args(["--workload", workload]);
    }
    if let Some(jobs) = options.jobs {
        simulate = simulate.args(["--jobs", &jobs.to_string()]);
    }
    simulate
}

/// The commit that is checked out, short; marked when files differ from it.
fn commit(root: &Path) -> Result<String> {
    let git = || Invocation::new("git").dir(root);
    let name = git().args(["rev-parse", "--short=10", "HEAD"]).capture()?;
    let is_clean = git().args(["diff", "--quiet", "HEAD"]).succeeds()?;
    let mark = if is_clean { "" } else { "+" };
    Ok(format!("{}{mark}", name.trim()))
}

fn days_since_1970() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs() / 86_400)
}

/// The date, as ISO 8601 writes it.
fn today() -> String {
    // Days to civil date (the proleptic Gregorian calendar), in eras of 400 years from March on.
    let days = days_since_1970() + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
