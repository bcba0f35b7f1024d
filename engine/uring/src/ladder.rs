//! Which set-up flags to try, in which order, and how large the queues are.
//!
//! The floor is kernel 6.1: `SINGLE_ISSUER` and `DEFER_TASKRUN` (with `TASKRUN_FLAG`,
//! `SUBMIT_ALL`, `CQSIZE`, `CLAMP`, all older) are always asked for. Above it only `NO_SQARRAY`
//! (6.6) may be refused and is dropped then.

use crate::locked_memory::PAGE_BYTES;

/// Flags that differ from ring to ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetupFlags {
    /// Begins disabled, so that another thread than the creator may become the only issuer.
    pub disabled: bool,
    /// Without the index array.
    pub no_sqarray: bool,
}

/// Sizes of the two queues and the bound on ops that they allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueSizes {
    pub submission: u32,
    pub completion: u32,
    pub ops_max: u32,
    pub provided_count: u32,
    accept_window: u32,
}

/// Largest completion queue that the kernel gives (`IORING_MAX_CQ_ENTRIES`, 6.18).
const COMPLETION_ENTRIES_MAX: u32 = 65536;

/// Completions of one op besides data of multishots: its own or the first of a zero-copy send,
/// the notification, and a failed cancel request.
const COMPLETIONS_PER_OP: u32 = 3;

/// Below these, a ring is of little use, and saves nothing: the smallest ring takes one page for
/// its entries (64 of them), one for its completions (128), and one for the table of its provided
/// buffers (measured on 6.18 by lowering `RLIMIT_MEMLOCK` until io_uring_setup(2) fails).
const OPS_MIN: u32 = 32;
const SUBMISSION_MIN: u32 = 64;
const ACCEPT_WINDOW_MIN: u32 = 8;
const PROVIDED_MIN: u32 = 16;

/// The doorbell's and the final cancel's completions.
const COMPLETIONS_OF_OUR_OWN: u32 = 4;

/// The flag sets to try, best first.
pub(crate) fn rungs(no_sqarray: bool) -> impl Iterator<Item = SetupFlags> {
    let best = SetupFlags {
        disabled: true,
        no_sqarray,
    };
    let plain = SetupFlags {
        no_sqarray: false,
        ..best
    };
    [best, plain]
        .into_iter()
        .take(if no_sqarray { 2 } else { 1 })
}

/// Sizes that make overflow of the completion queue impossible by construction:
///
/// ```text
///   completion ≥ 3 · ops_max + provided_count + accept_window + 4
/// ```
///
/// Between two reaps an op posts at most its own completion, a notification, and the answer of one
/// failed cancel (an op is cancelled once); each piece of a multishot receive holds one of the
/// provided buffers, which come back only after reaping. Multishot accepts have no such bound, only
/// the listener's backlog: the window covers the usual burst, and what exceeds it is handled like
/// any overflow: kept by the kernel until there is room, the multishot ended with a valid result.
///
/// Where the kernel's largest queue is too small, `ops_max` gives way.
pub(crate) fn queue_sizes(
    submission: u32,
    ops_max: u32,
    provided_count: u32,
    accept_window: u32,
) -> QueueSizes {
    let fixed = provided_count
        .saturating_add(accept_window)
        .saturating_add(COMPLETIONS_OF_OUR_OWN);
    let room = COMPLETION_ENTRIES_MAX.saturating_sub(fixed);
    let ops_max = ops_max.clamp(1, (room / COMPLETIONS_PER_OP).max(1));
    let needed = fixed.saturating_add(ops_max * COMPLETIONS_PER_OP);
    QueueSizes {
        submission: submission.clamp(1, 32768).next_power_of_two(),
        completion: needed.min(COMPLETION_ENTRIES_MAX).next_power_of_two(),
        ops_max,
        accept_window,
        provided_count,
    }
}

impl QueueSizes {
    /// Half of it; `None` at the smallest that is of any use.
    pub(crate) fn halved(self) -> Option<Self> {
        let smallest = self.ops_max <= OPS_MIN && self.submission <= SUBMISSION_MIN;
        let ops_max = half(self.ops_max, OPS_MIN);
        (!smallest).then(|| {
            queue_sizes(
                half(self.submission, SUBMISSION_MIN),
                ops_max,
                self.provided_count.min((ops_max / 2).max(PROVIDED_MIN)),
                half(self.accept_window, ACCEPT_WINDOW_MIN),
            )
        })
    }

    /// The largest halving that locks no more than `share_bytes`, or the smallest of all.
    pub(crate) fn fitting(self, share_bytes: u64) -> Option<Self> {
        let mut sizes = self.halved()?;
        while sizes.locked_bytes() > share_bytes {
            match sizes.halved() {
                Some(smaller) => sizes = smaller,
                None => break,
            }
        }
        Some(sizes)
    }

    /// Memory the kernel charges, in whole pages: 64 bytes an entry; 16 a completion, and the heads
    /// of both queues; 16 a provided buffer.
    fn locked_bytes(self) -> u64 {
        let entries = u64::from(self.submission) * 64;
        let completions = u64::from(self.completion) * 16 + 128;
        let table = u64::from(self.provided_count) * 16;
        let pages = [entries, completions, table].map(|bytes| bytes.div_ceil(PAGE_BYTES));
        pages.iter().sum::<u64>() * PAGE_BYTES
    }
}

/// Half, but no less than `floor`, and never more than before.
fn half(value: u32, floor: u32) -> u32 {
    (value / 2).max(floor.min(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locked_memory::{SHARE_BYTES_MIN, share_bytes};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_completion_that_can_be_outstanding_has_room(
            ops in 0..100_000_u32, provided in 0..32_769_u32, window in 0..20_000_u32
        ) {
            let sizes = queue_sizes(512, ops, provided, window);
            prop_assert!(sizes.completion >= 3 * sizes.ops_max + provided + window + 4);
            prop_assert!(sizes.completion <= 65536 && sizes.ops_max >= 1);
        }
    }

    #[test]
    fn little_locked_memory_gives_small_queues_that_still_cannot_overflow() {
        let sizes = queue_sizes(512, 4096, 256, 1024);
        let small = sizes.fitting(share_bytes(64 << 10, 1)).expect("smaller");
        assert_eq!(small.locked_bytes(), SHARE_BYTES_MIN);
        assert_eq!((small.ops_max, small.provided_count), (64, 32));
        assert!(small.completion >= 3 * small.ops_max + 32 + small.accept_window + 4);
        let smallest = small.fitting(0).expect("smaller still");
        assert_eq!((smallest.ops_max, smallest.submission), (32, 64));
        assert_eq!(
            (smallest.completion, smallest.locked_bytes()),
            (128, 3 * PAGE_BYTES)
        );
        assert_eq!(smallest.fitting(0), None);
        let few = queue_sizes(128, 3, 1, 2).halved().expect("smaller");
        assert_eq!(
            (few.ops_max, few.accept_window, few.provided_count),
            (3, 2, 1)
        );
    }

    #[test]
    fn the_default_fits_in_256_kib_of_completions() {
        let sizes = queue_sizes(512, 4096, 256, 1024);
        assert_eq!((sizes.completion, sizes.ops_max), (16384, 4096));
    }
}
