//! Why there is no ring here, and what would help.
//!
//! [`diagnose`] is a pure function of what was seen, so that every reason can be tested on a
//! machine where everything works.

use std::fmt;

use ringway_io::Errno;

/// Oldest kernel that has what the engine needs (`IORING_SETUP_DEFER_TASKRUN`).
pub const KERNEL_NEEDED: (u32, u32) = (6, 1);

/// io_uring cannot be used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UringUnavailable {
    /// What stands in the way.
    pub reason: UnavailableReason,
    /// What the kernel said.
    pub errno: Errno,
    /// What to do about it.
    pub hint: String,
}

/// What stands in the way of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnavailableReason {
    /// `kernel.io_uring_disabled` is 1 or 2.
    DisabledBySysctl {
        /// Its value.
        value: u8,
        /// `kernel.io_uring_group`, the group that is exempt from 1; `None` if none is.
        group: Option<u32>,
    },
    /// A seccomp filter refuses the call, as container runtimes do by default.
    BlockedBySeccomp,
    /// Older than what is needed.
    KernelTooOld {
        /// Release as uname(2) gives it.
        found: String,
        /// Major and minor number of the oldest that works.
        needed: (u32, u32),
    },
    /// The queues do not fit into `RLIMIT_MEMLOCK` or the memory cgroup.
    MemlockTooLow {
        /// The limit, bytes.
        limit: u64,
    },
    /// Something else: see the error number.
    Other,
}

/// What is known about the place when io_uring_setup(2) has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Surroundings {
    pub errno: Errno,
    pub release: String,
    pub sysctl_disabled: Option<u8>,
    pub sysctl_group: Option<i64>,
    pub seccomp_filtered: bool,
    pub memlock_limit: u64,
}

impl fmt::Display for UringUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "io_uring is not available: ")?;
        match &self.reason {
            UnavailableReason::DisabledBySysctl { value, .. } => {
                write!(f, "kernel.io_uring_disabled is {value}")?;
            }
            UnavailableReason::BlockedBySeccomp => write!(f, "a seccomp filter blocks it")?,
            UnavailableReason::KernelTooOld { found, needed } => {
                write!(f, "kernel {found} is older than {}.{}", needed.0, needed.1)?;
            }
            UnavailableReason::MemlockTooLow { limit } => {
                write!(f, "its queues do not fit (RLIMIT_MEMLOCK is {limit} bytes)")?;
            }
            UnavailableReason::Other => write!(f, "the kernel refused")?,
        }
        write!(f, " ({}). {}", self.errno, self.hint)
    }
}

impl std::error::Error for UringUnavailable {}

/// Finds the reason for a failed set-up.
pub(crate) fn diagnose(seen: &Surroundings) -> UringUnavailable {
    let too_old = version(&seen.release).is_some_and(|found| found < KERNEL_NEEDED);
    let disabled = seen.sysctl_disabled.filter(|value| *value > 0);
    let (reason, hint) = match (seen.errno, disabled) {
        (Errno::EPERM, Some(value)) => by_sysctl(value, seen.sysctl_group),
        (Errno::EPERM | Errno::EACCES, None) if seen.seccomp_filtered => by_seccomp(),
        (Errno::ENOSYS | Errno::EINVAL, _) if too_old => by_age(seen),
        (Errno::ENOSYS, _) if seen.seccomp_filtered => by_seccomp(),
        (Errno::ENOMEM, _) => by_memory(seen.memlock_limit),
        (errno, _) => by_something_else(errno),
    };
    UringUnavailable {
        reason,
        errno: seen.errno,
        hint,
    }
}

fn by_sysctl(value: u8, group: Option<i64>) -> (UnavailableReason, String) {
    let group = group.and_then(|group| u32::try_from(group).ok());
    let hint = match (value, group) {
        (1, Some(group)) => {
            format!(
                "Run as a member of group {group}, or as root: `sysctl kernel.io_uring_disabled=0`."
            )
        }
        (1, None) => "As root: `sysctl kernel.io_uring_disabled=0`, or `sysctl \
             kernel.io_uring_group=<gid>` with a group of this user."
            .into(),
        _ => {
            "As root: `sysctl kernel.io_uring_disabled=0` (and in /etc/sysctl.d to keep it).".into()
        }
    };
    (UnavailableReason::DisabledBySysctl { value, group }, hint)
}

