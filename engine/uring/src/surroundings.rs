//! Facts about the machine, read from where the kernel tells them.

use nix::sys::resource::{Resource, getrlimit};
use ringway_io::Errno;

use crate::unavailable::Surroundings;

/// Looks around after a failed set-up.
pub(crate) fn look(errno: Errno) -> Surroundings {
    Surroundings {
        errno,
        release: kernel_release(),
        sysctl_disabled: number("/proc/sys/kernel/io_uring_disabled")
            .and_then(|value| u8::try_from(value).ok()),
        sysctl_group: number("/proc/sys/kernel/io_uring_group"),
        seccomp_filtered: seccomp_mode() == Some(SECCOMP_MODE_FILTER),
        memlock_limit: memlock_limit_bytes(),
    }
}

/// `SECCOMP_MODE_FILTER` (proc(5), field `Seccomp` of `status`).
const SECCOMP_MODE_FILTER: i64 = 2;

/// Release as uname(2) gives it.
pub(crate) fn kernel_release() -> String {
    let name = nix::sys::utsname::uname();
    name.map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// `RLIMIT_MEMLOCK`, bytes; `u64::MAX` for unlimited.
pub(crate) fn memlock_limit_bytes() -> u64 {
    getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft)
}

/// Whether this thread is exempt from `RLIMIT_MEMLOCK`: it has `CAP_IPC_LOCK`, and its user
/// namespace is the first one (elsewhere the capability does not count for io_uring).
pub(crate) fn has_ipc_lock() -> bool {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    effective_capabilities(&status) >> CAP_IPC_LOCK & 1 == 1 && maps_every_user_to_itself(&map)
}

/// Bit of the capability (capabilities(7), linux/capability.h).
const CAP_IPC_LOCK: u32 = 14;

fn effective_capabilities(status: &str) -> u64 {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(0)
}

fn maps_every_user_to_itself(uid_map: &str) -> bool {
    uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Largest pipe an ordinary user may have, bytes (pipe(7)).
pub(crate) fn pipe_max_bytes() -> Option<u64> {
    let value = number("/proc/sys/fs/pipe-max-size")?;
    u64::try_from(value).ok()
}

/// Pages of pipes that an ordinary user may have before they get small (pipe(7)).
pub(crate) fn pipe_user_pages_soft() -> Option<u64> {
    let value = number("/proc/sys/fs/pipe-user-pages-soft")?;
    u64::try_from(value).ok()
}

fn number(path: &str) -> Option<i64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.trim().parse().ok()
}

fn seccomp_mode() -> Option<i64> {
    // This thread's: a filter may sit on one thread only.
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_counts_in_the_first_user_namespace_only() {
        let root = "Name:\tx\nCapEff:\t000001ffffffffff\nCapBnd:\t0\n";
        assert_eq!(effective_capabilities(root) >> CAP_IPC_LOCK & 1, 1);
        assert_eq!(effective_capabilities("CapEff:\t0000000000000000\n"), 0);
        assert_eq!(effective_capabilities(""), 0);
        assert!(maps_every_user_to_itself(
            "         0          0 4294967295\n"
        ));
        assert!(!maps_every_user_to_itself(
            "         0       1000          1\n"
        ));
    }
}
