//! Every number that bounds the service, with its reason (F-80). Limits a server can choose are
//! defaults of [`crate::ServeOptions`].

use std::time::Duration;

/// Longest name of a file, bytes: `NAME_MAX` of Linux (path_resolution(7)).
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// Longest path below the root, bytes: `PATH_MAX` of Linux less the terminating NUL.
pub(crate) const PATH_BYTES_MAX: usize = 4095;
/// Deepest path: each name costs an openat2(2), and no honest tree is deeper.
pub(crate) const PATH_COMPONENTS_MAX: usize = 256;
/// Files below this travel whole from memory and share their syncs; larger ones go by the kernel
/// and resume. At 1 MiB a resend costs less than the round trip that would avoid it.
pub(crate) const SMALL_FILE_BYTES_MAX: u64 = 1 << 20;
/// Small files in memory at once, per session and side, KiB: a quarter of what either side may
/// use in all.
pub(crate) const SMALL_MEMORY_KIB_MAX: usize = 16 << 10;
/// Body bytes between two syncs of a large file: what a crash of the machine may cost.
pub(crate) const SYNC_EVERY_BYTES: u64 = 64 << 20;
/// Small files that share one sync, at most.
pub(crate) const BATCH_FILES_MAX: usize = 256;
/// Bytes of small files that share one sync, at most: as much as a large file risks.
pub(crate) const BATCH_BYTES_MAX: u64 = 64 << 20;
/// Files fewer than this are synced one by one: flushing the whole file system would also wait
/// for the dirty pages of strangers.
pub(crate) const BATCH_SYNC_SINGLY_MAX: usize = 8;
/// Largest request or reply record, bytes. A page of a listing or a batch of directories is cut
/// to fit.
pub(crate) const RECORD_BYTES_MAX: u64 = 1 << 20;
/// A page of a listing or a batch of directories is closed at this size, bytes: with one more
/// entry of the longest path it stays below the record limit.
pub(crate) const PAGE_BYTES: usize = 256 << 10;
/// Entries of a directory that are looked at concurrently.
pub(crate) const STATS_IN_FLIGHT: usize = 32;
/// Files and directories one run of a client may plan: each costs about 200 bytes of memory.
pub(crate) const PLAN_ENTRIES_MAX: usize = 10_000_000;
/// Progress is reported, and a stalled source noticed, at most this many bytes apart.
pub(crate) const PROGRESS_STEP_BYTES: u64 = 8 << 20;
/// How long to wait for the last write of a fenced writer before calling its target busy.
pub(crate) const FENCE_WAIT: Duration = Duration::from_secs(10);
/// Sessions in a row that may end without one byte of progress before a client gives up.
pub(crate) const FRUITLESS_SESSIONS_MAX: u32 = 8;

/// What a small file of that size takes of the memory for small files.
pub(crate) fn small_kib(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(1024))
        .unwrap_or(usize::MAX)
        .min(SMALL_MEMORY_KIB_MAX)
}
