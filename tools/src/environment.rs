//! Where it ran: what a number has to be read with.

use std::fs;

use nix::sys::utsname::uname;
use nix::unistd::geteuid;
use ringway_uring::{RingReport, UringConfig, probe};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Facts about the machine and the process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Environment {
    kernel: String,
    machine: String,
    cpu: String,
    cpus: usize,
    user: u32,
    memlock_bytes: Option<u64>,
    capabilities: Vec<String>,
    missing: Vec<String>,
    masked: Vec<String>,
    reductions: Vec<String>,
    /// Of sockets that do not choose.
    tcp_congestion_control: String,
    tcp_rmem: String,
    tcp_wmem: String,
    version: String,
}

/// Looks around; fails where there is no io_uring, before a gigabyte was written for nothing.
pub(crate) fn look() -> Result<Environment, Failure> {
    let config = UringConfig::from_environment_mask()
        .map_err(|error| Failure::usage(format_args!("RINGWAY_MASK: {error}")))?;
    let report = probe(config);
    let ring = report.ring?;
    let machine = uname().map(|name| name.machine().to_string_lossy().into_owned());
    Ok(Environment {
        kernel: report.kernel_release,
        machine: machine.unwrap_or_default(),
        cpu: cpu_model(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        user: geteuid().as_raw(),
        memlock_bytes: Some(report.memlock_limit_bytes).filter(|limit| *limit != u64::MAX),
        capabilities: names(&ring, |is_present, is_masked| is_present && !is_masked),
        missing: names(&ring, |is_present, is_masked| !is_present && !is_masked),
        masked: names(&ring, |_, is_masked| is_masked),
        reductions: ring.reductions().iter().map(ToString::to_string).collect(),
        tcp_congestion_control: setting("tcp_congestion_control"),
        tcp_rmem: setting("tcp_rmem"),
        tcp_wmem: setting("tcp_wmem"),
        version: env!("CARGO_PKG_VERSION").into(),
    })
}

/// Of `net.ipv4`, in one line; empty where there is none.
fn setting(name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn names(ring: &RingReport, wanted: impl Fn(bool, bool) -> bool) -> Vec<String> {
    let findings = ring.findings.iter();
    let wanted = findings.filter(|each| wanted(each.is_present, each.is_masked));
    wanted
        .map(|each| each.capability.name().to_owned())
        .collect()
}

fn cpu_model(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let model = line.and_then(|line| line.split_once(':'));
    model.map_or_else(|| "unknown".into(), |(_, model)| model.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_named_as_the_kernel_names_it() {
        assert_eq!(
            cpu_model("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n"),
            "Some CPU @ 3 GHz"
        );
        assert_eq!(cpu_model("processor\t: 0\n"), "unknown");
    }
}
