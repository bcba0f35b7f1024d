//! `cargo xtask floor`: a command on an old kernel.
//!
//! The oldest kernel Ringway supports is 6.1. A mask (`ci`'s step `mask`) imitates what it lacks, but
//! not its mistakes; so here the real one runs, as Debian ships it for clouds.

use std::path::PathBuf;
use std::time::Duration;

use crate::artifact;
use crate::failure::Result;
use crate::guest::{Guest, Network, Proof, Series, Task, words};
use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// Boot an old kernel in QEMU and run a command there
///
/// Without --binary it builds `ringway` and runs `ringway probe` and `ringway demo --size 64MiB
/// --cuts 3 --json`; the JSON document must say that the digest is right. The job's exit status is
/// the guest's: that of its first command that failed.
///
/// Needs no KVM and, if the packages it uses are installed, no root. The kernel is downloaded from
/// the package sources of this machine (Debian 12 with its security updates has both series) and
/// kept in the build directory.
#[derive(clap::Args)]
pub struct Options {
    /// Which kernel to boot: the newest of this series
    #[arg(long, value_enum, default_value_t = Series::V6_1)]
    kernel: Series,
    /// Seconds after which the guest is stopped; a guest runs ten to thirty times slower than the
    /// machine it runs on
    #[arg(long, value_name = "SECONDS", default_value_t = TIMEOUT_S)]
    timeout: u64,
    /// Run this program of the host instead of `ringway`; its shared libraries come along
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Arguments of --binary: everything to the end of the line
    #[arg(long, value_name = "ARG", requires = "binary", num_args = 0.., allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Booting takes 10 s, the demonstration about as long; the rest is for busy machines.
const TIMEOUT_S: u64 = 600;

impl Default for Options {
    fn default() -> Self {
        Self {
            kernel: Series::V6_1,
            timeout: TIMEOUT_S,
            binary: None,
            args: Vec::new(),
        }
    }
}

/// Boots the kernel and runs the commands.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let (program, tasks) = match &options.binary {
        Some(path) => (
            path.clone(),
            vec![task(options.args.clone(), Proof::Status)],
        ),
        None => (build_ringway()?, default_tasks()),
    };
    let guest = Guest {
        series: options.kernel,
        network: Network::None,
        timeout: Duration::from_secs(options.timeout),
        program,
    };
    guest.run(workspace, &tasks)
}

fn build_ringway() -> Result<PathBuf> {
    // Optimised, because the guest is slow; linked as always, so that the guest runs what users run.
    let build = Invocation::cargo().args([
        "build",
        "--release",
        "-p",
        "ringway-tools",
        "--bin",
        "ringway",
    ]);
    println!("{build}");
    artifact::program(&build, "ringway")
}

fn default_tasks() -> Vec<Task> {
    vec![
        task(words("probe"), Proof::Status),
        task(words("demo --size 64MiB --cuts 3 --json"), Proof::Digest),
    ]
}

fn task(args: Vec<String>, proof: Proof) -> Task {
    Task {
        variables: Vec::new(),
        args,
        proof,
    }
}
