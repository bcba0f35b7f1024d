//! A kernel of Debian's in a virtual machine without acceleration, and commands in it.
//!
//! The guest has no disk: [`initramfs`] packs busybox, the program and its libraries into the archive
//! that the kernel unpacks at boot, `init.sh` runs the commands, and [`machine`] is QEMU around it.
//! [`kernel`] finds the kernel and its drivers among Debian's packages, [`results`] reads what the
//! guest wrote.

mod initramfs;
mod kernel;
mod machine;
mod results;

use std::path::PathBuf;
use std::time::Duration;

use crate::apt;
use crate::failure::{Failure, Result};
use crate::workspace::Workspace;
use initramfs::Initramfs;
pub use kernel::Series;
use machine::Machine;
pub use machine::Network;

/// What the host must have; `dpkg-deb` and `ldd` belong to every Debian.
const PACKAGES: [&str; 4] = ["qemu-system-x86", "busybox-static", "cpio", "xz-utils"];

/// A machine that boots, runs commands of one program, and switches itself off.
pub struct Guest {
    pub series: Series,
    pub network: Network,
    /// When to pull the plug.
    pub timeout: Duration,
    /// A program of the host; its shared libraries come along.
    pub program: PathBuf,
}

/// Something to run in the guest, and what its output must show.
pub struct Task {
    /// Variables of its environment, as `NAME=value`.
    pub variables: Vec<String>,
    pub args: Vec<String>,
    pub proof: Proof,
}

/// What a command must print beside ending with status 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing.
    Status,
    /// A JSON document that says that the digest is right.
    Digest,
    /// That a test ran, and passed.
    Test,
}

impl Guest {
    /// Boots the kernel and runs the tasks, each only if the one before went well. Ends with the
    /// first that did not.
    pub fn run(&self, workspace: &Workspace, tasks: &[Task]) -> Result<()> {
        apt::ensure(&PACKAGES)?;
        let kernel = kernel::get(self.series, &workspace.cache_dir("floor"))?;
        let commands: Vec<_> = tasks.iter().map(|task| self.command(task)).collect();
        let drivers = match self.network {
            Network::None => &[],
            Network::Wire => kernel.drivers.as_slice(),
        };
        let initramfs = Initramfs::pack(&self.program, drivers, &commands)?;
        let machine = Machine {
            kernel: &kernel.image,
            initramfs: initramfs.path(),
            network: self.network,
            timeout: self.timeout,
        };
        let output = machine.run()?;
        tasks
            .iter()
            .zip(&commands)
            .enumerate()
            .try_for_each(|(number, (task, command))| {
                task.judge(&command.join(" "), number, &output)
            })
    }

    /// The command line in the guest.
    fn command(&self, task: &Task) -> Vec<String> {
        let path = initramfs::guest_path(&self.program);
        let environment = match task.variables.as_slice() {
            [] => Vec::new(),
            variables => [&["env".to_owned()], variables].concat(),
        };
        [environment, vec![path], task.args.clone()].concat()
    }
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
        let output = || result.stdout.trim().to_owned();
        match self.proof {
            Proof::Digest if !results::proves_digest(result.stdout) => Err(Failure::Digest {
                line,
                output: output(),
            }),
            Proof::Test if !results::proves_test(result.stdout) => Err(Failure::NoTest {
                line,
                output: output(),
            }),
            _ => Ok(()),
        }
    }
}

/// Whole words of a command line.
pub fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}
