//! Where a measurement ran: without it a number means nothing.

use std::path::Path;

use ringway_uring::{UringConfig, probe};
use serde::Serialize;

/// The machine, as far as it shapes the numbers, and the command that makes them again.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// Release of the kernel (uname(2)).
    pub kernel: String,
    /// Model of the processor.
    pub cpu: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Kernel features the engine found.
    pub capabilities: Vec<String>,
    /// What the engine runs smaller here than by default.
    pub reductions: Vec<String>,
    /// `net.ipv4.tcp_rmem`.
    pub tcp_rmem: String,
    /// `net.ipv4.tcp_wmem`.
    pub tcp_wmem: String,
    /// The arguments of the measurement.
    pub arguments: Vec<String>,
}

impl Environment {
    /// Asks the kernel; what it does not tell stays empty.
    #[must_use]
    pub fn look() -> Self {
        let report = probe(UringConfig::default());
        let (mut capabilities, mut reductions) = (Vec::new(), Vec::new());
        match &report.ring {
            Ok(ring) => {
                let present = ring.findings.iter().filter(|each| each.is_present);
                capabilities.extend(present.map(|each| each.capability.to_string()));
                reductions.extend(
                    ring.reductions().iter().map(|each| {
                        format!("{}: {} instead of {}", each.what, each.got, each.wanted)
                    }),
                );
            }
            Err(why) => reductions.push(why.to_string()),
        }
        Self {
            kernel: report.kernel_release.clone(),
            cpu: labelled("/proc/cpuinfo", "model name").unwrap_or_default(),
            cores: crate::cores::allowed().map_or(0, |cores| cores.len()),
            memory_bytes: memory_bytes().unwrap_or(0),
            capabilities,
            reductions,
            tcp_rmem: line("/proc/sys/net/ipv4/tcp_rmem"),
            tcp_wmem: line("/proc/sys/net/ipv4/tcp_wmem"),
            arguments: std::env::args().skip(1).collect(),
        }
    }
}

fn line(path: impl AsRef<Path>) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The value behind `label` and a colon, in the first line that has it.
fn labelled(path: &str, label: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(label))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_bytes() -> Option<u64> {
    let value = labelled("/proc/meminfo", "MemTotal")?;
    let kib: u64 = value.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
