//! What processes used, as the kernel counted it.

use nix::sys::resource::{Usage as KernelUsage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::{SysconfVar, sysconf};
use serde::{Deserialize, Serialize};

/// CPU time and memory of one process, kernel workers of its rings included: they are its
/// threads.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time, seconds.
    pub cpu_s: f64,
    /// Most memory ever resident, bytes (getrusage(2) `ru_maxrss`).
    pub peak_rss_bytes: u64,
}

impl Usage {
    /// This process, so far.
    ///
    /// # Errors
    /// What getrusage(2) says.
    pub fn of_this_process() -> nix::Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let peak_kib = u64::try_from(usage.max_rss()).unwrap_or(0);
        Ok(Self {
            cpu_s: cpu_s(&usage),
            peak_rss_bytes: peak_kib << 10,
        })
    }
}

/// CPU seconds of all children that have ended and were waited for: the difference around one
/// child is the whole of it, from its first instruction to its last.
///
/// # Errors
/// What getrusage(2) says.
pub fn children_cpu_s() -> nix::Result<f64> {
    Ok(cpu_s(&getrusage(UsageWho::RUSAGE_CHILDREN)?))
}

/// CPU seconds of everything on this machine since its start, of all cores (proc_stat(5)); steps
/// of 10 ms. `None` where the kernel does not tell.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "jiffies of a machine")]
pub fn machine_cpu_s() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let fields = line.split_whitespace().map(str::parse::<u64>);
    let fields: Vec<u64> = fields.collect::<Result<_, _>>().ok()?;
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    let busy: u64 = [0, 1, 2, 5, 6, 7]
        .iter()
        .filter_map(|&field| fields.get(field))
        .sum();
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    Some(busy as f64 / per_second as f64)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a process")]
fn cpu_s(usage: &KernelUsage) -> f64 {
    let used_us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    used_us as f64 / 1e6
}
