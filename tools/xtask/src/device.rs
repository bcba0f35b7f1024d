//! `cargo xtask device`: zero-copy sends through network devices that really gather from memory.
//!
//! Loopback and virtual pairs copy what a zero-copy send refers to, so on them no notification ever
//! waits for a device. A guest has devices: two of virtio, with a wire between them, and a test of
//! the engine whose two ends are on either.

use std::path::PathBuf;
use std::time::Duration;

use crate::artifact;
use crate::failure::Result;
use crate::guest::{Guest, Network, Proof, Series, Task, words};
use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// Send registered memory through network devices of a guest in QEMU
///
/// Boots a guest with two virtio network devices, joined by a bridge in a network namespace of the
/// host, and runs the test of the engine that lends memory again as soon as it may: leases leave as
/// zero-copy sends, none is reported as copied, connections are cut, and every byte is compared.
///
/// Needs root and /dev/net/tun. A guest runs ten to thirty times slower than the machine around it.
#[derive(clap::Args)]
pub struct Options {
    /// Which kernel to boot: the newest of this series
    #[arg(long, value_enum, default_value_t = Series::V6_1)]
    kernel: Series,
    /// Seconds after which the guest is stopped
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

/// The test program of the engine that has it, and the test.
const PROGRAM: &str = "network";
const TEST: &str = "device::leases_recycled_at_once_are_never_altered_on_a_wire";

/// What the guest's kernel calls its devices.
const DEVICES: &str = "RINGWAY_TEST_DEVICES=eth0 eth1";

/// Boots the kernel and runs the test.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let guest = Guest {
        series: options.kernel,
        network: Network::Wire,
        timeout: Duration::from_secs(options.timeout),
        program: build_test()?,
    };
    let task = Task {
        variables: vec![DEVICES.to_owned()],
        args: words(&format!("--exact {TEST} --nocapture")),
        proof: Proof::Test,
    };
    guest.run(workspace, &[task])
}

fn build_test() -> Result<PathBuf> {
    let build = Invocation::cargo().args(["test", "-p", "ringway", "--test", PROGRAM, "--no-run"]);
    println!("{build}");
    artifact::bench_or_test(&build, PROGRAM)
}
