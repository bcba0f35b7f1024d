//! `cargo xtask <job>`: everything about Ringway that is automated.
//!
//! A job is a module with `Options` and `run`: [`layers`] guards the floors of the house, [`ci`] is
//! what continuous integration calls, [`floor`] boots the oldest supported kernel, [`device`] sends through devices of a [`guest`], [`simulate`] runs
//! campaigns on the simulated one, [`mutants`] shows what these find, [`compare`] measures beside others, [`fuzz`] feeds the protocol what a fuzzer makes up, [`asan`] runs the real kernel's tests under
//! AddressSanitizer, [`header`] and [`install`] make what C programs build with, [`abi`] guards those that were built before. Below them stand
//! the three things every job uses: the [`workspace`] as cargo describes it, an [`invocation`] (a
//! command that can show itself the way a person would type it), and a [`failure`].
//!
//! A person and CI call the same jobs; nothing is automated anywhere else.

#![forbid(unsafe_code)]

mod abi;
mod apt;
mod artifact;
mod asan;
mod ci;
mod compare;
mod device;
mod failure;
mod floor;
mod fuzz;
mod guest;
mod header;
mod install;
mod invocation;
mod layers;
mod manual;
mod mutants;
#[cfg(test)]
mod risks;
mod simulate;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Result;
use crate::workspace::Workspace;

/// Ringway's automation. Run a job from anywhere inside the checkout.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    job: Job,
}

/// The help of a job with options stands on its `Options`.
#[derive(Subcommand)]
enum Job {
    /// Check the rules of the house: who depends on whom, what lies in the root directory, and
    /// where sources may say `unsafe`
    ///
    /// The rules are the table in tools/xtask/src/layers/house.rs; docs/ARCHITECTURE.md explains
    /// them. `cargo test --workspace` runs the same check.
    Layers,
    Ci(ci::Options),
    Floor(floor::Options),
    Device(device::Options),
    Compare(compare::Options),
    Fuzz(fuzz::Options),
    Asan(asan::Options),
    Simulate(simulate::Options),
    Mutants(mutants::Options),
    Header(header::Options),
    Install(install::Options),
    Abi(abi::Options),
}

impl Job {
    fn run(&self) -> Result<()> {
        let workspace = Workspace::load()?;
        match self {
            Self::Layers => layers::run(&workspace),
            Self::Ci(options) => ci::run(&workspace, options),
            Self::Floor(options) => floor::run(&workspace, options),
            Self::Device(options) => device::run(&workspace, options),
            Self::Compare(options) => compare::run(options),
            Self::Fuzz(options) => fuzz::run(&workspace, options),
            Self::Asan(options) => asan::run(&workspace, options),
            Self::Simulate(options) => simulate::run(&workspace, options),
            Self::Mutants(options) => mutants::run(&workspace, options),
            Self::Header(options) => header::run(&workspace, options),
            Self::Abi(options) => abi::run(&workspace, options),
            Self::Install(options) => install::run(&workspace, options),
        }
    }
}

fn main() -> ExitCode {
    match Cli::parse().job.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
