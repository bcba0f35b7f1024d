//! Faults that really happened, counted by kind.

use std::collections::BTreeMap;

use crate::state::State;

/// A kind of fault. Only what happened is counted, not what merely could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A send, receive or splice took less than it could.
    ShortIo,
    /// A completion became visible later than its op ended.
    LateCompletion,
    /// A cancelled op ran to its real result.
    CancelLate,
    /// A multishot op ended with a good result.
    MultishotEnd,
    /// A multishot receive ended silently with the last provided buffer.
    SilentEnd,
    /// A receive found no provided buffer (ENOBUFS).
    NoBuffers,
    /// An `exact` receive ended short.
    ExactShort,
    /// A poll completed though nothing was ready.
    SpuriousPoll,
    /// A zero-copy send over a device was copied.
    DeviceCopied,
    /// A zero-copy notification came only when its connection ended.
    NotificationHeld,
    /// A zero-copy notification came after the last ack.
    NotificationLate,
    /// A failed zero-copy send came without the usual notification, or with one.
    FailedSendNotified,
    /// An op was refused for want of memory (ENOMEM).
    NoMemory,
    /// A worker op waited because all workers were busy.
    WorkersBusy,
    /// A kernel lacks capabilities that its seed did not give it; counted once per kernel.
    CapabilitiesMissing,
    /// A dial was refused though somebody listened.
    DialRefused,
    /// A dial hung until it was repeated.
    DialHung,
    /// An accept failed (ECONNABORTED, EMFILE, ENETDOWN).
    AcceptFailed,
    /// A connection broke under a send or receive.
    Broken,
    /// A connection was reset at both ends by the test.
    CutReset,
    /// A connection was left half-open.
    CutHalfOpen,
    /// A connection became a black hole.
    CutBlackHole,
    /// What one end had sent was late, and could be overtaken by its next connection.
    ConnectionLate,
    /// Nothing passed between two hosts for a while.
    Partition,
    /// A disk gave or took less than asked.
    DiskShort,
    /// A device failed (EIO), as drawn.
    DiskError,
    /// A disk op took long.
    DiskSlow,
    /// A disk was full (ENOSPC).
    DiskFull,
    /// A file was changed, cut or extended behind the back of the code under test.
    FileChanged,
    /// A process was killed.
    ProcessKilled,
    /// A machine lost its power.
    MachineCrashed,
    /// A page that was not synced was lost in a crash.
    PageLost,
    /// A page that was not synced survived a crash in part.
    PageTorn,
}

impl FaultKind {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ShortIo => "short_io",
            Self::LateCompletion => "late_completion",
            Self::CancelLate => "cancel_late",
            Self::MultishotEnd => "multishot_end",
            Self::SilentEnd => "silent_end",
            Self::NoBuffers => "no_buffers",
            Self::ExactShort => "exact_short",
            Self::SpuriousPoll => "spurious_poll",
            Self::DeviceCopied => "device_copied",
            Self::NotificationHeld => "notification_held",
            Self::NotificationLate => "notification_late",
            Self::FailedSendNotified => "failed_send_notified",
            Self::NoMemory => "no_memory",
            Self::WorkersBusy => "workers_busy",
            Self::CapabilitiesMissing => "capabilities_missing",
            Self::DialRefused => "dial_refused",
            Self::DialHung => "dial_hung",
            Self::AcceptFailed => "accept_failed",
            Self::Broken => "broken",
            Self::CutReset => "cut_reset",
            Self::CutHalfOpen => "cut_half_open",
            Self::CutBlackHole => "cut_black_hole",
            Self::ConnectionLate => "connection_late",
            Self::Partition => "partition",
            Self::DiskShort => "disk_short",
            Self::DiskError => "disk_error",
            Self::DiskSlow => "disk_slow",
            Self::DiskFull => "disk_full",
            Self::FileChanged => "file_changed",
            Self::ProcessKilled => "process_killed",
            Self::MachineCrashed => "machine_crashed",
            Self::PageLost => "page_lost",
            Self::PageTorn => "page_torn",
        }
    }
}

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    faults: BTreeMap<FaultKind, u64>,
    pub(crate) bytes_moved: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, kind: FaultKind, count: u64) {
        if count > 0 {
            *self.faults.entry(kind).or_default() += count;
        }
    }

    pub(crate) fn by_name(&self) -> BTreeMap<&'static str, u64> {
        let faults = self.faults.iter();
        faults.map(|(kind, &count)| (kind.name(), count)).collect()
    }
}

impl State {
    /// Whether a fault happens now, as drawn; counted if it does.
    pub(crate) fn fault(&mut self, kind: FaultKind, per_mille: u32) -> bool {
        let happens = self.random.faults.chance(per_mille);
        self.tally.add(kind, u64::from(happens));
        happens
    }
}