fn by_seccomp() -> (UnavailableReason, String) {
    let hint = "In a container: allow io_uring_setup, io_uring_enter and io_uring_register in the \
                seccomp profile (`docker run --security-opt seccomp=<profile.json>`; Kubernetes: \
                `securityContext.seccompProfile`). With systemd: `SystemCallFilter=@io-uring`.";
    (UnavailableReason::BlockedBySeccomp, hint.into())
}

fn by_age(seen: &Surroundings) -> (UnavailableReason, String) {
    let reason = UnavailableReason::KernelTooOld {
        found: seen.release.clone(),
        needed: KERNEL_NEEDED,
    };
    let (major, minor) = KERNEL_NEEDED;
    (
        reason,
        format!("Boot a kernel of {major}.{minor} or newer."),
    )
}

fn by_memory(limit: u64) -> (UnavailableReason, String) {
    let hint = "Raise the limit (`ulimit -l`, or `LimitMEMLOCK=` of the systemd unit), give the \
                memory cgroup more room, or start fewer shards with smaller queues.";
    (UnavailableReason::MemlockTooLow { limit }, hint.into())
}

fn by_something_else(errno: Errno) -> (UnavailableReason, String) {
    let hint = match errno {
        Errno::EPERM | Errno::EACCES => {
            "A security module (SELinux, AppArmor, BPF LSM) may forbid io_uring: see the audit log."
        }
        Errno::ENOSYS => "The kernel was built without CONFIG_IO_URING, or a sandbox hides it.",
        Errno::EMFILE => "Too many open files: raise `ulimit -n`.",
        Errno::EINVAL => "A sandbox may emulate an old io_uring: try outside of it.",
        _ => "See io_uring_setup(2) for this error.",
    };
    (UnavailableReason::Other, hint.into())
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release
        .split(|each: char| !each.is_ascii_digit())
        .map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(errno: Errno) -> Surroundings {
        Surroundings {
            errno,
            release: "6.18.44-test".into(),
            sysctl_disabled: Some(0),
            sysctl_group: Some(-1),
            seccomp_filtered: false,
            memlock_limit: 65536,
        }
    }

    #[test]
    fn a_sysctl_is_named_with_its_value_and_its_group() {
        let mut place = seen(Errno::EPERM);
        place.sysctl_disabled = Some(2);
        place.seccomp_filtered = true;
        let text = diagnose(&place).to_string();
        assert!(text.contains("io_uring_disabled is 2"), "{text}");
        assert!(text.contains("sysctl kernel.io_uring_disabled=0"), "{text}");

        place.sysctl_disabled = Some(1);
        place.sysctl_group = Some(27);
        let found = diagnose(&place);
        let expected = UnavailableReason::DisabledBySysctl {
            value: 1,
            group: Some(27),
        };
        assert_eq!(found.reason, expected);
        assert!(found.hint.contains("group 27"));
    }

    #[test]
    fn a_filter_is_told_from_a_missing_kernel_feature() {
        let mut place = seen(Errno::EPERM);
        assert_eq!(diagnose(&place).reason, UnavailableReason::Other);
        place.seccomp_filtered = true;
        assert_eq!(diagnose(&place).reason, UnavailableReason::BlockedBySeccomp);
        place.errno = Errno::ENOSYS;
        assert_eq!(diagnose(&place).reason, UnavailableReason::BlockedBySeccomp);
        place.seccomp_filtered = false;
        assert_eq!(diagnose(&place).reason, UnavailableReason::Other);
    }

    #[test]
    fn an_old_kernel_is_named_with_what_is_needed() {
        for (errno, release) in [
            (Errno::EINVAL, "5.15.0-91-generic"),
            (Errno::ENOSYS, "4.19.0"),
        ] {
            let mut place = seen(errno);
            place.release = release.into();
            place.sysctl_disabled = None;
            let text = diagnose(&place).to_string();
            assert!(text.contains(release) && text.contains("6.1"), "{text}");
        }
        assert_eq!(
            diagnose(&seen(Errno::EINVAL)).reason,
            UnavailableReason::Other
        );
    }

    #[test]
    fn too_little_memory_names_the_limit() {
        let text = diagnose(&seen(Errno::ENOMEM)).to_string();
        assert!(text.contains("65536") && text.contains("ulimit -l"));
    }
}
