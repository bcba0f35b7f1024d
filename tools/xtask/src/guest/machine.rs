//! QEMU around the guest.

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::invocation::{self, Invocation};

/// A machine that boots once and switches itself off.
pub struct Machine<'a> {
    /// The kernel image.
    pub kernel: &'a Path,
    /// The guest's file system.
    pub initramfs: PathBuf,
    /// What it is connected to.
    pub network: Network,
    /// When to pull the plug.
    pub timeout: Duration,
}

/// The guest's network devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// None but loopback.
    None,
    /// Two of virtio, with a wire between them.
    Wire,
}

/// The wire: a bridge in a namespace that ends with QEMU. The taps must take checksums and large
/// segments as they are (`vnet_hdr`), or the guest's kernel would copy to make them.
const WIRE: &str = "\
    set -e; \
    ip link add wire type bridge; ip link set wire up; \
    for tap in tap0 tap1; do \
        ip tuntap add $tap mode tap vnet_hdr; \
        ip link set $tap master wire up; \
    done; \
    exec \"$@\"";

/// The guest has its program, its libraries and the demonstration's 64 MiB twice in memory.
const MEMORY_MIB: &str = "1024";

/// Kernel command line. A panic ends the machine at once, and since QEMU does not reboot, the job
/// too. Speculation defences only slow an emulated processor down.
const KERNEL_ARGS: &str = "console=ttyS0 quiet panic=-1 mitigations=off";

const QEMU: &str = "qemu-system-x86_64";

/// How often to look whether the guest has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

impl Machine<'_> {
    /// Runs the guest to its end, shows its console, and returns what it wrote for us.
    pub fn run(&self) -> Result<String> {
        let scratch = tempfile::tempdir().map_err(Failure::file(&std::env::temp_dir()))?;
        let results = scratch.path().join("results");
        let qemu = self.qemu(&results);
        let mut child = qemu.start(Stdio::piped())?;
        let console = child.stdout.take();
        let printer = thread::spawn(move || {
            let print = |line: &str| println!("| {}", printable(line));
            console.map(|pipe| invocation::read_lines(BufReader::new(pipe), print))
        });
        let in_time = wait(&mut child, self.timeout).map_err(|source| qemu.broken(source))?;
        // The console has ended with QEMU; what a reader of it may have met is of no interest.
        let _ = printer.join();
        if !in_time {
            let seconds = self.timeout.as_secs();
            return Err(Failure::GuestTimeout { seconds });
        }
        qemu.finish(child)?;
        let output = fs::read(&results).map_err(Failure::file(&results))?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    fn qemu(&self, results: &Path) -> Invocation {
        let start = match self.network {
            Network::None => Invocation::new(QEMU),
            Network::Wire => Invocation::new("unshare")
                .args(["--net", "sh", "-c", WIRE, "sh", QEMU])
                .args(["tap0", "tap1"].iter().flat_map(|tap| virtio_on(tap))),
        };
        start
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none"])
            .args(["-accel", "tcg,thread=multi", "-smp", "2", "-m", MEMORY_MIB])
            // Every instruction QEMU can emulate, but four levels of page tables: five are slower.
            .args(["-cpu", "max,la57=off"])
            .args(["-append", KERNEL_ARGS])
            .args([Path::new("-kernel"), self.kernel])
            .args([Path::new("-initrd"), &self.initramfs])
            .args(["-serial", "stdio", "-serial"])
            .args([format!("file:{}", results.display())])
    }
}

/// A device of the guest behind each tap; QEMU gives each an address of its own.
fn virtio_on(tap: &str) -> [String; 4] {
    [
        "-netdev".to_owned(),
        format!("tap,id={tap},ifname={tap},script=no,downscript=no,vnet_hdr=on"),
        "-device".to_owned(),
        format!("virtio-net-pci,netdev={tap},romfile="),
    ]
}

/// Waits for the end, at most this long; then ends it. Whether it ended by itself.
fn wait(child: &mut Child, timeout: Duration) -> std::io::Result<bool> {
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > timeout {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(true)
}

/// Without the terminal commands that firmware likes to send.
fn printable(line: &str) -> String {
    line.chars()
        .filter(|&c| c == '\t' || !c.is_control())
        .collect()
}
