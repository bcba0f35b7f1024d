//! `cargo xtask ci`: everything that must hold before a change goes in, in the order in which a
//! mistake is cheapest to find.
//!
//! A [`Step`] is a name in the list; this module runs the list, times it and stops at the first
//! failure. What a step does is a function below, or a module: [`test_run`] runs tests and refuses
//! to call a run green in which a test was skipped; [`mask`] and [`ordinary_user`] start the same
//! [`test_programs`] again, without some kernel feature and without any privilege.

mod c_interface;
mod left_out;
mod mask;
mod ordinary_user;
mod skip_file;
mod step;
mod tally;
mod test_programs;
mod test_run;

use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::floor;
use crate::header;
use crate::invocation::Invocation;
use crate::layers;
use crate::mutants;
use crate::simulate;
use crate::workspace::Workspace;
use step::{Choice, Step};
use test_run::TestRun;

/// Run everything that continuous integration runs, or some steps of it
///
/// Steps run in this order and stop at the first failure, with the command that repeats it. Every
/// test must run: one that was ignored, or that reported `SKIP`, fails its step.
///
/// A test that cannot run where it is appends the line `SKIP <test>: <reason>` to the file named by
/// RINGWAY_TEST_SKIP_FILE. Two runs accept reasons that the plain test step covers: a run without a
/// capability (RINGWAY_MASK=send_zc) accepts reasons that name it, and the run as an ordinary user
/// accepts reasons with the word `root`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    choice: Choice,
}

/// Seeds of the step `simulate`: well below a minute on two cores.
const SIMULATED_SEEDS: u64 = 2000;

/// Runs the chosen steps.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut times = Vec::new();
    for step in options.choice.steps() {
        println!("\n=== {step}");
        let start = Instant::now();
        let outcome = run_step(step, workspace);
        times.push((step, start.elapsed()));
        if let Err(failure) = outcome {
            report(&times, &options.choice, "FAILED");
            return Err(with_repeat(step, failure));
        }
    }
    report(&times, &options.choice, "ok");
    Ok(())
}

fn run_step(step: Step, workspace: &Workspace) -> Result<()> {
    match step {
        Step::Fmt => shown(&Invocation::cargo().args(["fmt", "--all", "--check"])),
        Step::Clippy => shown(&clippy()),
        Step::Test => TestRun::of_workspace().run(),
        Step::Layers => layers::run(workspace),
        Step::Header => header::run(workspace, &header::Options::checking()),
        Step::C => c_interface::run(workspace),
        Step::Doc => shown(&rustdoc()),
        Step::Simulate => simulate::run_fresh(workspace, SIMULATED_SEEDS),
        Step::Mutants => mutants::run(workspace, &mutants::Options::all()),
        Step::Mask => mask::run(workspace),
        Step::User => ordinary_user::run(workspace),
        Step::Floor => floor::run(workspace, &floor::Options::default()),
    }
}

fn clippy() -> Invocation {
    Invocation::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])
}

fn rustdoc() -> Invocation {
    Invocation::cargo()
        .args(["doc", "--no-deps", "--workspace"])
        .env("RUSTDOCFLAGS", "-D warnings")
}

fn shown(command: &Invocation) -> Result<()> {
    println!("{command}");
    command.stream()
}

fn with_repeat(step: Step, source: Failure) -> Failure {
    let repeat = source.command_line().unwrap_or(step.command());
    Failure::Step {
        step: step.to_string(),
        repeat: repeat.to_owned(),
        source: Box::new(source),
    }
}

/// The table at the end: which step took how long, the last one with its outcome, and what was left
/// out.
fn report(times: &[(Step, Duration)], choice: &Choice, last_outcome: &str) {
    println!("\n=== summary");
    for (at, (step, time)) in times.iter().enumerate() {
        let is_last = at + 1 == times.len();
        let outcome = if is_last { last_outcome } else { "ok" };
        println!(
            "{:8} {:>8.1} s  {outcome}",
            step.to_string(),
            time.as_secs_f64()
        );
    }
    for step in choice.left_out() {
        println!("{:8} {:>10}  left out", step.to_string(), "");
    }
}
