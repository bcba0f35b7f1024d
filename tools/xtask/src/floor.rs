//! `cargo xtask floor`: a command on an old kernel, in a virtual machine without acceleration.
//!
//! The oldest kernel Ringway supports is 6.1. A mask (`ci`'s step `mask`) imitates what it lacks, but
//! not its mistakes; so here the real one runs, as Debian ships it for clouds. The guest has no disk:
//! [`initramfs`] packs busybox, the program and its libraries into the archive that the kernel
//! unpacks at boot, `init.sh` runs the commands, and [`machine`] is QEMU around it. [`kernel`] finds
//! the kernel among Debian's packages, [`results`] reads what the guest wrote.

mod initramfs;
mod kernel;
mod machine;
mod results;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::apt;
use crate::artifact;
use crate::failure::{Failure, Result};
use crate::invocation::Invocation;
use crate::workspace::Workspace;
use initramfs::Initramfs;
use kernel::Series;
use machine::Machine;

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

/// What the host must have; `dpkg-deb` and `ldd` belong to every Debian.
const PACKAGES: [&str; 3] = ["qemu-system-x86", "busybox-static", "cpio"];

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

/// Something to run in the guest, and what its output must show.
struct Task {
    args: Vec<String>,
    must_prove_digest: bool,
}

/// Boots the kernel and runs the commands.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    apt::ensure(&PACKAGES)?;
    let cache = workspace.cache_dir("floor");
    let kernel = kernel::image(options.kernel, &cache)?;
    let (program, tasks) = match &options.binary {
        Some(path) => (path.clone(), custom_tasks(&options.args)),
        None => (build_ringway()?, default_tasks()),
    };
    let commands: Vec<_> = tasks.iter().map(|task| command(&program, task)).collect();
    let initramfs = Initramfs::pack(&program, &commands)?;
    let machine = Machine {
        kernel: &kernel,
        initramfs: initramfs.path(),
        timeout: Duration::from_secs(options.timeout),
    };
    let output = machine.run()?;
    tasks
        .iter()
        .zip(&commands)
        .enumerate()
        .try_for_each(|(number, (task, command))| task.judge(&command.join(" "), number, &output))
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
    let task = |args: &str, must_prove_digest| Task {
        args: args.split(' ').map(str::to_owned).collect(),
        must_prove_digest,
    };
    vec![
        task("probe", false),
        task("demo --size 64MiB --cuts 3 --json", true),
    ]
}

fn custom_tasks(args: &[String]) -> Vec<Task> {
    vec![Task {
        args: args.to_owned(),
        must_prove_digest: false,
    }]
}

/// The command line in the guest.
fn command(program: &Path, task: &Task) -> Vec<String> {
    let path = initramfs::guest_path(program);
    std::iter::once(path)
        .chain(task.args.iter().cloned())
        .collect()
}

impl Task {
    fn judge(&self, line: &str, number: usize, output: &str) -> Result<()> {
        let line = line.to_owned();
        let Some(result) = results::of(number, output) else {
            return Err(Failure::GuestSilent { line });
        };
        if result.status != 0 {
            let status = result.status;
            return Err(Failure::Guest { line, status });
        }
        if self.must_prove_digest && !results::proves_digest(result.stdout) {
            let output = result.stdout.trim().to_owned();
            return Err(Failure::Digest { line, output });
        }
        Ok(())
    }
}
