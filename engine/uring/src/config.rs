//! What a ring is started with.

use ringway_io::{Capabilities, Capability};

/// Settings of one [`crate::Uring`]. Start from `Default` and change what matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UringConfig {
    /// Submission queue entries; one batch needs to fit, no more (batches above 64 gain nothing).
    pub submission_entries: u32,
    /// Ops in the ring at a time. One more completes at once with `ENOBUFS`: the shard bounds its
    /// connections by [`ringway_io::Limits::ops_max`], so that no op waits for a slot that only
    /// its own completion would free.
    pub ops_max: u32,
    /// Connections that multishot accepts may report between two reaps; sizes the completion
    /// queue. More than that end the accept early (`more` unset): arm again.
    pub accept_window: u32,
    /// Arena, bytes; rounded up to whole 2 MiB. 0 for none.
    pub arena_bytes: u64,
    /// Provided buffers for multishot receive, rounded up to a power of two, at most 32768.
    pub provided_count: u32,
    /// Size of each, bytes.
    pub provided_bytes: u32,
    /// Pipes of the pool. 1 MiB each is what a user may have 64 of (pipe(7),
    /// `pipe-user-pages-soft`), so 16 leaves room for three more shards.
    pub pipes_max: u32,
    /// Capacity of a pipe, bytes, at most 1 MiB.
    pub pipe_bytes: u32,
    /// Threads for calls that have no ring op and may block. 0 runs them inline in `submit`,
    /// which then blocks: for tools that do one thing at a time.
    pub helper_threads: u32,
    /// Calls that may wait for a helper; one more completes at once with `ENOBUFS`.
    pub helper_queue_max: u32,
    /// Kernel workers for regular files, and for everything else; 0 keeps the kernel's default.
    /// The kernel's default for the second is unlimited, which has been seen to grow to thousands.
    pub io_workers_max: (u32, u32),
    /// The core that kernel workers are kept on; `None` leaves them the cores that the issuer's
    /// thread could use when its first worker was made (tried on 6.18).
    pub worker_core: Option<usize>,
    /// Rings that are started with this configuration, this one included. Where locked memory is
    /// short, each takes its share and leaves something to the others.
    pub rings: usize,
    /// Capabilities to do without, as if the kernel had none of them.
    pub masked: Capabilities,
    /// Fill returned pieces of the arena with 0xDB, so that tests see who still reads them.
    pub poison_returned: bool,
    /// Completion queue entries, against the computed size: only for tests of overflow.
    #[doc(hidden)]
    pub completion_entries: Option<u32>,
}

impl Default for UringConfig {
    fn default() -> Self {
        Self {
            submission_entries: 512,
            ops_max: 4096,
            accept_window: 1024,
            arena_bytes: 16 << 20,
            provided_count: 256,
            provided_bytes: 16 << 10,
            pipes_max: 16,
            pipe_bytes: 1 << 20,
            helper_threads: 2,
            helper_queue_max: 256,
            io_workers_max: (4, 8),
            worker_core: None,
            rings: 1,
            masked: Capabilities::NONE,
            poison_returned: false,
            completion_entries: None,
        }
    }
}

impl UringConfig {
    /// The default with `RINGWAY_MASK` (capability names, separated by commas) as
    /// [`masked`](Self::masked). For tests and tools; the engine itself never looks there.
    ///
    /// # Errors
    /// A text that names the unknown capability and lists the known ones.
    pub fn from_environment_mask() -> Result<Self, String> {
        let names = std::env::var("RINGWAY_MASK").unwrap_or_default();
        Ok(Self {
            masked: parse_mask(&names)?,
            ..Self::default()
        })
    }
}

fn parse_mask(names: &str) -> Result<Capabilities, String> {
    let names = names
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    names.map(str::parse::<Capability>).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_a_list_of_names_and_a_typo_is_refused() {
        let mask = parse_mask("splice, send_zc,").expect("known names");
        assert!(mask.has(Capability::Splice) && mask.has(Capability::SendZeroCopy));
        assert_eq!(mask.iter().count(), 2);
        assert_eq!(parse_mask(""), Ok(Capabilities::NONE));
        assert!(parse_mask("splize").is_err_and(|text| text.contains("splize")));
    }
}
