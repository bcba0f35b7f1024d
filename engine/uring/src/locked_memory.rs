//! Locked memory, where it is short: what a ring may take of it, and how long it is waited for.
//!
//! The kernel charges registered buffers and (since 6.14) the queues of rings to the *user*: all
//! processes of one together stay below `RLIMIT_MEMLOCK`. Holders of `CAP_IPC_LOCK` are not charged.
//! Nothing here is a reservation: other processes come and go, so that a size that fitted a moment
//! ago may not fit now.

use std::time::Duration;

use ringway_io::Errno;

use crate::surroundings::{has_ipc_lock, memlock_limit_bytes};

/// Unit of what the kernel charges; x86-64's, and the smallest there is.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// What a ring takes that has 64 ops and 32 provided buffers; a share below is of little use.
pub(crate) const SHARE_BYTES_MIN: u64 = 4 * PAGE_BYTES;

/// How long to wait for memory that comes back late: a closed ring returns what it locked after
/// some grace periods of the kernel (30 to 40 ms tried on 6.18, more on a busy machine).
pub(crate) const RING_PATIENCE: Duration = Duration::from_secs(1);

/// The arena works unregistered too: not worth as much.
pub(crate) const ARENA_PATIENCE: Duration = Duration::from_millis(200);

/// Not shorter: a ring that could not be made takes as long to go away as one that could (a loop
/// without a pause filled 20 GiB of kernel memory with them in a minute: tried).
const PAUSE: Duration = Duration::from_millis(10);

/// Tries again for a while where locked memory is short.
pub(crate) fn patiently<T>(
    patience: Duration,
    mut attempt: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let mut left = patience;
    loop {
        match attempt() {
            Err(Errno::ENOMEM) if !left.is_zero() => {
                std::thread::sleep(PAUSE);
                left = left.saturating_sub(PAUSE);
            }
            other => return other,
        }
    }
}

/// What one ring may lock where all rings of a user share `limit_bytes`, of `rings` that are
/// started together: half of the limit is for them, a quarter where there is only one.
pub(crate) fn share_bytes(limit_bytes: u64, rings: usize) -> u64 {
    limit_bytes / (2 * rings.max(2) as u64)
}

/// How many rings of a useful size may be started together here without taking more than a quarter
/// of the locked memory that this user may have, so that several processes have some. At least one.
#[must_use]
pub fn rings_affordable() -> usize {
    match has_ipc_lock() {
        true => usize::MAX,
        false => rings_within(memlock_limit_bytes()),
    }
}

fn rings_within(limit_bytes: u64) -> usize {
    let rings = limit_bytes / 4 / SHARE_BYTES_MIN;
    usize::try_from(rings).unwrap_or(usize::MAX).max(1)
}

/// What to do where there is too little of it.
#[must_use]
pub fn remedy() -> String {
    format!(
        "it is limited to {} bytes for all processes of this user: raise it (`ulimit -l`, \
         `LimitMEMLOCK=` of the systemd unit, /etc/security/limits.conf) or give the process \
         CAP_IPC_LOCK",
        memlock_limit_bytes()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_started_together_leave_half_of_the_limit_to_others() {
        assert_eq!(share_bytes(64 << 10, 1), 16 << 10);
        assert_eq!(share_bytes(64 << 10, 2), 16 << 10);
        assert_eq!(share_bytes(8 << 20, 64), 64 << 10);
        assert_eq!([0, 64 << 10, 8 << 20].map(rings_within), [1, 1, 128]);
        assert!(rings_within(u64::MAX) > 1_000_000);
    }

    #[test]
    fn only_a_lack_of_memory_is_waited_for_and_not_for_ever() {
        let mut attempts = 0;
        let mut lacking = |errno| {
            attempts = 0;
            let result = patiently(2 * PAUSE, || {
                attempts += 1;
                Err::<(), _>(errno)
            });
            (result, attempts)
        };
        assert_eq!(lacking(Errno::ENOMEM), (Err(Errno::ENOMEM), 3));
        assert_eq!(lacking(Errno::EPERM), (Err(Errno::EPERM), 1));
        let mut left = 2;
        let comes_back = patiently(RING_PATIENCE, || {
            left -= 1;
            if left == 0 { Ok(7) } else { Err(Errno::ENOMEM) }
        });
        assert_eq!(comes_back, Ok(7));
    }
}
