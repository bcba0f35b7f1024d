//! What a process cost: CPU of the whole of it, kernel workers included, and peak memory.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// CPU time of all children that were waited for so far, user and system.
///
/// The difference around one `wait` is that child's whole account (getrusage(2)): every thread it
/// ever had, io_uring's kernel workers among them.
pub(crate) fn children_cpu() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return Duration::ZERO;
    };
    let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(us.unsigned_abs())
}

/// Most memory this process ever had resident, bytes: `VmHWM` of proc_pid_status(5).
///
/// Not `ru_maxrss`: a child inherits that from its parent, over fork and exec.
pub(crate) fn peak_resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse_peak(&status).unwrap_or(0)
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_where_the_kernel_tells_it() {
        assert_eq!(
            parse_peak("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t 1 kB\n"),
            Some(1234 << 10)
        );
        assert_eq!(parse_peak("Name:\tx\n"), None);
        assert!(peak_resident_bytes() > 1 << 20);
    }

    #[test]
    fn a_child_is_accounted_when_it_is_waited_for() {
        let before = children_cpu();
        let spin = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let status = std::process::Command::new("sh").args(["-c", spin]).status();
        assert!(status.expect("runs").success());
        assert!(children_cpu() > before);
    }
}
